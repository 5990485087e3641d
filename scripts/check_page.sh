#!/usr/bin/env bash
# Has Debian's Chromium use the page of the service that was built in a folder (tests/check_page.py; its options follow the folder), with
# packages in .deps/page, or those of $PYTHON. Installs Chromium when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x /usr/bin/chromium ]; then
    if ((EUID == 0)); then sudo=(); elif command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then sudo=(sudo); else
        echo "check_page: chromium is missing and this user may not install it; ask an administrator to run: apt-get install chromium" >&2
        exit 1
    fi
    echo "check_page: installing chromium"
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
python=$(scripts/venv.sh page tests/page/requirements.txt)
export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$PWD/.deps/onnxruntime/lib/libonnxruntime.so}"
exec "$python" tests/check_page.py "$@"

#!/usr/bin/env bash
# Has Debian's Chromium use the page of the service that was built in a folder (tests/check_page.py; its options follow the folder), with
# packages in .deps/page, or those of $PYTHON. Installs Chromium when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
test -x /usr/bin/chromium || scripts/install.sh check_page chromium fonts-dejavu-core
python=$(scripts/venv.sh page tests/page/requirements.txt)
export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$PWD/.deps/onnxruntime/lib/libonnxruntime.so}"
exec "$python" tests/check_page.py "$@"

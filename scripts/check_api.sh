#!/usr/bin/env bash
# Has others speak with the service that was built in a folder (tests/check_api.py), and holds deploy/ against the code, with packages in
# .deps/api, or those of $PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-}
if [ -z "$python" ]; then
    python=.deps/api/bin/python
    # The file is copied last, so that packages of other versions, or half of them, are installed again.
    if ! cmp --silent tests/api/requirements.txt .deps/api/requirements.txt; then
        python3 -m venv --clear .deps/api
        .deps/api/bin/pip install --quiet --disable-pip-version-check --requirement tests/api/requirements.txt
        cp tests/api/requirements.txt .deps/api/requirements.txt
    fi
fi
export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$PWD/.deps/onnxruntime/lib/libonnxruntime.so}"
"$python" deploy/check.py
exec "$python" tests/check_api.py "$1"

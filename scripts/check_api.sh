#!/usr/bin/env bash
# Has others speak with the service that was built in a folder (tests/check_api.py), and holds deploy/ against the code, with packages in
# .deps/api, or those of $PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(scripts/venv.sh api tests/api/requirements.txt)
export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$PWD/.deps/onnxruntime/lib/libonnxruntime.so}"
"$python" deploy/check.py
exec "$python" tests/check_api.py "$1"

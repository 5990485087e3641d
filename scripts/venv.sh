#!/usr/bin/env bash
# Says which Python has the packages of a file, as in a folder of .deps, where they are installed when they are not there; or $PYTHON.
#
#     scripts/venv.sh NAME REQUIREMENTS
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${PYTHON:-}" ]; then
    echo "$PYTHON"
    exit
fi
folder=.deps/$1
# The file is copied last, so that packages of other versions, or half of them, are installed again.
if ! cmp --silent "$2" "$folder/requirements.txt"; then
    python3 -m venv --clear "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" >&2
    cp "$2" "$folder/requirements.txt"
fi
echo "$folder/bin/python"

#!/usr/bin/env bash
# Sets up what the build needs besides Rust: Debian packages, libtorch and ONNX Runtime.
#
#   scripts/deps.sh          CPU libraries (about 0.6 GB on disk)
#   scripts/deps.sh gpu      CUDA libraries (about 4 GB)
#
# Everything but the Debian packages goes into .deps/ of this checkout. Running it again is quick and changes nothing.
# LIBTORCH or ORT_DYLIB_PATH in the environment: that library is yours, and is not fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-cpu}

missing=()
need() { missing+=("$1"); }
command -v c++ >/dev/null || need build-essential
command -v pkg-config >/dev/null || need pkg-config
for library in libavcodec libavformat libavutil libswscale libswresample; do
    pkg-config --exists "$library" 2>/dev/null || need "$library-dev"
done
# Not libclang-cpp, which other packages bring and bindgen cannot use.
[[ -n ${LIBCLANG_PATH:-} ]] || compgen -G '/usr/lib/llvm-*/lib/libclang[.-][s0-9]*' >/dev/null || need libclang-dev
python3 -m pip --version >/dev/null 2>&1 || need python3-pip
# `make test` makes a virtual environment.
python3 -c "import ensurepip, venv" 2>/dev/null || need python3-venv

if ((${#missing[@]})); then scripts/install.sh deps "${missing[@]}"; fi

python3 scripts/unpack_wheels.py "$kind"

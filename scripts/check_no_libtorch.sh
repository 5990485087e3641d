#!/usr/bin/env bash
# Fails if a crate that runs in a deployment depends on libtorch (torch-sys), directly or through another.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
for package in unscene-engine unscene-export unscene-serve; do
    if cargo tree --package "$package" --edges normal,build --prefix none | grep -q '^torch-sys '; then
        echo "$package links libtorch; it must not:" >&2
        cargo tree --package "$package" --edges normal,build --invert torch-sys >&2
        failed=1
    fi
done
exit $failed

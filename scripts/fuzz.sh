#!/usr/bin/env bash
# Runs every target of fuzz/ for so many seconds, or only those that are named, and says how often each was called.
# What libFuzzer finds worth keeping stays in target/fuzz/corpus for the next time; an input that breaks something, in fuzz/artifacts.
#
#     scripts/fuzz.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz
target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/fuzz
# Its coverage needs no nightly compiler, but for leave to ask for it. Without a sanitizer, which would have all dependencies built once more:
# the parsers are safe Rust. `worker_answers` reaches unsafe code, which scales pictures in memory that a worker shares: there only what
# ends the process is noticed.
export RUSTC_BOOTSTRAP=1
build=(--sanitizer none --features libfuzzer --target-dir "$target" --codegen-units 16)
cargo fuzz build "${build[@]}"
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(cargo fuzz list)
failed=()
for name in "${names[@]}"; do
    kept="$target/corpus/$name"
    mkdir -p "$kept"
    log="$target/$name.log"
    # The first folder is the one that is added to.
    if cargo fuzz run "${build[@]}" "$name" "$kept" "fuzz/corpus/$name" -- \
        "-max_total_time=$seconds" -timeout=60 -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 >"$log" 2>&1; then
        echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") calls, $(find "$kept" -type f | wc -l) inputs kept"
    else
        failed+=("$name")
        echo "$name: failed; $log says how"
        grep -m 3 -E "panicked at|ERROR: libFuzzer|Test unit written" "$log" || tail -n 3 "$log"
    fi
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: ${failed[*]} failed" >&2; exit 1; }

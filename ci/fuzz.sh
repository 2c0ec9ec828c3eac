#!/usr/bin/env bash
# Random bytes for all that reads bytes (fuzz/): each target for SECONDS, 60 if none are given, with libFuzzer and
# AddressSanitizer. What it finds is kept, and said how to try it again. `ci/fuzz.sh SECONDS TARGET` runs one target.
# Needs a nightly toolchain, a C++ compiler and cargo-fuzz. It installs nothing, and writes into the target folder only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
all=(machines descriptions sets schedules records)
targets=("${@:2}")
((${#targets[@]})) || targets=("${all[@]}")

missing() {
    printf '%s is missing: %s\n' "$1" "$2" >&2
    exit 1
}

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
mkdir -p "$CARGO_TARGET_DIR"

# The same checks, on the bytes that a property test draws. These need a stable toolchain alone.
cargo test --manifest-path fuzz/Cargo.toml --tests

rustup run nightly rustc --version >/dev/null 2>&1 || missing 'a nightly toolchain' 'rustup toolchain install nightly'
cargo fuzz --version >/dev/null 2>&1 || missing 'cargo-fuzz' 'cargo install cargo-fuzz'
command -v c++ >/dev/null 2>&1 || missing 'a C++ compiler' 'libFuzzer is built from source'

cargo +nightly fuzz build --features engine
for target in "${targets[@]}"; do
    found=$CARGO_TARGET_DIR/corpus/$target # goes on from one call to the next
    broken=$CARGO_TARGET_DIR/broken/$target/
    mkdir -p "$found" "$broken"
    printf '\n== %s for %s s\n' "$target" "$seconds"
    cargo +nightly fuzz run --features engine "$target" "$found" "fuzz/seeds/$target" -- \
        "-max_total_time=$seconds" -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
        "-dict=fuzz/words/$target.dict" "-artifact_prefix=$broken" || {
        printf 'FAILED: %s. Again: cargo +nightly fuzz run --features engine %s FILE, one of those in %s\n' \
            "$target" "$target" "$broken" >&2
        exit 1
    }
done

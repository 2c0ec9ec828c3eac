#!/usr/bin/env bash
# ThreadSanitizer over the library's own tests and those that let threads meet. std is built with it, so that it knows of
# std's locks and channels. ci/tsan.suppressions lists what it reports falsely.
# `ci/tsan.sh SECONDS` has the stress test go on for so long; 30 if none are given.
# Needs Linux and a nightly toolchain with the source of std. It installs nothing, and writes into the target folder only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Besides the library's own. Those that are about times would fail, as all takes ten times as long.
TESTS=(stress pool spawn outside results control errors)
# Left out:
# - whole runs on virtual workers: these are one thread, which changes stacks behind the sanitizer's back. Of these tests,
#   those that have threads are done by themselves;
# - tests of what ends within microseconds, or milliseconds.
LEFT_OUT=(--skip check:: --skip parts_of_a_loop_are_public_before_its_long_leaves --skip in_milliseconds)
THREADS=programs::outside

missing() {
    printf '%s is missing: %s\n' "$1" "$2" >&2
    exit 1
}

rustc() { rustup run nightly rustc "$@"; }

rustc --version >/dev/null 2>&1 || missing 'a nightly toolchain' 'rustup toolchain install nightly'
root=$(rustc --print sysroot) host=$(rustc -vV | sed -n 's/^host: //p')
[ -d "$root/lib/rustlib/src/rust/library" ] ||
    missing 'the source of std' 'rustup component add rust-src --toolchain nightly'
compgen -G "$root/lib/rustlib/$host/lib/librustc*_rt.tsan.a" >/dev/null ||
    missing "ThreadSanitizer's runtime" "this toolchain has none for $host"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/tsan
export RUSTFLAGS=-Zsanitizer=thread
export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.suppressions history_size=7"
export PROPTEST_CASES=${PROPTEST_CASES:-16}
export MILLSTREAM_STRESS_SECONDS=${1:-30} MILLSTREAM_PATIENCE=300

mapfile -t tests < <(printf -- '--test\n%s\n' "${TESTS[@]}")
# After a report the program goes on, and fails at its end.
run() { cargo +nightly test -Zbuild-std --target "$host" --features channels --no-fail-fast --lib "$@"; }
failed=0
run "${tests[@]}" -- "${LEFT_OUT[@]}" || failed=1
run "$THREADS" | tee >(cat >&2) | grep -c '^test .* ok$' >/dev/null || failed=1 # also if there are none
exit "$failed"

#!/usr/bin/env bash
# AddressSanitizer, which also finds leaks, over the library's own tests and those that let runs end in odd ways.
# `ci/asan.sh SECONDS` has the stress test go on for so long; 30 if none are given.
# Needs Linux and a Rust toolchain with the runtime of the sanitizer, as those of rustup for x86_64 and aarch64 are. It
# installs nothing, and writes into the target folder only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Besides the library's own. Those that count allocations, threads or system calls would count the sanitizer's, and those
# that are about times would fail.
TESTS=(stress pool spawn outside faults results control tiles errors surplus)
# Whole runs on virtual workers are left out: the sanitizer takes their stacks for that of the thread, and what a panic
# leaves on them for errors. Of these tests, those that have threads are done by themselves.
# Tests of what ends within milliseconds are left out, too.
LEFT_OUT=(--skip check:: --skip in_milliseconds) THREADS=programs::outside

host=$(rustc -vV | sed -n 's/^host: //p')
libraries=$(rustc --print sysroot)/lib/rustlib/$host/lib
if ! compgen -G "$libraries/librustc*_rt.asan.a" >/dev/null; then
    echo "AddressSanitizer's runtime is missing: this toolchain has no $libraries/librustc*_rt.asan.a" >&2
    exit 1
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/asan
export RUSTC_BOOTSTRAP=1 # the option is unstable, and works on stable toolchains
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes"
export LSAN_OPTIONS=suppressions=$PWD/ci/lsan.suppressions
export PROPTEST_CASES=${PROPTEST_CASES:-32}
export MILLSTREAM_STRESS_SECONDS=${1:-30} MILLSTREAM_PATIENCE=300

mapfile -t tests < <(printf -- '--test\n%s\n' "${TESTS[@]}")
failed=0
cargo test --target "$host" --features channels --no-fail-fast --lib "${tests[@]}" -- "${LEFT_OUT[@]}" || failed=1
cargo test --target "$host" --features channels --lib "$THREADS" | tee >(cat >&2) | grep -c '^test .* ok$' >/dev/null || failed=1 # also if there are none
exit "$failed"

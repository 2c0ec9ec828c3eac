#!/usr/bin/env bash
# The tests of the project, from cheap to dear: what passes here may be committed.
# Needs a Rust toolchain with rustfmt and clippy, and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_INCREMENTAL=0 # it pays only where one builds again, and takes as much disk as the rest

FEATURES=channels,futures,iterators # those that need nothing but crates
MODELS=76 # at least so many loom models there are: fewer mean that some were not found

heading() {
    printf '\n== %s\n' "$*"
}

# Says what it runs, and runs it.
run() {
    heading "$*"
    "$@"
}

need() {
    if ! cargo "$1" --version >/dev/null 2>&1; then
        echo "cargo $1 is missing: rustup component add $2" >&2
        exit 1
    fi
}

need fmt rustfmt
need clippy clippy

run cargo fmt --all --check
run bash ci/mutants.sh --check-patterns # each place where the engine is broken on purpose is still there
run cargo clippy -- -D warnings
run cargo clippy --all-targets --features $FEATURES -- -D warnings
for feature in ${FEATURES//,/ }; do
    run cargo clippy --features "$feature" -- -D warnings # each without the others
done

# House rules, unit, property and integration tests. Not --all-targets: that would run the benches. What follows in release
# builds is without features.
run cargo test --features $FEATURES --lib --bins --tests --examples
run cargo test --features $FEATURES --doc

# Every schedule of small graphs. The feature has a door of its own to atomics and locks, so it is tested apart.
run cargo clippy --all-targets --features check -- -D warnings
run cargo test --features check --lib -- check::explore programs::explored
run cargo test --features check --test own_sync
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target} run cargo test --manifest-path fuzz/Cargo.toml # random bytes
run cargo test --features check --doc check

# Debug assertions are off here, and random graphs are many: some bugs show only so.
heading "PROPTEST_CASES=1000 cargo test --release --lib check:: (whole runs on virtual workers)"
PROPTEST_CASES=1000 cargo test --release --lib check:: -- --nocapture

heading "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps --features $FEATURES,check"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --features $FEATURES,check

heading "RUSTFLAGS=\"--cfg loom\" cargo test --profile loom --lib loom_ (models and their controls)"
loom_target=${CARGO_TARGET_DIR:-target}/loom
loom_log=$loom_target/models.txt
mkdir -p "$loom_target"
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$loom_target cargo test --profile loom --lib loom_ | tee "$loom_log"
models=$(grep -c '^test .*loom_.* \.\.\. ok$' "$loom_log" || true)
echo "$models loom models"
if ((models < MODELS)); then
    echo "expected at least $MODELS loom models, $models ran" >&2
    exit 1
fi

heading "RUSTFLAGS=\"--cfg loom\" cargo test --profile loom --test own_sync (a user's type beside the library)"
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$loom_target cargo test --profile loom --test own_sync

run bash ci/scale.sh --bars quick

run cargo build --release --examples

# -- Examples with checked output. --
run bash ci/examples.sh
run bash ci/topology-examples.sh

heading "all tests passed"

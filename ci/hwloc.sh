#!/usr/bin/env bash
# Checks the feature `hwloc`: clippy, documentation, and tests/hwloc.rs, which holds what hwloc sees against what the
# other readers see, here and on emulated machines with several NUMA nodes. Installs hwloc with apt-get where it is
# missing; says so, and ends well, where it cannot be had.
#
#   ci/hwloc.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

is_there() {
    command -v pkg-config >/dev/null && pkg-config --exists 'hwloc >= 2.8' libudev
}
if ! is_there && command -v apt-get >/dev/null; then
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
        pkg-config libhwloc-dev libudev-dev >/dev/null 2>&1 || true
fi
if ! is_there; then
    echo 'skipped: the feature hwloc: there is no hwloc from 2.8 on (Debian: libhwloc-dev libudev-dev pkg-config)'
    exit 0
fi

cargo clippy --locked --all-targets --features hwloc -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --features hwloc
cargo test --locked --features hwloc --doc topology
cargo test --locked --features hwloc --test hwloc

program=$(cargo test --quiet --locked --release --features hwloc --test hwloc --no-run --message-format=json |
    sed -nE 's/.*"name":"hwloc".*"executable":"([^"]+)".*/\1/p')
for machine in quad dual-smt asym cxl memless octo; do
    printf '\n== %s\n' "$machine"
    code=0
    bash ci/numa-vm.sh "$machine" "$program" this_machine --nocapture || code=$?
    if [ "$code" -eq 3 ]; then
        echo 'skipped: hwloc on several NUMA nodes'
        exit 0
    fi
    if [ "$code" -ne 0 ]; then
        echo "FAILED: on the machine '$machine': exit code $code" >&2
        exit 1
    fi
done

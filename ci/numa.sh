#!/usr/bin/env bash
# Runs tests/numa.rs on machines with several NUMA nodes, which QEMU makes up: 20 to 80 s each. Says so, and ends well,
# where QEMU cannot be had.
#
#   ci/numa.sh [MACHINE...]     # of those in ci/numa-vm.sh; all without arguments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TESTS=20 # at least so many there are: fewer mean that some were not found

machines=("$@")
[ $# -gt 0 ] || machines=(quad dual-smt asym cxl memless octo)

# --release: an emulated machine is slow.
program=$(cargo test --quiet --locked --release --test numa --no-run --message-format=json |
    sed -nE 's/.*"name":"numa".*"executable":"([^"]+)".*/\1/p')

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for machine in "${machines[@]}"; do
    printf '\n== %s\n' "$machine"
    start=$SECONDS code=0
    bash ci/numa-vm.sh "$machine" "$program" --nocapture 2>&1 | tee "$log" || code=${PIPESTATUS[0]}
    if [ "$code" -eq 3 ]; then
        echo 'skipped: the tests on several NUMA nodes'
        exit 0
    fi
    passed=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log")
    if [ "$code" -ne 0 ] || [ "${passed:-0}" -lt "$TESTS" ]; then
        echo "FAILED: on the machine '$machine': exit code $code, ${passed:-0} of at least $TESTS tests passed" >&2
        exit 1
    fi
    if grep -q '^skipped: 1 NUMA node' "$log"; then
        echo "FAILED: the machine '$machine' has only one NUMA node" >&2
        exit 1
    fi
    echo "$machine: $passed tests in $((SECONDS - start)) s"
done

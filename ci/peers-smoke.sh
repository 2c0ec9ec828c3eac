#!/usr/bin/env bash
# Builds the crate that compares millstream with other libraries, runs every workload once in a tiny size, and checks that
# what it prints can be read. Measures nothing. Fetches the other libraries from the registry if they are not there.
#
#   ci/peers-smoke.sh
set -euo pipefail
export LC_ALL=C

cd "$(dirname "$0")/.."
manifest=benches/peers/Cargo.toml
peers=(millstream millstream-off rayon par-bridge chili lace-ws tokio bevy-tasks dagrs std-channels crossbeam rtrb timely
    by-hand serial futex-wake)
workloads=(W1 W2-10 W2-20 W2-24 W3a W3b W3c W3d W3e W3b-4K W3c-4K W3b-8 W3d-8 W3a-u64 W3b-u64 W3c-u64 W3d-u64 W3e-u64 W3f
    W3f-long W4a W4a-range W4c W4d W4-memory W5a W5a-diamond W5b W5c W6 W7-64M W7-64K W8 W9 W9-8on2 W10-1K W10-1M)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    head -c 4000 "$work"/* >&2
    exit 1
}

cargo build --quiet --locked --manifest-path "$manifest"
peers() {
    cargo run --quiet --locked --manifest-path "$manifest" -- --quick --runs 1 "$@" >"$work/out" 2>"$work/err" ||
        fail "exit code $?: $*"
}

for pinning in auto cores off; do
    peers --csv --pinning "$pinning"
    awk -F, '
        NR == 1 && $0 != "workload,peer,threads,metric,median,min,max" { exit 1 }
        NR > 1 && (NF != 7 || $1 !~ /^W[1-9]/ || $3 !~ /^[1-9][0-9]*$/ || $4 !~ /^[a-z0-9_]+$/) { exit 1 }
        NR > 1 && ($5 !~ /^[0-9]+\.[0-9]+$/ || $6 + 0 > $5 + 0 || $5 + 0 > $7 + 0) { exit 1 }
    ' "$work/out" || fail "these are no rows of the CSV (--pinning $pinning)"
    for workload in "${workloads[@]}"; do
        grep -q "^$workload,millstream," "$work/out" || fail "no row of millstream for $workload (--pinning $pinning)"
    done
    for peer in "${peers[@]}"; do
        grep -q "^[^,]*,$peer," "$work/out" || fail "no row of $peer (--pinning $pinning)"
    done
done

# Who is in which of the task graphs, streams and sums by key.
peers --csv --workload W3,W4,W8,W10
in_turn() {
    local workload=$1 peer
    shift
    for peer; do
        grep -q "^$workload,$peer," "$work/out" || fail "no row of $peer for $workload"
    done
}
in_turn W3c serial millstream millstream-off rayon tokio bevy-tasks by-hand
in_turn W3c-4K serial millstream rayon tokio bevy-tasks dagrs by-hand
in_turn W3c-u64 serial millstream by-hand
in_turn W3f-long serial millstream rayon tokio bevy-tasks by-hand
in_turn W8 serial millstream rayon tokio bevy-tasks dagrs by-hand
in_turn W4a serial millstream par-bridge std-channels crossbeam rtrb timely tokio
in_turn W4a-range serial millstream rayon timely
in_turn W4c serial millstream rayon std-channels crossbeam rtrb tokio
in_turn W4d serial millstream rayon par-bridge std-channels crossbeam rtrb timely tokio
in_turn W4-memory millstream rayon par-bridge std-channels crossbeam rtrb timely tokio
in_turn W10-1K serial millstream rayon
in_turn W10-1M serial millstream rayon

peers --workload W1,W3b --peer millstream,rayon --threads 2
grep -q '^ns_per_join .*\*' "$work/out" || fail 'the best of a line is not marked'
! grep -q 'W2' "$work/out" || fail 'a workload that was not asked for'
echo "peers: every workload ran with every peer that it fits"

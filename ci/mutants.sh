#!/usr/bin/env bash
# Breaks the engine on purpose, in one place at a time, and sees whether a test notices. ci/mutants/ lists the places.
#
#   ci/mutants.sh [NAME...]                    # all mutants, or those whose name, or whose area, begins so
#   ci/mutants.sh --list [NAME...]             # what is wrong with each, and which command is to notice
#   ci/mutants.sh --by TEST [NAME...]          # whether this one test notices, as in: --by 'check check::explore::' runs
#   ci/mutants.sh --check-patterns             # whether each mutant still fits the code: takes seconds
#
# A mutant counts as caught if a test fails, if the program aborts, or if a test hangs. If the test that is named for it
# passes, all tests of the library follow, with few random cases. Ends well if all are caught but those that are said to
# survive. The work is done on a copy of all that git does not ignore, below the target folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
shopt -s extglob
export LC_ALL=C

FEATURES=channels,futures
PATIENCE=600                     # seconds that tests may take without a mutant, and all tests of the library with one
export PROPTEST_CASES=${PROPTEST_CASES:-32} PROPTEST_MAX_SHRINK_ITERS=0
export RUST_TEST_THREADS=1       # so that the last name in the output is the test that hangs or aborts
export RUST_BACKTRACE=0
export CARGO_INCREMENTAL=1       # a mutant is one changed line
export CARGO_PROFILE_LOOM_OPT_LEVEL=1 # builds in seconds, and a few models take no long time

usage() {
    sed -nE '2,/^[^#]/s/^# ?//p' ci/mutants.sh
    exit "$1"
}

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# ---------------------------------------------------------------------------------------------------------------------
# The list

names=() areas=() places=() files=() wrongs=() tests=() survives=() olds=() news=()

# Reads one file of the list. A line that begins with `mutant` begins a mutant, `-` is searched for, `+` comes instead.
read_area() {
    local path=$1 line at=0 last=-1 key value
    while IFS= read -r line || [ -n "$line" ]; do
        at=$((at + 1))
        case $line in
            '' | '#'*) continue ;;
            '-' | '- '*) olds[last]+="${line:2}"$'\n' && continue ;;
            '+' | '+ '*) news[last]+="${line:2}"$'\n' && continue ;;
        esac
        key=${line%%[[:space:]]*} value=${line##+([^[:space:]])*([[:space:]])}
        case $key in
            mutant)
                last=${#names[@]}
                names+=("$value") areas+=("$(basename "$path" .txt)") places+=("$path:$at")
                files+=('') wrongs+=('') tests+=('') survives+=('') olds+=('') news+=('')
                ;;
            file) files[last]=$value ;;
            wrong) wrongs[last]=$value ;;
            test) tests[last]=$value ;;
            survives) survives[last]=$value ;;
            *) die "$path:$at: '$key' is none of mutant, file, wrong, test, survives, - and +" ;;
        esac
    done <"$path"
}

read_list() {
    local path
    for path in ci/mutants/*.txt; do read_area "$path"; done
    [ "${#names[@]}" -gt 0 ] || die 'ci/mutants/ has no mutants'
}

trimmed() {
    local text=${1##+([[:space:]])}
    printf '%s' "${text%%+([[:space:]])}"
}

# A regular expression for a text, in which white space of any length is the same: so the text survives reformatting.
pattern_of() {
    local escaped
    escaped=$(sed -E 's/[][\.|$(){}?+*^]/\\&/g' <<<"$(trimmed "$1")")
    printf '%s' "${escaped//+([[:space:]])/[[:space:]]+}"
}

# Puts what comes before and behind the text of a mutant into `before` and `behind`. Says what is wrong if it is not there
# exactly once.
find_in() {
    local mutant=$1 text=$2 pattern
    pattern=$(pattern_of "${olds[mutant]}")
    [ -n "$pattern" ] || { defect='has no text to search for (-)' && return 1; }
    [[ $text =~ $pattern ]] || { defect="its text is not in ${files[mutant]}" && return 1; }
    before=${text%%"${BASH_REMATCH[0]}"*}
    behind=${text:${#before}+${#BASH_REMATCH[0]}}
    ! [[ $behind =~ $pattern ]] || { defect="its text is in ${files[mutant]} more than once" && return 1; }
    [ "$(pattern_of "${news[mutant]}")" != "$pattern" ] || { defect='changes nothing' && return 1; }
}

check_patterns() {
    local mutant defects=0 defect before behind seen=' '
    for mutant in "${!names[@]}"; do
        defect=''
        if [[ $seen == *" ${names[mutant]} "* ]]; then
            defect='has the name of another one'
        elif [ -z "${wrongs[mutant]}" ] || [ -z "${tests[mutant]}" ] || [ ! -f "${files[mutant]}" ]; then
            defect="lacks one of file, wrong and test, or its file is gone: '${files[mutant]}'"
        else
            find_in "$mutant" "$(<"${files[mutant]}")" || true
        fi
        seen+="${names[mutant]} "
        if [ -n "$defect" ]; then
            printf '%s: mutant %s %s\n' "${places[mutant]}" "${names[mutant]}" "$defect" >&2
            defects=$((defects + 1))
        fi
    done
    [ "$defects" -eq 0 ] || die "$defects mutants do not fit the code: mend their texts, or take them out"
    echo "${#names[@]} mutants fit the code"
}

# Whether a mutant is among those that were asked for.
is_wanted() {
    local mutant=$1 wish
    shift
    [ $# -gt 0 ] || return 0
    for wish in "$@"; do
        [[ ${names[mutant]} == "$wish"* || ${areas[mutant]} == "$wish"* ]] && return 0
    done
    return 1
}

# The command of a line such as `loom loom_gate`: what cargo builds goes to `build`, the tests to `filters`.
command_of() {
    local words
    read -ra words <<<"$1"
    build=(env cargo test --quiet --locked --package millstream) filters=("${words[@]:1}")
    case ${words[0]} in
        lib) build+=(--lib --features "$FEATURES") ;;
        check) build+=(--lib --features check) ;;
        loom)
            build=(env RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR="$builds/loom" "${build[@]:1}" --profile loom --lib)
            ;;
        tests/*) # an integration test
            build+=(--test "$(basename "${words[0]}" .rs)" --features "$FEATURES")
            ;;
        *) die "a test is lib, check, loom or tests/NAME.rs, and not '$1'" ;;
    esac
}

list() {
    local mutant
    for mutant in "${!names[@]}"; do
        is_wanted "$mutant" "$@" || continue
        command_of "${tests[mutant]}"
        printf '%s (%s)\n    %s\n    ' "${names[mutant]}" "${files[mutant]}" "${wrongs[mutant]}"
        printf '%q ' "${build[@]:1}" -- "${filters[@]}"
        echo
        [ -z "${survives[mutant]}" ] || printf '    survives: %s\n' "${survives[mutant]}"
    done
}

# ---------------------------------------------------------------------------------------------------------------------
# The work

# Copies the files that git does not ignore, as they are now.
copy_tree() {
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' file; do
        [ ! -e "$file" ] || printf '%s\0' "$file"
    done | xargs -0 cp --parents -t "$tree"
}

# Builds, and puts the program's path into `program`.
build_program() {
    local out
    out=$(cd "$tree" && "${build[@]}" --no-run --message-format=json 2>"$work/build.err") || return 1
    program=$(sed -nE 's/.*"executable":"([^"]+)".*/\1/p' <<<"$out" | tail -n 1)
    [ -n "$program" ]
}

# Runs tests until one fails, all are over, or patience ends. `caught` says how it ended: empty if all passed.
run_tests() {
    local patience=$1 log=$work/tests.log code=0 child name
    shift
    : >"$log" # before anybody looks into it
    (cd "$tree" && CARGO_MANIFEST_DIR=$PWD exec timeout --kill-after=5 "$patience" "$program" "$@" ${only:+--nocapture}) >"$log" 2>&1 </dev/null &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        if grep -qE '^test .* \.\.\. (.*)?FAILED$|^FAILED$' "$log"; then kill "$child" 2>/dev/null || true; fi
        sleep 0.1
    done
    { wait "$child" || code=$?; } 2>/dev/null # without the shell's own words about one that aborts
    name=$(sed -nE 's/^test ([^ ]+)( - [a-z ]+)? \.\.\. .*/\1/p' "$log" | tail -n 1)
    note=$(grep -oE 'after [0-9]+ (schedules|runs)' "$log" | head -n 1 || true)
    if grep -qE 'FAILED$' "$log"; then
        name=$(grep -E 'FAILED$' -B 1000000 -m 1 "$log" | sed -nE 's/^test ([^ ]+)( - [a-z ]+)? \.\.\. .*/\1/p' | tail -n 1)
        caught=$name
    elif [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
        caught="$name hangs"
    elif [ "$code" -ne 0 ]; then
        caught="$name aborts"
    else
        caught=''
        note=''
        ran=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log")
    fi
}

# All tests that are named pass without a mutant: else being red says nothing. Notes how long they take.
run_sound() {
    local test ran caught note program build filters start
    while read -r test; do
        command_of "$test"
        build_program || die "does not build: $test: $(<"$work/build.err")"
        ran=0 start=$SECONDS
        run_tests "$PATIENCE" "${filters[@]}"
        usual[$test]=$((SECONDS - start + 1))
        [ -z "$caught" ] || die "without a mutant, $caught: $test (see $work/tests.log)"
        [ "$ran" -gt 0 ] || die "no test has this name: $test"
    done < <(printf '%s\n' "$@" | sort -u)
}

# Applies one mutant to the copy, and says in `by` which test notices, or what became of it.
run_mutant() {
    local mutant=$1 file=$tree/${files[mutant]} text before behind defect='' caught note ran program build filters
    text=$(<"$file")
    find_in "$mutant" "$text" || die "${places[mutant]}: mutant ${names[mutant]} $defect"
    printf '%s%s%s\n' "$before" "$(trimmed "${news[mutant]}")" "$behind" >"$file"
    command_of "${tests[mutant]}"
    by=''
    if ! build_program; then
        by='does not build'
    else
        run_tests $((30 + 10 * usual[${tests[mutant]}])) "${filters[@]}" # one that takes longer hangs
        by=${caught:+$caught${note:+, $note}}
    fi
    if [ -z "$by" ] && [ -z "$only" ] && [[ ${tests[mutant]} != check* ]]; then # what only that feature has is in no other build
        command_of lib
        if ! build_program; then
            by='does not build'
        else
            run_tests "$PATIENCE"
            by=${caught:+$caught (not by the one that is named)}
        fi
    fi
    printf '%s\n' "$text" >"$file" # with a new time, so that cargo sees it
    rm -rf "$tree"/proptest-regressions "$tree"/src/proptest-regressions
}

run_list() {
    local mutant wanted=() named=() start by caught_all=0 argued=0 missed=0 wrong=()
    for mutant in "${!names[@]}"; do
        [ -z "$only" ] || tests[mutant]=$only
        ! is_wanted "$mutant" "$@" || { wanted+=("$mutant") named+=("${tests[mutant]}"); }
    done
    [ "${#wanted[@]}" -gt 0 ] || die "no mutant has this name: $*"
    copy_tree
    echo "the tests that are named, without a mutant" >&2
    run_sound "${named[@]}"
    printf '| %-37s | %-90s | %7s |\n|%s|%s|%s|\n' mutant 'caught by' seconds \
        "$(printf -- '-%.0s' {1..39})" "$(printf -- '-%.0s' {1..92})" "$(printf -- '-%.0s' {1..9})"
    for mutant in "${wanted[@]}"; do
        start=$SECONDS
        run_mutant "$mutant"
        case $by in
            'does not build')
                wrong+=("${names[mutant]}: $by")
                cp "$work/build.err" "$work/${names[mutant]}.err"
                ;;
            '')
                by='survives'
                if [ -n "$only" ]; then missed=$((missed + 1)); elif [ -n "${survives[mutant]}" ]; then argued=$((argued + 1)); else wrong+=("${names[mutant]}: survives"); fi
                ;;
            *)
                caught_all=$((caught_all + 1))
                [ -z "${survives[mutant]}" ] || [ -n "$only" ] || wrong+=("${names[mutant]}: is caught, and said to survive")
                ;;
        esac
        printf '| %-37s | %-90s | %7s |\n' "${names[mutant]}" "$by" $((SECONDS - start))
    done
    printf '\n%s mutants: %s caught, %s survive as argued, %s are not seen by this test, %s wrong\n' \
        "${#wanted[@]}" "$caught_all" "$argued" "$missed" "${#wrong[@]}"
    [ "${#wrong[@]}" -eq 0 ] || { printf '    %s\n' "${wrong[@]}" && exit 1; }
}

declare -A usual=() # seconds of the tests that are named, without a mutant
builds=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants work=$builds/work tree=$builds/tree
only=''
read_list
if [ "${1-}" = --by ]; then
    [ $# -ge 2 ] || usage 1 >&2
    only=$2
    shift 2
fi
case ${1-} in
    -h | --help) usage 0 ;;
    --check-patterns) check_patterns ;;
    --list) list "${@:2}" ;;
    -*) usage 1 >&2 ;;
    *)
        check_patterns >&2
        mkdir -p "$work"
        export CARGO_TARGET_DIR=$builds/build
        run_list "$@"
        ;;
esac

# Checks of what programs print: read by the scripts that run examples, in the folder where `out` and `err` may lie.

checks=0

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    printf '%s\n' '--- standard output' "$(head -c 2000 out)" '--- standard error' "$(head -c 2000 err)" >&2
    exit 1
}

# Runs a program, and wants this exit code and no panic. Leaves `out` and `err`.
run() {
    local want=$1 got=0
    shift
    "$@" >out 2>err </dev/null || got=$?
    [ "$got" -eq "$want" ] || fail "exit code $got, not $want: $*"
    ! grep -q 'panicked' err || fail "panicked: $*"
    checks=$((checks + 1))
}

# The last run said this, as a part of some line of standard error.
said() {
    grep -qF -- "$1" err || fail "standard error does not have: $1"
}

# The last run printed exactly this.
printed() {
    printf '%s\n' "$@" | cmp -s - out || fail "standard output is not: $*"
}

# Words to the outside, and how a test ends: 0 passed, 1 failed, 77 skipped with the reason on the last line.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
fail() {
    [ -z "${T:-}" ] || : >"$T/.failed"
    printf "FAIL: %s\n" "$*" >&2
    exit 1
}
skip() { printf 'SKIP: %s\n' "$*"; exit 77; }

# skip_part WHAT WHY: the rest of the test goes on; the runner lists it among what was skipped
skip_part() { printf 'SKIPPED PART: %s: %s\n' "$1" "$2"; }

# need TOOL...: the test is skipped, visibly, where one is missing
need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

# now_ms: milliseconds since some fixed point, without a process
now_ms() { local t=${EPOCHREALTIME/[.,]/}; printf '%s\n' "$((t / 1000))"; }

# wait_until SECONDS WHAT COMMAND...: until the command is true; fails with WHAT when it never is. On a machine that has no time
# for this test it takes longer to look, and what is waited for takes longer, too: it looks eight times for each second at least.
wait_until() {
    local seconds=$1 what=$2 end looks=0
    shift 2
    end=$((${EPOCHREALTIME/[.,]/} + seconds * 1000000))
    until "$@"; do
        looks=$((looks + 1))
        [ "${EPOCHREALTIME/[.,]/}" -lt "$end" ] || [ $looks -lt $((seconds * 8)) ] || fail "$what: not within $seconds s"
        sleep 0.05
    done
}

# expect_equal WHAT WANT GOT
expect_equal() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# expect_failure WHAT COMMAND...: the command must end with fail; what it said is in EXPECTED_FAILURE
expect_failure() {
    local what=$1
    shift
    if EXPECTED_FAILURE=$( ("$@") 2>&1); then fail "$what"; fi
    rm -f "${T:?}/.failed"
}

#!/usr/bin/env bash
# Goal: what a good session notices of a hostile peer is at most three times what it notices of one who only uses up the
# processor that it has: the p99 and the maximum of its echo, the time that a newcomer takes to get in, and SIGTERM's. Of
# jobs that say nothing, and 3000 connections a second.
# A machine that others shake is looked at again, three times at most: what is asserted is a ratio within one try.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/hostile.sh"
[ -z "$SANITIZE" ] || skip "times say nothing under a sanitizer; hostile_log, hostile_jobs and hostile_connects run there"
mkdir -m 700 "$T/run" "$T/state"
SERVE_LINES="run-dir = $T/run
state-dir = $T/state"
MORE_SECTIONS="[peer bad]
migrate = yes
forward = unix:$T/echo"
ECHO_S=3
hostile_keys

# at_most WHAT GOT OF FLOOR: GOT is no more than three times OF; FLOOR is what the scheduler alone may take
at_most() {
    local limit=$(($3 * 3 > $4 ? $3 * 3 : $4))
    [ "$2" -le "$limit" ] || { say "  $1: $2, more than $limit (three times $3)"; return 1; }
}
# held NAME: whether the last run of it is within the bars of the last burn
held() {
    local ok=0
    [ "${LOG[$1]}" -le 1000000 ] || fail "$1: the log grew by ${LOG[$1]} bytes"
    at_most "$1: echo p99, us" "${P99[$1]}" "${P99[burn]}" 4000 || ok=1
    at_most "$1: echo max, us" "${MAX[$1]}" "${MAX[burn]}" 40000 || ok=1
    at_most "$1: newcomer, ms" "${NEWCOMER[$1]}" "${NEWCOMER[burn]}" 100 || ok=1
    at_most "$1: SIGTERM, ms" "${TERM_MS[$1]}" "${TERM_MS[burn]}" 200 || ok=1
    return $ok
}
declare -A attacks=([jobs]="holds DEST $T/bad 2 control migrate 300"
    [connects]="connects 127.0.0.2 127.0.0.1 PORT 3000")
left=(jobs connects)
for try in 1 2 3; do
    hostile_run burn burn
    again=()
    for name in "${left[@]}"; do
        # shellcheck disable=SC2086
        hostile_run "$name" ${attacks[$name]}
        held "$name" || again+=("$name")
    done
    left=("${again[@]}")
    [ ${#left[@]} != 0 ] || exit 0
done
fail "more than three times what a busy processor does, $try times: ${left[*]}"

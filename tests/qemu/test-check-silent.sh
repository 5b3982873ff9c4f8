#!/usr/bin/env bash
# Goal: adit check whose monitor falls silent, after its greeting or in the measurement, comes to an end and says so in one
# line; what can be looked at without it is looked at.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
MOVE_DISKS=()
move_vm a append='ram=8 rate=300 disks=none'

# QEMU's own monitor, over a line that stalls: all that is asked or answered from some point on stays on the way
cat >"$T/greets" <<'SH'
socat -t 60 - "UNIX-CONNECT:$1" | sed -u 2q
exec sleep 60
SH
cat >"$T/measures" <<'SH'
sed -u '/calc-dirty-rate/,$d' | socat -t 60 - "UNIX-CONNECT:$1"
SH
# checked STATUS REGEX... -- OPTION...: what adit check says, in its time
checked() {
    local status=$1 words=() word
    shift
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    proc_start check src "$ADIT" check "${ADIT_CREDS[@]}" "$@" "$ADIT_DEST"
    proc_wait check 25
    sed 's/^/  said: /' "$T/check.log"
    expect_equal 'the exit status of adit check' "$status" "$PROC_STATUS"
    for word in "${words[@]}"; do
        [ "$(grep -cE "$word" "$T/check.log")" = 1 ] || fail "not said once: $word"
    done
}
for kind in greets measures; do
    proc_start $kind src socat "UNIX-LISTEN:$T/$kind.sock,fork" EXEC:"bash $T/$kind ${VM_QMP[a]}"
    wait_until 5 "the line that stalls" test -S "$T/$kind.sock"
done
say 'silent after its greeting'
checked 1 "^error +monitor .*$T/greets.sock has not said within 2 s" '^ok +connection' -- --qmp "$T/greets.sock" --timeout 2
proc_end greets
say 'silent when the dirty rate is to be measured'
# (its command line is that of the line that stalls, which forbids the launch)
checked 1 '^warning +dirty-rate .*does not answer' '^ok +connection' -- --qmp "$T/measures.sock"

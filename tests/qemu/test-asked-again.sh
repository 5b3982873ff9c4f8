#!/usr/bin/env bash
# On: each QEMU
# Sanitizers too
# Goal: a destination that is asked again what became of a job says "runs" only of a VM that lives there, "never" only when
# nothing of it is left, "unsure" where a person has to look; and adit serve that starts brings what it finds to its end.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

TALKER=$(dirname "$ADIT")/../tests/talker
[ -x "$TALKER" ] || skip 'the talker is not built'
JOURNAL=$T/state-dst/journal
JOB=0123456789abcdef0123456789abcdef

# ask JOB WORD...: what the destination answers is in ANSWERS, a line each
ask() {
    local job=$1
    shift
    ANSWERS=$(in_host src "$TALKER" "$ADIT_DEST" "$T/psk" "$job" "$@" 2>"$T/talker.log") || true
    sed 's/^/  answered: /' <<<"$ANSWERS"
}
# answered N JQ: whether that holds of the N-th answer
answered() {
    sed -n "$1p" <<<"$ANSWERS" | jq -e "$2" >/dev/null ||
        fail "the answer is not $2: $ANSWERS $(cat "$T/talker.log")"
}
started() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20; }
# record STATE PID [JQ]: what a destination would have written down of a QEMU that waited, and came to that state
record() {
    jq -n --arg state "$1" --argjson pid "$2" --argjson started "$(started "$2" 2>/dev/null || echo 1)" --arg job $JOB \
        --arg boot "$(cat /proc/sys/kernel/random/boot_id)" --arg qmp "${VM_QMP[twin]:-/nowhere}" --argjson now "$(date +%s)" \
        "{adit: 1, job: \$job, state: \$state, peer: \"psk:tester\", name: \"vm\", boot: \$boot, launched: false, qmp: \$qmp, dir: \"\",
        shared: false, made: [], images: [], guardian: {pid: 999999, started: 1}, decided_at: \$now, run: true,
        postcopy: false, twin: {pid: \$pid, started: \$started}} | ${3:-.}" >"$JOURNAL/destination-$JOB.json"
}
recorded() { adit_record "$JOURNAL/destination-$JOB.json" .state 2>/dev/null || echo none; }
expect_settled() {
    expect_equal 'the record' none "$(recorded)"
    expect_equal 'what is left in the journal' '' "$(ls "$JOURNAL")"
}

move_hosts
adit_serve_launch
say 'nothing is known of the job:'
ask $JOB 'recover={"state":"finish"}'
answered 1 ".outcome == \"never\" and .host == \"$(cat "$T/state-dst/host-id")\""
expect_settled

say 'decided, and adit serve ended before it said cont:'
proc_kill serve KILL
proc_end serve
vm_start twin dst arg=-S append='ram=8 rate=500'
record decided "${PROC_PID[twin]}"
adit_serve_launch
wait_until 5 'the VM to run' vm_is twin running
guest_ready twin
expect_equal 'the record' decided "$(recorded)"
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "runs" and .runs and .status == "running"'
expect_equal 'the record' decided "$(recorded)"
say 'asked once more, and confirmed, but the line is lost before the last word:'
ask $JOB 'recover={"state":"finish"}' confirm
answered 2 '.kind == "confirmed"'
expect_equal 'the record' confirmed "$(recorded)"
say 'one that somebody paused since is left so:'
vm_qmp twin '{"execute":"stop"}' >/dev/null
ask $JOB 'recover={"state":"confirm"}' confirm 'ended={"source":"ended"}'
answered 1 '.outcome == "runs" and (.runs | not) and .status == "paused"'
answered 2 '.kind == "confirmed"'
wait_until 5 'the record to go' eval '[ "$(recorded)" = none ]'
expect_settled
vm_is twin paused || fail 'the VM was made to run'

say "another peer's job:"
record decided "${PROC_PID[twin]}" '.peer = "somebody"'
ask $JOB 'recover={"state":"finish"}'
answered 1 '.kind == "abort" and .code == "refused"'
expect_equal 'the record' decided "$(recorded)"

say 'a QEMU that lives and does not answer, then does:'
record decided "${PROC_PID[twin]}"
proc_kill twin STOP
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "unsure" and (.reason | length > 0)'
proc_kill twin CONT
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "runs" and .runs'

say 'a guardian that is still at it is waited for:'
sleep 2 &
record decided "${PROC_PID[twin]}" ".guardian = {pid: $!, started: $(started $!)}"
begin=$(now_ms)
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "runs"'
[ $(($(now_ms) - begin)) -ge 1000 ] || fail 'it did not wait'

say 'the QEMU has gone, and what the job made goes:'
pid=${PROC_PID[twin]}
proc_kill twin KILL
proc_end twin
mkdir "$T/made.d"
touch "$T/made.img" "$T/there.img" "$T/made.d/log"
record decided "$pid" "(.made = [\"F$T/made.img\", \"D$T/made.d\"]) | .images = [\"$T/made.img\", \"$T/there.img\"] | .twin.started = 1"
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "never"'
[ ! -e "$T/made.img" ] && [ ! -e "$T/made.d" ] || fail 'what the job made is still there'
[ -e "$T/there.img" ] || fail 'what the job had not made was removed'
expect_settled

say 'it ran for long before that: its disks are not thrown away on a peer'"'"'s word'
touch -d '+20 minutes' "$T/made.img"
record confirmed "$pid" "(.made = [\"F$T/made.img\"]) | .images = [\"$T/made.img\"] | .twin.started = 1"
ask $JOB 'recover={"state":"confirm"}'
answered 1 '.outcome == "unsure" and (.reason | contains("made.img"))'
expect_equal 'the record' confirmed "$(recorded)"
say 'its source ended long ago and only says so now:'
ask $JOB 'recover={"state":"ended"}' confirm 'ended={"source":"ended"}'
answered 1 '.outcome == "runs" and (.runs | not) and .status == "gone"'
answered 2 '.kind == "confirmed"'
wait_until 5 'the record to go' eval '[ "$(recorded)" = none ]'
[ -e "$T/made.img" ] || fail 'the disk of a VM that had moved for good was removed'
say 'another QEMU uses its disk by now:'
record decided "$pid" "(.made = [\"F$T/used.raw\"]) | .images = [\"$T/used.raw\"] | .twin.started = 1"
disk_make "$T/used.raw" raw 1M
vm_start other dst "disk=raw:virtio:$T/used.raw"
guest_ready other
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "unsure" and (.reason | contains("used.raw"))'
[ -e "$T/used.raw" ] || fail "another VM's disk was removed"
vm_end other
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "never"'
[ ! -e "$T/used.raw" ] || fail 'what the job made is still there'
say 'it ran on disks that both hosts use:'
record decided "$pid" '(.shared = true) | .twin.started = 1'
ask $JOB 'recover={"state":"finish"}'
answered 1 '.outcome == "unsure" and (.reason | contains("both hosts"))'

say 'under way when the host went down: removed before anybody is listened to'
proc_end serve
touch "$T/made.img"
record preparing "$pid" "(.made = [\"F$T/made.img\"]) | .boot = \"another\" | del(.twin)"
adit_serve_launch
[ ! -e "$T/made.img" ] || fail 'what the job made is still there'
expect_settled

say 'a job that is under way is undone first:'
fault_vm a
fault_reach a mirror
job=$(basename "$T"/state-src/journal/source-*.json .json)
left_clock
ask "${job#source-}" 'recover={"state":"finish"}'
answered 1 '.outcome == "never"'
fault_ended a 1 'asks what became'
fault_retry a a-twin

#!/usr/bin/env bash
# Points
# Goal: adit recover, as a person uses it: with nothing to do, for a job that is not there, that runs, whose destination is
# not to be reached, or is another host by now; and what --run-here and --drop-here do, also where nobody can tell whose the
# QEMU is; and when it is killed itself. It never lets two VMs run.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

# recover_says STATUS REGEX... [-- OPTION...]: what it prints, on both channels, is in $T/recover.log
recover_says() {
    local status=$1 words=() word
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    [ $# = 0 ] || shift
    proc_start recover src ${RECOVER_BY[@]+"${RECOVER_BY[@]}"} "$ADIT" recover --state-dir "$KILL_STATE-src" "$@"
    proc_wait recover 40
    sed 's/^/  said: /' "$T/recover.log"
    expect_equal "the exit status of adit recover $*" "$status" "$PROC_STATUS"
    for word in "${words[@]}"; do
        grep -qiE -- "$word" "$T/recover.log" || fail "adit recover says nothing about '$word'"
    done
}
# before that command: nothing, or what has it see other processes
RECOVER_BY=()
apart() { RECOVER_BY=(unshare --pid --fork --kill-child); }
# job: the one that is in the source's journal
job() { basename "$(kill_journal src)" .json | sed 's/^source-//'; }

# cut_off VM POINT: moves, and adit migrate is killed there
cut_off() {
    kill_boot "$1"
    ADIT_STOP_AT=$2 adit_start "$1"
    wait_until 20 "adit migrate to stop at $2" kill_is_stopped migrate
    proc_kill migrate KILL
    adit_wait 5
    JOB=$(job)
}
# stays_paused VM: it has not run since adit migrate was killed, and its job is not forgotten
stays_paused() {
    [ "$(vm_status "$1")" != running ] || fail "$1 runs on src"
    [ -n "$(kill_journal src)" ] || fail 'the job has been forgotten'
}
twin() {
    local dir=("$T"/run-dst/vms/*)
    vm_adopt "$1" dst "${dir[0]}/qmp.sock" "${dir[0]}/serial0.sock" "${dir[0]}/serial.log" "$(kill_twin_pid)"
}

kill_hosts
kill_serve

say 'nothing to do'
recover_says 1 'No such file'
# as an adit before made it
mkdir -p "$KILL_STATE-src/journal"
recover_says 0 'nothing'
recover_says 0 '"event":"end","settled":0,"left":0' -- --json

say 'a job that is not there'
recover_says 1 'no unfinished job 0123abcd' 'adit recover' -- 0123abcd
recover_says 2 'JOB' -- --run-here
recover_says 2 'together' -- 0123abcd --run-here --drop-here

say 'a job that adit migrate steers'
kill_boot a
adit_start a --max-bandwidth 2M
wait_until 20 'the mirror of a' eval '[ "$(adit_last .phase)" = disks ]'
job=$(job)
recover_says 1 'left alone' 'another adit .* steers' -- "${job:0:8}"
recover_says 0 'left alone'
[ "$(adit_last .phase)" = disks ] && proc_runs migrate || fail 'adit migrate was disturbed'
proc_kill migrate INT
adit_wait 20
guest_beats_on a 4
expect_equal 'records of a' '' "$(kill_journal src)"
vm_end a

say 'the destination cannot be reached: the VM stays paused'
cut_off b s-finished
link_reset
recover_says 3 "still unfinished" 'paused here' "adit recover ${JOB:0:8}"
stays_paused b
recover_says 3 '"outcome":"waits"' '"left":1' -- "${JOB:0:8}" --json
stays_paused b
adit_migrate b
expect_equal "the exit status of a migration of a VM that may run elsewhere" 3 "$MIGRATE_STATUS"
said_one_line "it may run on the destination.*adit recover ${JOB:0:8}"
said_one_line "adit recover|state (postmigrate|paused)"
stays_paused b
link_accept

say 'another host answers under its name: its word does not count'
proc_end serve
mv "$KILL_STATE-dst" "$T/elsewhere"
kill_serve
recover_says 3 'another host' 'paused here'
stays_paused b
proc_end serve
rm -r "$KILL_STATE-dst"
mv "$T/elsewhere" "$KILL_STATE-dst"

say 'the destination is back'
kill_serve
twin b-twin
recover_says 0 'settled' "destination's"
wait_until 5 "the end of the source's QEMU" proc_gone b
guest_continues b b-twin
move_checked b-twin
recover_says 0 'nothing'
expect_equal 'records of b' '' "$(kill_journal src)$(kill_journal dst)"
vm_end b-twin
rm -rf "$T/run-dst/vms/"*

say 'adit recover is killed itself, at each of its last steps'
cut_off e s-finished
for point in s-confirm s-confirmed s-ended; do
    ADIT_STOP_AT=$point proc_start recover src "$ADIT" recover --state-dir "$KILL_STATE-src"
    wait_until 20 "adit recover to stop at $point" proc_stopped recover
    proc_kill recover KILL
    proc_wait recover 5
    [ -n "$(kill_journal src)" ] || fail "the job was forgotten at $point"
done
twin e-twin
recover_says 0 'settled' "destination's"
wait_until 5 "the end of the source's QEMU" proc_gone e
guest_continues e e-twin
move_checked e-twin
expect_equal 'records of e' '' "$(kill_journal src)$(kill_journal dst)"
vm_end e-twin
rm -rf "$T/run-dst/vms/"*

say 'another host answers while the destination is away: adit migrate goes on asking'
proc_end serve
kill_serve d-committed
kill_boot f
adit_start f --log-level info
wait_until 20 'adit serve to stop' kill_is_stopped serve
proc_kill serve KILL
proc_end serve
mv "$KILL_STATE-dst" "$T/elsewhere"
kill_serve
wait_until 20 'the wrong host to be asked' grep -q 'another host' "$T/migrate.log"
proc_end serve
rm -r "$KILL_STATE-dst"
mv "$T/elsewhere" "$KILL_STATE-dst"
kill_serve
adit_wait 20
expect_equal 'the exit status of adit migrate' 0 "$MIGRATE_STATUS"
twin f-twin
guest_continues f f-twin
move_checked f-twin
vm_end f-twin
rm -rf "$T/run-dst/vms/"*

# lost_there VM: both adits, and the QEMU there, are killed after FINISH
lost_there() {
    kill_serve d-finish
    kill_boot "$1"
    adit_start "$1"
    wait_until 20 'adit serve to stop' kill_is_stopped serve
    proc_kill migrate KILL
    proc_kill serve KILL
    adit_wait 5
    proc_end serve
    wait_until 10 'the end of the QEMU on dst' kill_no_twin
    JOB=$(job)
    stays_paused "$1"
}

say '--run-here: the destination is gone for good'
proc_end serve
lost_there c
recover_says 0 'settled' 'person' -- "$JOB" --run-here
wait_until 5 'c running on src' vm_is c running
guest_beats_on c 4
fault_whole c
recover_says 0 'nothing'
vm_end c

say 'which process its QEMU was cannot be told, in another pid namespace: --run-here is the word of a person, and it runs'
lost_there g
apart
recover_says 3 'still unfinished' 'which process was the source QEMU' 'pid namespace' "${JOB:0:8} --run-here"
stays_paused g
recover_says 0 'settled' 'person' 'runs on here' -- "$JOB" --run-here
wait_until 5 'g running on src' vm_is g running
guest_beats_on g 4
fault_whole g
recover_says 0 'nothing'
RECOVER_BY=()
vm_end g

say '... and so is --drop-here; but one that runs may be the VM, or not: it is let alone, and the job is not forgotten'
lost_there h
vm_qmp h '{"execute":"cont"}' >/dev/null
apart
recover_says 3 'still unfinished' "a QEMU runs at .*/h/qmp.sock.*: end it by hand if it is this VM" -- "$JOB" --drop-here
guest_beats_on h 4
[ -n "$(kill_journal src)" ] || fail 'the job has been forgotten'
say '... which another VM that has got its monitor is not'
vm_end h
vm_start h src guest=other
recover_says 0 'settled' 'is another VM.s by its name' -- "$JOB" --drop-here
guest_beats_on h 4
RECOVER_BY=()
expect_equal 'records of h' '' "$(kill_journal src)"
vm_end h
say '... and one whose monitor somebody else has, has not gone'
lost_there i
proc_start holder - socat -u "UNIX-CONNECT:${VM_QMP[i]}" "CREATE:$T/holder.log"
wait_until 5 'the holder of the monitor' grep -q QMP "$T/holder.log"
# a process that it cannot see at all
RECOVER_BY=(unshare --pid --mount-proc --fork --kill-child)
for word in '' --run-here --drop-here; do
    recover_says 3 'still unfinished' 'whether the source QEMU has gone cannot be told: .*no greeting' -- "$JOB" $word
done
proc_end holder
recover_says 0 'settled' -- "$JOB" --drop-here
RECOVER_BY=()
wait_until 5 "the end of the source's QEMU" proc_gone i
expect_equal 'records of g, h and i' '' "$(kill_journal src)"

say '... and before the switchover the VM lives: what was begun is undone, whatever the word is'
kill_serve
cut_off k s-ram
apart
recover_says 0 'settled' 'runs on here' -- "$JOB" --drop-here
RECOVER_BY=()
expect_equal 'mirrors of k' 0 "$(vm_query k query-block-jobs length)"
guest_beats_on k 4
fault_whole k
vm_end k
proc_end serve
wait_until 10 'the end of the QEMU on dst' kill_no_twin

say '--run-here where its QEMU has gone, and another one waits for a VM of that name: it is not started'
lost_there j
proc_kill j KILL
proc_wait j 5
vm_start j src incoming=1
apart
for word in --run-here --drop-here; do
    recover_says 3 'still unfinished' 'is in state inmigrate' -- "$JOB" $word
    expect_equal 'the state of the one that waits' inmigrate "$(vm_status j)"
done
RECOVER_BY=()
vm_end j
say '... or nothing is left to run: that is said, and no success'
recover_says 1 'settled' 'its QEMU has gone from here' -- "$JOB" --run-here
expect_equal 'records of j' '' "$(kill_journal src)"

say '--drop-here: it runs there, but adit there is gone for good'
kill_serve
cut_off d s-finished
proc_kill serve KILL
proc_end serve
twin d-twin
stays_paused d
recover_says 0 'settled' -- "$JOB" --drop-here
wait_until 5 "the end of the source's QEMU" proc_gone d
guest_continues d d-twin
move_checked d-twin
recover_says 0 'nothing'
expect_equal 'records of d' '' "$(kill_journal src)"

#!/usr/bin/env bash
# On: each QEMU
# Points
# Limit: 240 s
# Goal: a destination that hangs while the guest of the source is stopped for a look at its disks (QEMU flushes them, and
# waits for as long as it takes): the migration fails when the time for that is over, says why, and the guest runs on. And where
# adit is killed meanwhile, with QEMU in the middle of it, recovery lets the guest run on; or the next migration takes away
# what was left. QEMU keeps nothing of its own at the disk, so that the same VM moves in the end.
. "$(dirname "$0")/lib.sh"
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

move_hosts
adit_serve_launch
move_disks a 16M raw:virtio
move_vm a append='ram=4 rate=50 sectors=24576 spread=0 diskrate=37 bulk=1024'
link_rate 200mbit

# hangs VM: the guest is about to be stopped for the look, and the QEMU on dst hangs from now on
hangs() {
    left_mark
    ADIT_STOP_AT=s-look adit_start "$1" --downtime-limit 400
    wait_until 60 'adit migrate to stop for the look' stops
    twin=$(host_processes dst | awk '/-incoming/ && /qemu/ && !/adit serve/ { print $1; exit }')
    [ -n "$twin" ] || fail 'no QEMU runs on dst'
    kill -STOP "$twin"
    proc_kill migrate CONT
}
stops() {
    proc_runs migrate || fail "adit migrate ended: $(tail -n 1 "$T/migrate.log")"
    proc_stopped migrate
}

say 'it never answers:'
ADIT_LIMITS=look=3000 hangs a
left_clock
adit_wait 30
move_failed a 1 'did not stop the guest and let it go on within 3 s'

say 'adit is killed meanwhile:'
hangs a
sleep 1
proc_kill migrate KILL
adit_wait 5
expect_equal 'the state of the guest before adit recover' paused "$(vm_status a2)"
left_clock
adit_recover || fail 'adit recover failed'
move_runs_on a

say 'adit is killed while the disk is copied, and nobody recovers:'
link_rate 8mbit
left_mark
adit_start a
move_phase a mirror
failed=$(grep -c 'migration failed' "$T/serve.log")
proc_kill migrate KILL
adit_wait 5
broken() { [ "$(vm_query a2 query-block-jobs '.[0]."io-status"')" = failed ]; }
wait_until 10 'the mirror to stand for its error' broken
rm -r "$T/state-src"
link_rate none
let_go() { [ "$(grep -c 'migration failed' "$T/serve.log")" -gt "$failed" ]; }
wait_until 30 'the destination to know that it was killed' let_go
adit_migrate a
move_succeeded a a-twin raw:virtio

#!/usr/bin/env bash
# On: each QEMU
# Sanitizers too
# Goal: adit migrate that is killed while disks are copied, and while the guest stands still, leaves a job that adit
# recover brings to its end: the VM runs on at the source as it was, and the next migration of it is refused until then,
# and works after it.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
! adit_recover || fail 'recover of a folder that is not there succeeded'
# as an adit before made it
mkdir -p "$T/state-src/journal"
adit_recover || fail 'recover of nothing failed'
grep -q 'nothing is unfinished' "$T/recover.out" || fail 'recover did not say that there is nothing'
! adit_recover abcd || fail 'recover of a job that is not there succeeded'
grep -q 'no unfinished job abcd' "$T/recover.err" || fail 'recover did not say which job is not there'

say 'killed while the disk is copied'
. "$TESTS_QEMU/fault.sh"
fault_vm a
fault_reach a mirror
adit_recover || fail 'recover beside a job that runs failed'
grep -q 'left alone' "$T/recover.out" || fail 'recover did not leave alone the job that runs'
proc_kill "$MIGRATE" KILL
adit_migrate a
[ "$MIGRATE_STATUS" = 1 ] || fail "a second migration of it ended with $MIGRATE_STATUS"
said_one_line 'adit recover' || fail 'it did not name the mend'
adit_recover || fail 'adit recover failed'
grep -q 'settled' "$T/recover.out" || fail 'adit recover settled nothing'
left_clock
left_nothing
fault_whole a
fault_retry a a-twin
vm_end a-twin

say 'killed while RAM goes over; adit serve on the source settles it when it starts'
fault_vm b
fault_reach b ram
proc_kill "$MIGRATE" KILL
no_records() { [ -z "$(find "$T/state-src/journal" -name '*.json')" ]; }
! no_records || fail 'there is no record of the job that was killed'
proc_start serve-src src "$ADIT" serve --listen "$SRC_IP:$ADIT_PORT" "${ADIT_SERVE_CREDS[@]}" --allow-migrate \
    --run-dir "$T/run-src" --state-dir "$T/state-src"
wait_until 20 'adit serve to settle the job' no_records
wait_until 5 'adit serve to say what it did' grep -q 'settled: .*runs on here' "$T/serve-src.log"
fault_whole b

#!/usr/bin/env bash
# On: each QEMU
# Sanitizers too
# Goal: adit migrate that is killed while disks are copied, and while the guest stands still, leaves a job that adit
# recover brings to its end: the VM runs on at the source as it was, and the next migration of it is refused until then,
# and works after it.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
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

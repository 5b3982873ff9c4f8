#!/usr/bin/env bash
# On: each QEMU
# Goal: a VM that is paused when the migration begins is paused on the destination, whole, and can go on there. One whose guest
# sleeps (S3), or falls asleep while it is copied, is refused, sleeps on, and can be woken.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
move_disks a 16M raw:virtio
move_vm a append='ram=16 rate=2000 sectors=1024 diskrate=40'
vm_qmp a '{"execute":"stop"}' >/dev/null
sleep 0.3
lines=$(guest_lines a)
adit_migrate a
MOVE_PAUSED=1 move_succeeded a twin raw:virtio
expect_equal "the VM's state on dst" paused "$(vm_status twin)"
expect_equal "heartbeats while it was paused" "$lines" "$(guest_lines a)"
! guest_said twin '^HB' || fail "the guest ran on dst although it was paused"
vm_qmp twin '{"execute":"cont"}' >/dev/null
guest_continues a twin
move_checked twin
vm_end twin

say 'a guest that falls asleep while it is copied, and one that sleeps'
# asleep: it sleeps, as the migration that has just ended says, which has left nothing
asleep() {
    expect_equal 'the exit status of adit migrate' 1 "$MIGRATE_STATUS"
    said_one_line 'sleep.*S3.*system_wakeup'
    expect_equal "the VM's state" suspended "$(vm_status b)"
    expect_equal 'block jobs that are left' 0 "$(vm_query b query-block-jobs length)"
    left_nothing
}
move_disks b 16M raw:virtio
move_vm b append='ram=8 rate=1000 sectors=256 diskrate=20'
left_mark
adit_start b --max-bandwidth 500K
move_phase b mirror
left_clock
guest_send b z
adit_wait 20
asleep
in_host src "$ADIT" check --qmp "${VM_QMP[b]}" "${ADIT_CREDS[@]}" --measure-dirty 0 "$ADIT_DEST" >"$T/check.log" 2>&1 && fail 'adit check finds no error'
grep -q '^error *state *the guest sleeps' "$T/check.log" || fail "adit check says: $(cat "$T/check.log")"
left_mark
left_clock
adit_start b
adit_wait 20
asleep
vm_qmp b '{"execute":"system_wakeup"}' >"$T/qmp.json" || fail "it cannot be woken: $(cat "$T/qmp.json")"
vm_end b

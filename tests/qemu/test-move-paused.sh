#!/usr/bin/env bash
# On: each QEMU
# Goal: a VM that is paused when the migration begins is paused on the destination, whole, and can go on there.
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

#!/usr/bin/env bash
# On: each QEMU
# Goal: --disks. With none, RAM only goes over, and the destination uses the images where they are (a shared folder);
# with node names, those are copied and the others are not.
. "$(dirname "$0")/lib.sh"

move_hosts

say '--disks none, launched'
# what both hosts have mounted at the same place
ADIT_IMAGES=$T/disks
adit_serve_launch
move_disks shared 16M raw:virtio qcow2:virtio
move_vm shared append='ram=16 rate=2000 sectors=1024 diskrate=40'
inodes=$(stat -c %i "$T"/disks/*)
adit_migrate shared --disks none
move_succeeded shared shared-twin
expect_equal "the images' inodes" "$inodes" "$(stat -c %i "$T"/disks/*)"
expect_equal "disk streams" 0 "$(tail -n 1 "$T/migrate.json" | jq '[.streams[] | select(.class == "disk")] | length')"
vm_end shared-twin
proc_end serve

say '--disks none, attached'
adit_serve --allow-migrate
move_disks attached 16M raw:virtio
move_vm attached append='ram=16 rate=2000 sectors=1024 diskrate=40'
vm_start attached-twin dst incoming=1 "${MOVE_DISKS[@]}" append='ram=16 rate=2000 sectors=1024 diskrate=40'
adit_migrate attached --disks none --dest-qmp "${VM_QMP[attached-twin]}"
move_succeeded attached attached-twin
vm_end attached-twin

say '--disks disk1, attached: the other one is shared'
move_disks some 16M raw:virtio raw:virtio
move_vm some append='ram=16 rate=2000 sectors=1024 diskrate=40'
qemu-img create -q -f raw "$T/disks/copy.raw" 16M
vm_start some-twin dst incoming=1 disk="raw:virtio:$T/disks/some-0.raw" disk="raw:virtio:$T/disks/copy.raw" \
    append='ram=16 rate=2000 sectors=1024 diskrate=40'
adit_migrate some --disks disk1 --dest-qmp "${VM_QMP[some-twin]}"
move_succeeded some some-twin
disk_same_but_guest raw "$T/disks/some-1.raw" raw "$T/disks/copy.raw" 1 "$(guest_find some '^READY')"
vm_end some-twin

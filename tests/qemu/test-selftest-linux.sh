#!/usr/bin/env bash
# On: each QEMU
# Goal: the Linux guest boots, does its work on two virtio disks, and finds a spoilt sector.
NEED_LINUX=1
. "$(dirname "$0")/lib.sh"

hosts_make
disk_make "$T/d0" raw 16M
disk_make "$T/d1" qcow2 16M
linux_guest ram=8 rate=1000 sectors=256
vm_start a src "${LINUX_ARGS[@]}" disk="raw:virtio:$T/d0" disk="qcow2:virtio:$T/d1"
guest_ready a 120
guest_reaches a disk1 300 60
guest_quiet a
guest_still a
say "$(guest_verify a)"
stride=$(guest_find a ^READY | sed -E 's/.* disk0=[^ ]*:([0-9]+) .*/\1/')
disk_spoil "$T/d0" $((stride * 3))
guest_send a v
wait_until 30 "the guest noticing" guest_said a "^BAD disk=0 lba=$((stride * 3))"
say "$(guest_find a '^BAD')"

#!/usr/bin/env bash
# On: each QEMU
# Goal: a Linux guest that writes to its file systems' disks and its memory moves, and finds everything whole.
NEED_LINUX=1
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
disk_make "$T/disks/a-0.raw" raw 16M
disk_make "$T/disks/a-1.qcow2" qcow2 16M
linux_guest ram=8 rate=1000 sectors=256
vm_start a src "${LINUX_ARGS[@]}" disk="raw:virtio:$T/disks/a-0.raw" disk="qcow2:virtio:$T/disks/a-1.qcow2"
guest_ready a 120
guest_reaches a disk1 300 60
listeners_watch_start
firewall_reset
# QEMU 7.2 without KVM corrupts RAM by itself after four passes; with this limit two or three do
adit_migrate a --downtime-limit 8000
listeners_watch_end
move_succeeded a twin raw:virtio qcow2:virtio
firewall_expect_connections 1
vm_end twin

#!/usr/bin/env bash
# On: each QEMU
# Sanitizers too
# Goal: a running VM moves with all its disks, and the destination launches its twin: one raw disk; a raw and a qcow2
# disk; four, on virtio and on IDE. Nothing is lost, nothing is done twice, QEMU listens nowhere, one TCP connection
# crosses, and nothing is left behind but the VM.
. "$(dirname "$0")/lib.sh"

# launched NAME KIND...
launched() {
    local name=$1
    shift
    say "$# disk(s): $*"
    move_disks "$name" 16M "$@"
    move_vm "$name" append='ram=16 rate=4000 sectors=1024 diskrate=40'
    firewall_reset
    left_mark
    left_clock
    listeners_watch_start
    adit_migrate "$name"
    listeners_watch_end
    move_succeeded "$name" "$name-twin" "$@"
    firewall_expect_connections 1
    # on dst: the images, and the twin with its own folder
    left_nothing "^file $T/images/|$T/run-dst|^process .*$QEMU .*-incoming"
    vm_end "$name-twin"
}

move_hosts
adit_serve_launch
launched one raw:virtio
launched two raw:virtio qcow2:virtio
launched four raw:ide qcow2:virtio qcow2:ide raw:virtio
firewall_show

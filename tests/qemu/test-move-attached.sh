#!/usr/bin/env bash
# On: each QEMU
# Over: ssh@10.0
# Goal: a VM moves into a QEMU that waits on the destination (--dest-qmp): two disks with node names of their own; one
# whose names QEMU chose; none at all.
. "$(dirname "$0")/lib.sh"

# attached NAME NAMES KIND...
attached() {
    local name=$1 names=$2
    shift 2
    say "$# disk(s), $names node names: $*"
    move_disks "$name" 16M "$@"
    move_vm "$name" names="$names" append='ram=16 rate=4000 sectors=1024 diskrate=40'
    MOVE_TWIN=(names="$names" append='ram=16 rate=4000 sectors=1024 diskrate=40')
    move_twin "$name-twin" 16M "$@"
    firewall_reset
    left_mark
    left_clock
    listeners_watch_start
    adit_migrate "$name" --dest-qmp "${VM_QMP[$name-twin]}"
    listeners_watch_end
    move_succeeded "$name" "$name-twin" "$@"
    firewall_expect_connections 1
    left_nothing
    expect_equal "exports left in the twin" 0 "$(vm_query "$name-twin" query-block-exports length)"
    vm_end "$name-twin"
}

move_hosts
# no right to launch is needed for it
adit_serve --allow-migrate
attached two explicit raw:virtio qcow2:ide
attached auto auto raw:virtio
attached none explicit

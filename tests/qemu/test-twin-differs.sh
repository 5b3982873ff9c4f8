#!/usr/bin/env bash
# On: each QEMU
# Goal: a QEMU that waits on the destination (--dest-qmp) and is not the source's twin: other RAM, another machine, a device
# less or another one, a disk less or too small, one that runs already, one that is not there. One line says what differs, the VM runs
# on, and the right twin takes it afterwards.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

# differing WHAT REGEX SIZE KIND -- [WORD]...: such a twin; WORDs for vm_start
differing() {
    local what=$1 regex=$2 size=$3 kind=$4
    shift 4
    MOVE_TWIN=(append="$guest" "${rng[@]}" "$@")
    # shellcheck disable=SC2086
    move_twin wrong "$size" $kind
    LEFT_MAY="^process .*defunct" move_refused "$what" a 1 "$regex" -- --dest-qmp "${VM_QMP[wrong]}"
    # only what QEMU itself found wrong in the stream ends that twin; else it still waits
    case $regex in
    *'QEMU has gone'*) ;;
    *) expect_equal 'the state of the QEMU that waits' inmigrate "$(vm_status wrong)" ;;
    esac
    vm_end wrong
}

move_hosts
adit_serve --allow-migrate
guest='ram=8 rate=1000 sectors=256 diskrate=20' rng=(arg=-device arg=virtio-rng-pci,addr=9)
move_disks a 16M raw:virtio
move_vm a append="$guest" "${rng[@]}"
differing 'other RAM' 'RAM|memory|MiB' 16M raw:virtio mem=48
differing 'another machine' 'machine type pc-q35-[0-9.]+, the VM pc-i440fx-[0-9.]+:' 16M raw:virtio machine=q35
all=("${rng[@]}") rng=()
differing 'a device less' 'device|QEMU has gone|configuration' 16M raw:virtio
rng=("${all[@]}")
differing 'another disk controller' 'device|disk|ide' 16M raw:ide
differing 'a disk less' 'disk0' 16M ''
differing 'a disk that is too small' 'small|size' 12M raw:virtio
say 'the wrong monitor:'
left_mark
left_clock
adit_start a --dest-qmp "$T/nothing.sock"
adit_wait 20
move_failed a 1 'nothing.sock'
MOVE_DISKS=()
vm_start runs dst append='ram=1 disks=none'
move_refused 'a QEMU that runs already' a 1 'incoming|wait|run' -- --dest-qmp "${VM_QMP[runs]}"
expect_equal 'its state' running "$(vm_status runs)"
vm_end runs
fault_whole a
MOVE_TWIN=(append="$guest" "${rng[@]}")
move_twin twin 16M raw:virtio
adit_migrate a --dest-qmp "${VM_QMP[twin]}"
move_succeeded a twin raw:virtio

#!/usr/bin/env bash
# On: each QEMU
# Goal: a sparse disk stays sparse on the destination, in every format and however its options are written, also where the
# guest's own discards are ignored, and they are still ignored after it; an image that takes all of its space keeps it.
. "$(dirname "$0")/lib.sh"

SIZE=128 # MiB, of which 8 are written
move_hosts
adit_serve_launch
options='append=ram=4 rate=400 sectors=256 diskrate=20'
mkdir -p "$T/disks"

# image NAME FORMAT [OPTIONS]
image() {
    qemu-img create -q -f "$2" ${3:+-o "$3"} "$T/disks/$1" ${SIZE}M
    qemu-io -t unsafe -f "$2" -c 'write -q -P 5 0 4M' -c 'write -q -P 7 64M 4M' "$T/disks/$1"
}
taken() { echo $(($(stat -c %b "$1") / 2048)); } # MiB
# moved NAME: the VM has moved, and each of its disks is as sparse there, and holds the same
moved() {
    local name=$1 file format here there
    adit_migrate "$name"
    MOVE_DISKS=()
    move_succeeded "$name" "$name-twin"
    for file in "$T/disks/$name"*; do
        format=${file##*.}
        here=$(taken "$file") there=$(taken "$T/images/${file##*/}")
        say "  ${file##*/}: $here MiB here, $there MiB there"
        [ "$there" -le $((here + 4)) ] && [ "$there" -ge $((here - 4)) ] || fail "${file##*/} takes $here MiB here, $there MiB there"
    done
}
D=$T/disks

say 'every way to write it'
image ways-0.raw raw
image ways-2.raw raw
image ways-3.raw raw
image ways-4.raw raw
image ways-5.qcow2 qcow2
image ways-6.qcow2 qcow2 compat=0.10
image ways-8.raw raw
qemu-img create -q -f raw -o preallocation=falloc "$D/ways-9.raw" 16M
MOVE_DISKS=(disk=raw:virtio:"$D/ways-0.raw"
    arg=-drive "arg=if=virtio,file=$D/ways-2.raw,format=raw,discard=ignore"
    arg=-hda "arg=$D/ways-3.raw"
    arg=-blockdev "arg=driver=file,node-name=f4,filename=$D/ways-4.raw,discard=ignore" arg=-blockdev arg=driver=raw,node-name=n4,file=f4,discard=unmap,detect-zeroes=on
    arg=-device arg=virtio-blk-pci,drive=n4
    arg=-blockdev "arg=driver=file,node-name=f5,filename=$D/ways-5.qcow2" arg=-blockdev arg=driver=qcow2,node-name=n5,file=f5 arg=-device arg=virtio-blk-pci,drive=n5
    arg=-drive "arg=if=none,id=d6,file=$D/ways-6.qcow2,format=qcow2" arg=-device arg=virtio-blk-pci,drive=d6
    arg=-object arg=throttle-group,id=g,x-bps-total=100000000
    arg=-blockdev "arg={\"driver\":\"throttle\",\"node-name\":\"n8\",\"throttle-group\":\"g\",\"file\":{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"$D/ways-8.raw\"}}}"
    arg=-device arg=virtio-blk-pci,drive=n8
    arg=-drive "arg=if=none,id=d9,file=$D/ways-9.raw,format=raw" arg=-device arg=virtio-blk-pci,drive=d9)
move_vm ways "$options"
moved ways
left=$(vm_query ways-twin query-named-block-nodes '[.[]."node-name" | select(startswith("adit-"))] | length')
expect_equal "nodes of adit's that are left" 0 "$left"
vm_end ways-twin

say 'without a node for the format'
image bare-0.raw raw
MOVE_DISKS=(arg=-blockdev "arg=driver=file,node-name=f0,filename=$D/bare-0.raw" arg=-device arg=virtio-blk-pci,drive=f0)
move_vm bare "$options"
moved bare
vm_end bare-twin

say 'one that waits (--dest-qmp), its image made by hand'
image wait-0.raw raw
MOVE_DISKS=(disk=raw:virtio:"$D/wait-0.raw")
move_vm wait "$options"
mkdir -p "$T/images"
qemu-img create -q -f raw "$T/images/wait-0.raw" ${SIZE}M
vm_start wait-twin dst guest=wait incoming=1 "disk=raw:virtio:$T/images/wait-0.raw" "$options"
adit_migrate wait --dest-qmp "${VM_QMP[wait-twin]}"
[ "$MIGRATE_STATUS" = 0 ] || fail "adit migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/migrate.log")"
[ "$(taken "$T/images/wait-0.raw")" -le 12 ] || fail "the image of the one that waited takes $(taken "$T/images/wait-0.raw") MiB"

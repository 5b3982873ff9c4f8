#!/usr/bin/env bash
# On: each QEMU
# Goal: nothing that an image has beside the bytes that the guest sees vanishes without a word. Internal snapshots stop a
# migration until --drop-snapshots leaves them behind; what qemu-img can make the same is made the same; the rest is
# said by check, and by the migration.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
options='append=ram=8 rate=1000 sectors=512 diskrate=20'

# image_start NAME FORMAT OPTIONS: a VM with one disk, 8 MiB large, made with those options of qemu-img
image_start() {
    move_disks "$1" 8M "raw:virtio"
    [ "$2" = raw ] || qemu-img create -q -f "$2" ${3:+-o "$3"} "$T/disks/$1-0.$2" 8M
    [ "$2" = raw ] || qemu-img convert -n -f raw -O "$2" "$T/disks/$1-0.raw" "$T/disks/$1-0.$2"
    MOVE_DISKS=("disk=$2:virtio:$T/disks/$1-0.$2")
}
# check NAME STATUS [OPTION]...: adit check ends with that status; what it said is in check.out
check() {
    local name=$1 want=$2 status=0
    shift 2
    in_host src "$ADIT" check --qmp "${VM_QMP[${name}]}" "${ADIT_CREDS[@]}" --measure-dirty 0 "$@" "$ADIT_DEST" \
        >"$T/check.out" 2>&1 || status=$?
    [ "$status" = "$want" ] || fail "adit check of $name ended with $status: $(grep -v '^ok' "$T/check.out")"
}
says() { grep -qE "$1" "$T/check.out" || fail "adit check does not say '$1': $(grep -v '^ok' "$T/check.out")"; }
notes() { jq -r 'select(.event == "note").text' "$T/migrate.json" | grep -qE "$1" ||
    fail "adit migrate does not say '$1'"; }
# same_attributes NAME FORMAT: of the image here and there
same_attributes() {
    local of='[."cluster-size", ."format-specific"]' here there
    here=$(qemu-img info -U -f "$2" --output=json "$T/disks/$1-0.$2" | jq -c "$of | del(..|.corrupt?, .\"data-file\"?, .\"data-file-raw\"?, .filename?)")
    there=$(qemu-img info -U -f "$2" --output=json "$T/images/$1-0.$2" | jq -c "$of | del(..|.corrupt?, .filename?)")
    expect_equal "what the image of $1 is like" "$here" "$there"
}

say 'internal snapshots'
image_start snap qcow2 ''
qemu-img snapshot -c monday "$T/disks/snap-0.qcow2"
move_vm snap "$options"
check snap 1
says '^error +snapshots .*monday.*--drop-snapshots'
adit_migrate snap
[ "$MIGRATE_STATUS" = 1 ] || fail "a migration that loses a snapshot ended with $MIGRATE_STATUS"
grep -q 'monday' "$T/migrate.log" || fail "adit migrate does not name the snapshot: $(tail -n 1 "$T/migrate.log")"
vm_is snap running || fail "the VM does not run on"
check snap 0 --drop-snapshots
says '^warning +snapshots .*monday'
adit_migrate snap --drop-snapshots
move_succeeded snap snap-twin qcow2:virtio
notes 'monday'
expect_equal "snapshots at the destination" 0 "$(qemu-img info -U --output=json "$T/images/snap-0.qcow2" | jq '.snapshots // [] | length')"
expect_equal "snapshots at the source" 1 "$(qemu-img info -U --output=json "$T/disks/snap-0.qcow2" | jq '.snapshots // [] | length')"
vm_end snap-twin

say 'all that qcow2 has, and other formats'
for row in 'v3 qcow2 compat=1.1,cluster_size=128k,extended_l2=on,lazy_refcounts=on,refcount_bits=32,compression_type=zstd' \
    'v2 qcow2 compat=0.10,cluster_size=4k' 'qed qed cluster_size=128k'; do
    read -r name format how <<<"$row"
    image_start "$name" "$format" "$how"
    move_vm "$name" "$options"
    check "$name" 0
    adit_migrate "$name"
    move_succeeded "$name" "$name-twin" "$format:virtio"
    same_attributes "$name" "$format"
    vm_end "$name-twin"
done
says '^warning +image .*qed'

say 'preallocated, a data file, a bitmap, a backing file'
image_start full raw ''
rm "$T/disks/full-0.raw"
qemu-img create -q -f raw -o preallocation=falloc "$T/disks/full-0.raw" 8M
image_start more qcow2 "data_file=$T/disks/more.data"
qemu-img bitmap --add "$T/disks/more-0.qcow2" nightly
MOVE_DISKS=("disk=raw:virtio:$T/disks/full-0.raw")
MOVE_DISKS+=(arg=-drive "arg=if=none,id=more,file=$T/disks/more-0.qcow2,format=qcow2" arg=-device arg=virtio-blk-pci,drive=more)
disk_make "$T/disks/below.qcow2" qcow2 8M
qemu-img create -q -f qcow2 -b "$T/disks/below.qcow2" -F qcow2 "$T/disks/over.qcow2"
qemu-img bitmap --add "$T/disks/below.qcow2" weekly
MOVE_DISKS+=(arg=-drive "arg=if=none,id=over,file=$T/disks/over.qcow2,format=qcow2" arg=-device arg=virtio-blk-pci,drive=over)
move_vm full "$options"
check full 0
says '^warning +bitmaps .*nightly'
says '^warning +bitmaps .*weekly'
says '^warning +image .*disk more has its data in another file'
says '^warning +image .*disk over is an image over .*below.qcow2'
adit_migrate full
move_succeeded full full-twin
for word in nightly weekly more.data below.qcow2; do notes "$word"; done
[ $(($(stat -c %b "$T/images/full-0.raw") * 512)) -ge 8388608 ] || fail "the preallocated image is not preallocated there"
expect_equal "the destination's data file" null "$(qemu-img info -U --output=json "$T/images/more-0.qcow2" | jq '."format-specific".data."data-file"')"
vm_end full-twin

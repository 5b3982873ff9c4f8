#!/usr/bin/env bash
# On: each QEMU
# Goal: --copy-storage inc. Only the top image of each disk goes over the line; the destination makes an overlay over the
# backing file that it has, also over a chain of them. Refused by name: a disk without one, a backing file that is missing,
# of another size or format, written to by somebody, or with something below it that is outside of --images; an image that
# is there already. Into a QEMU that waits, the same.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
options='append=ram=8 rate=1000 sectors=512 diskrate=20'

# over NAME SIZE KIND...: as move_disks, each an overlay over a chain root <- base-N, in $T/disks, with 2 MiB of its own
over() {
    local name=$1 size=$2 i=0 kind
    shift 2
    MOVE_DISKS=()
    for kind; do
        rm -f "$T/disks/$name-$i.qcow2"
        qemu-img create -q -f qcow2 -b "base-$i.qcow2" -F qcow2 "$T/disks/$name-$i.qcow2" "$size"
        qemu-io -f qcow2 -c 'write -q -P 0xab 9M 2M' "$T/disks/$name-$i.qcow2"
        MOVE_DISKS+=("disk=$kind:$T/disks/$name-$i.qcow2")
        i=$((i + 1))
    done
}
bases() {
    disk_make "$T/disks/root.raw" raw 64M
    for i in 0 1; do
        qemu-img create -q -f qcow2 -b root.raw -F raw "$T/disks/base-$i.qcow2" 64M
        qemu-io -f qcow2 -c 'write -q -P 0x77 20M 1M' "$T/disks/base-$i.qcow2"
    done
    # the destination's own, under the same names
    cp "$T"/disks/{root.raw,base-0.qcow2,base-1.qcow2} "$T/images/"
}
bases
sums=$(cd "$T/images" && sha256sum root.raw base-*)

say 'launched, over two files each, with -drive and with -blockdev'
for names in auto explicit; do
    over "$names" 64M qcow2:virtio qcow2:ide
    move_vm "$names" names=$names "$options"
    adit_migrate "$names" --copy-storage inc
    move_succeeded "$names" "$names-twin" qcow2:virtio qcow2:ide
    sent=$(tail -n 1 "$T/migrate.json" | jq '[.streams[] | select(.class == "disk").bytes] | add')
    say "  the disks took $sent bytes"
    # (what the guest has written, and writes meanwhile, is more on a busy host; the files below hold 96 MiB and more)
    [ "$sent" -lt 24000000 ] || fail "that is more than the top images hold"
    expect_equal "the backing file there" "$T/images/base-0.qcow2" \
        "$(qemu-img info -U --output=json "$T/images/$names-0.qcow2" | jq -r '."full-backing-filename"')"
    vm_end "$names-twin"
done
# with backing nodes of its own
over nodes 64M qcow2:virtio
MOVE_DISKS=(arg=-blockdev "arg=driver=file,node-name=bf,filename=$T/disks/base-0.qcow2"
    arg=-blockdev "arg={\"driver\":\"qcow2\",\"node-name\":\"b\",\"file\":\"bf\",\"read-only\":true}"
    arg=-blockdev "arg=driver=qcow2,node-name=top,file.driver=file,file.filename=$T/disks/nodes-0.qcow2,backing=b"
    arg=-device arg=virtio-blk-pci,drive=top)
move_vm nodes "$options"
adit_migrate nodes --copy-storage inc
move_succeeded nodes nodes-twin qcow2:virtio
expect_equal "the backing node there" true \
    "$(vm_query nodes-twin query-named-block-nodes '[.[] | select(."node-name" == "b" or ."node-name" == "bf").ro] | all')"
vm_end nodes-twin
expect_equal "the backing files there" "$sums" "$(cd "$T/images" && sha256sum root.raw base-*)"

say 'into a QEMU that waits'
over at 64M qcow2:virtio
move_vm at "$options"
mkdir -p "$T/dst"
MOVE_TWIN=("$options")
move_twin plain 64M qcow2:virtio
move_refused 'without a backing file there' at 1 'disk0' 'base-0.qcow2' 'backing' \
    -- --copy-storage inc --dest-qmp "${VM_QMP[plain]}"
vm_end plain
qemu-img create -q -f qcow2 -b "$T/images/base-1.qcow2" -F qcow2 "$T/dst/at-twin-0.qcow2" 64M
vm_start wrong dst incoming=1 "disk=qcow2:virtio:$T/dst/at-twin-0.qcow2" "$options"
move_refused 'over another one' at 1 'disk0' 'base-0.qcow2' 'base-1.qcow2' \
    -- --copy-storage inc --dest-qmp "${VM_QMP[wrong]}"
vm_end wrong
qemu-img create -q -f qcow2 -b "$T/images/base-0.qcow2" -F qcow2 "$T/dst/at-twin-0.qcow2" 64M
vm_start at-twin dst incoming=1 "disk=qcow2:virtio:$T/dst/at-twin-0.qcow2" "$options"
adit_migrate at --copy-storage inc --dest-qmp "${VM_QMP[at-twin]}"
move_succeeded at at-twin qcow2:virtio
vm_end at-twin

say 'refused'
over a 64M qcow2:virtio
disk_make "$T/disks/whole.raw" raw 8M
MOVE_DISKS+=("disk=raw:ide:$T/disks/whole.raw")
move_vm a append="ram=8 rate=1000 sectors=512 diskrate=20 disks=vd0"
inc=(--copy-storage inc --disks disk0)
move_refused 'a disk without a backing file' a 2 'disk1' 'backing' -- --copy-storage inc
cp "$T/disks/whole.raw" "$T/images/"
mv "$T/images/base-0.qcow2" "$T/kept.qcow2"
move_refused 'a backing file that is missing' a 1 'base-0.qcow2' '--images' -- "${inc[@]}"
# base DESCRIPTION REGEX...: with what is in $T/images/base-0.qcow2 now
base() {
    move_refused "$1" a 1 "${@:2}" -- "${inc[@]}"
    rm -f "$T/images/base-0.qcow2"
}
qemu-img create -q -f qcow2 "$T/images/base-0.qcow2" 63M
base 'one of another size' 'bytes'
qemu-img create -q -f raw "$T/images/base-0.qcow2" 64M
base 'one of another format' 'qcow2'
cp "$T/kept.qcow2" "$T/else.qcow2"
ln -s "$T/else.qcow2" "$T/images/base-0.qcow2"
base 'one that is a link out of --images' '--images'
qemu-img create -q -f qcow2 -b "$T/disks/root.raw" -F raw "$T/images/base-0.qcow2" 64M
base 'one over a file outside of --images' '--images' 'root.raw'
qemu-img create -q -u -f qcow2 -b root.raw "$T/images/base-0.qcow2" 64M 2>/dev/null || cp "$T/else.qcow2" "$T/images/base-0.qcow2"
qemu-img rebase -u -f qcow2 -b nbd:unix:/x -F raw "$T/images/base-0.qcow2"
base 'one over what is no file' 'plain path'
qemu-img create -q -f qcow2 -o "data_file=$T/data.raw,data_file_raw=on" "$T/images/base-0.qcow2" 64M
base 'one with a data file' 'data file'
cp "$T/else.qcow2" "$T/images/base-0.qcow2"
vm_start user dst "disk=qcow2:virtio:$T/images/base-0.qcow2" append='ram=1 disks=none'
move_refused 'one that a VM writes to' a 1 'base-0.qcow2' 'writ' -- "${inc[@]}"
vm_end user
qemu-img create -q -f qcow2 "$T/images/a-0.qcow2" 64M
move_refused 'an image that is there already' a 1 'a-0.qcow2' 'already' -- "${inc[@]}"
rm "$T/images/a-0.qcow2"
cp "$T/kept.qcow2" "$T/images/base-0.qcow2"
MOVE_DISKS=()
adit_migrate a "${inc[@]}"
move_succeeded a a-twin qcow2:virtio
vm_end a-twin

#!/usr/bin/env bash
# On: each QEMU
# Limit: 500 s
# Goal: what runs is what is copied. Of a VM whose disks are others than its command line says, or are written in an unusual way,
# adit check and adit migrate say the same; each disk that is copied gets an image of its own, and no image two writers.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

move_hosts
adit_serve_launch
for name in old new a b; do
    disk_make "$T/disks/$name.raw" raw 4M
    # no two are alike
    qemu-io -f raw -c "write -q -P 0x${name:0:1}${name:0:1} 3M 64k" "$T/disks/$name.raw" 2>/dev/null ||
        printf '%s' "$name" | dd of="$T/disks/$name.raw" bs=1 seek=3145728 conv=notrunc status=none
done
D=$T/disks
scsi='-device virtio-scsi-pci,id=scsi'
# node NAME FILE: -blockdev of two nodes; blockdev_add NAME FILE: the same at run time
node() { printf -- '-blockdev driver=file,node-name=%s-file,filename=%s -blockdev driver=raw,node-name=%s,file=%s-file' "$1" "$2" "$1" "$1"; }
blockdev_add() { printf '{"execute":"blockdev-add","arguments":{"driver":"raw","node-name":"%s","file":{"driver":"file","filename":"%s"}}}' "$1" "$2"; }
blockdev_del() { printf '{"execute":"blockdev-del","arguments":{"node-name":"%s"}}' "$1"; }
device_add() { printf '{"execute":"device_add","arguments":{"driver":"%s","id":"%s","drive":"%s"}}' "${3:-scsi-hd}" "$1" "$2"; }
unplug() {
    "$QMP_CLIENT" -e DEVICE_DELETED "${VM_QMP[$1]}" "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"$2\"}}" >"$T/run.json"
}
unplug_data1() { unplug "$1" data1; }
unplug_data2() { unplug "$1" data2; }
is_flat() {
    [ "$(qemu-img info -U --output=json "$T/images/top.qcow2" | jq 'has("backing-filename")')" = false ] || fail 'the image there has a backing file'
}
stream() {
    "$QMP_CLIENT" -e BLOCK_JOB_COMPLETED "${VM_QMP[$1]}" '{"execute":"block-stream","arguments":{"job-id":"s","device":"top"}}' >"$T/run.json"
}
images_gone() { rm -f "$T"/images/{old,new,a,b}.raw "$T"/images/{top,chain,snap}.qcow2; }

new_is_there() { cmp "$D/new.raw" "$T/images/new.raw" || fail 'the disk there is not the one that was put in'; }
old_is_gone() {
    new_is_there
    [ ! -e "$T/images/old.raw" ] || fail 'the disk that was taken out has been copied'
}

row 'two disks, as they were' vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1 $(node b "$D/b.raw") -device scsi-hd,drive=b,id=data2" \
    check='ok:disks:2 of 2 drives are copied'
images_gone
row 'a disk taken out, another put in under its id' vm="$scsi $(node old "$D/old.raw") -device scsi-hd,id=data1,drive=old" \
    do=unplug_data1 run="$(blockdev_add new "$D/new.raw")" run="$(device_add data1 new)" \
    check='ok:images:new\.raw' after=new_is_there
images_gone
row 'the same, its node deleted' vm="$scsi $(node old "$D/old.raw") -device scsi-hd,id=data1,drive=old" \
    do=unplug_data1 run="$(blockdev_del old)" run="$(blockdev_del old-file)" run="$(blockdev_add new "$D/new.raw")" run="$(device_add data1 new)" after=old_is_gone
images_gone
row 'the same, a node of the same name' vm="$scsi $(node old "$D/old.raw") -device scsi-hd,id=data1,drive=old" \
    do=unplug_data1 run="$(blockdev_del old)" run="$(blockdev_del old-file)" run="$(blockdev_add old "$D/new.raw")" run="$(device_add data1 old)" \
    check='error:launch:new\.raw.*old\.raw'
row 'two disks changed for each other' vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1 $(node b "$D/b.raw") -device scsi-hd,drive=b,id=data2" \
    do=unplug_data1 do=unplug_data2 run="$(device_add data1 b)" run="$(device_add data2 a)"
images_gone
row 'one of two disks taken out, the other with no place of its own' do=unplug_data1 check='ok:images:b\.raw' \
    vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1 $(node b "$D/b.raw") -device scsi-hd,drive=b,id=data2"
images_gone
snapshot() { printf '{"execute":"blockdev-snapshot-sync","arguments":{"node-name":"%s","snapshot-file":"%s","format":"qcow2","snapshot-node-name":"snap"}}' "$1" "$2"; }
row 'a snapshot taken' vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1" run="$(snapshot a "$D/snap.qcow2")" \
    check='error:launch:snap\.qcow2.*a\.raw'
rm -f "$D/snap.qcow2"
row 'a node taken to another file (blockdev-reopen)' \
    vm="$scsi $(node a "$D/a.raw") -blockdev driver=file,node-name=spare,filename=$D/b.raw -device scsi-hd,drive=a,id=data1" \
    run='{"execute":"blockdev-reopen","arguments":{"options":[{"driver":"raw","node-name":"a","file":"spare"}]}}' check='error:launch:b\.raw.*a\.raw'
row 'two nodes over one file' \
    vm="$scsi -blockdev driver=file,node-name=f1,filename=$D/a.raw,locking=off -blockdev driver=raw,node-name=a,file=f1 -device scsi-hd,drive=a,id=data1,share-rw=on
    -blockdev driver=file,node-name=f2,filename=$D/a.raw,locking=off -blockdev driver=raw,node-name=b,file=f2 -device scsi-hd,drive=b,id=data2,share-rw=on" \
    check='error:disks:one image here'
row 'a node that stands on a disk' vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1" check='error:disks:node on .raw. stands on disk a' \
    run='{"execute":"blockdev-add","arguments":{"driver":"raw","node-name":"on","read-only":true,"file":"a"}}'
row 'one node behind two devices' \
    vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1,share-rw=on -device scsi-hd,drive=a,id=data2,share-rw=on"
images_gone
row '-drive, IDE and virtio, as they were' vm="-hda $D/a.raw -drive file=$D/b.raw,if=virtio,format=raw"
images_gone
throttle() { printf '{"execute":"block_set_io_throttle","arguments":{"id":"%s","bps":%s,"bps_rd":0,"bps_wr":0,"iops":0,"iops_rd":0,"iops_wr":0}}' "$1" "$2"; }
limit_kept() { expect_equal 'the I/O limits there' "[7000000]" "$(vm_query "$2" query-block '[.[] | select(.inserted) | .inserted.bps] | tojson')"; }
row 'I/O limits set at run time' vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1" run="$(throttle data1 7000000)" after=limit_kept
images_gone
limit_gone() { expect_equal 'the I/O limits there' "[0]" "$(vm_query "$2" query-block '[.[] | select(.inserted) | .inserted.bps] | tojson')"; }
row 'I/O limits taken away at run time' after=limit_gone run="$(throttle data1 0)" \
    vm="$scsi -drive if=none,id=da,file=$D/a.raw,format=raw,throttling.bps-total=7000000 -device scsi-hd,drive=da,id=data1"
images_gone
group_set() { printf '{"execute":"qom-set","arguments":{"path":"/objects/%s","property":"limits","value":{"bps-total":80000000}}}' "$1"; }
group_kept() {
    expect_equal 'the limit of the group there' 80000000 \
        "$(vm_qmp "$2" '{"execute":"qom-get","arguments":{"path":"/objects/g1","property":"limits"}}' | jq '.return["bps-total"]')"
}
row 'behind a throttle filter, its limits changed at run time' run="$(group_set g1)" after=group_kept \
    vm="$scsi -object throttle-group,id=g1,x-bps-total=90000000 $(node a "$D/a.raw") -blockdev driver=throttle,node-name=t,throttle-group=g1,file=a -device scsi-hd,drive=t,id=data1"
images_gone
row 'behind one, with limits of its own' run="$(throttle data1 7000000)" check='warning:limits:throttle filter .group g1.*hold up the copy' after=limit_kept \
    vm="$scsi -object throttle-group,id=g1,x-bps-total=80000000 $(node a "$D/a.raw") -blockdev driver=throttle,node-name=t,throttle-group=g1,file=a -device scsi-hd,drive=t,id=data1"
images_gone
row 'a throttle group made at run time' check='warning:limits:g2.*will be lost' vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1" \
    run='{"execute":"object-add","arguments":{"qom-type":"throttle-group","id":"g2","limits":{"bps-total":1000000}}}'
images_gone
row 'one without an image' vm="$scsi -blockdev driver=null-co,node-name=n,size=1048576,read-zeroes=on -device scsi-hd,drive=n,id=data1
    -drive driver=null-co,id=m,if=none,size=1048576,read-zeroes=on -device scsi-hd,drive=m,id=data2"

say 'a chain of backing files'
qemu-img create -q -f qcow2 -b a.raw -F raw "$D/chain.qcow2"
qemu-io -f qcow2 -c 'write -q -P 0xab 1M 64k' "$D/chain.qcow2"
qemu-img create -q -f qcow2 -b chain.qcow2 -F qcow2 "$D/top.qcow2"
qemu-io -f qcow2 -c 'write -q -P 0xcd 2M 64k' "$D/top.qcow2"
chain="-blockdev driver=file,node-name=root-file,filename=$D/a.raw,read-only=on -blockdev driver=raw,node-name=root,file=root-file,read-only=on
    -blockdev driver=file,node-name=mid-file,filename=$D/chain.qcow2,read-only=on -blockdev driver=qcow2,node-name=mid,file=mid-file,backing=root,read-only=on
    -blockdev driver=file,node-name=top-file,filename=$D/top.qcow2"
row 'written node by node' vm="$chain -blockdev driver=qcow2,node-name=top,file=top-file,backing=mid -device virtio-blk-pci,drive=top,id=data1" \
    option=--copy-storage option=all check='ok:images:top.qcow2' after=is_flat
images_gone
row 'written node by node, as JSON' vm="$chain -blockdev {\"driver\":\"qcow2\",\"node-name\":\"top\",\"file\":\"top-file\",\"backing\":\"mid\"}
    -device virtio-blk-pci,drive=top,id=data1" after=is_flat
images_gone
row 'written in one option' vm="-drive if=none,id=d,driver=qcow2,file.driver=file,file.filename=$D/top.qcow2,backing.driver=qcow2,backing.file.driver=file,backing.file.filename=$D/chain.qcow2
    -device virtio-blk-pci,drive=d,id=data1" after=is_flat
images_gone
row 'its backing files streamed into it meanwhile' vm="$chain -blockdev driver=qcow2,node-name=top,file=top-file,backing=mid -device virtio-blk-pci,drive=top,id=data1" \
    do=stream after=is_flat
images_gone

say 'as they are written in the wild'
agrees_table_images
agrees_table ide drive scsi node blocked
if L=$(losetup -f --show "$D/t1.raw") && TABLE_LOOP=$(losetup -f --show "$D/t3.raw") && TABLE_LOOP_RO=$(losetup -f -r --show "$D/one.iso"); then
    ln -s "$L" "$D/by-id/lv"
    agrees_table block
    losetup -d "$L" "$TABLE_LOOP" "$TABLE_LOOP_RO"
else
    skip_part 'block devices' 'there is no loop device'
fi
find "$T/images" -type f ! -name '*.elf' -delete

say 'on the destination'
proc_end serve
mkdir "$T/fast" "$T/slow" "$T/thin" "$T/flat"
printf '[storage thin]\nfolder = %s\nformat = qcow2\n[storage flat]\nfolder = %s\nformat = raw\n' "$T/thin" "$T/flat" >"$T/storages"
printf '[storage slow]\nfolder = %s\n' "$T/slow" >>"$T/storages" # that no peer here may use
adit_serve_launch --overwrite-images --allow-storage "fast=$T/fast" --allow-storage thin --allow-storage flat --config "$T/storages"
one="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1"
in_storage() {
    [ -s "$T/fast/web.raw" ] && [ ! -e "$T/images/a.raw" ] || fail 'the image is not in its storage'
    [ "$(stat -c %b "$T/fast/web.raw")" -le 7168 ] || fail "the image takes $(stat -c %b "$T/fast/web.raw") blocks there: it is not sparse"
}
row 'an image in a storage' vm="$one" option=--target option=a=fast:web.raw after=in_storage
rm -f "$T/fast/web.raw"
row 'in one that is another peer'\''s' vm="$one" option=--target option=a=slow:web.raw check='error:launch:no storage of that name'
row 'in one that is another peer'\''s, by --storage' vm="$one" option=--storage option=a=slow check='error:launch:--storage a=slow .--target a=slow:.: there is no storage'
qemu-img convert -O qcow2 "$D/b.raw" "$D/c.qcow2"
qemu-img convert -O qcow2 "$D/old.raw" "$D/e.qcow2"
three="$one -drive if=none,id=b,file=$D/b.raw,format=raw,discard=unmap -device scsi-hd,drive=b,id=data2
    -blockdev driver=qcow2,node-name=c,l2-cache-size=1048576,file.driver=file,file.filename=$D/c.qcow2 -device scsi-hd,drive=c,id=data3
    -drive if=none,id=e,file=$D/e.qcow2,l2-cache-size=1M -device scsi-hd,drive=e,id=data4"
is_of() { expect_equal "the format of $2" "$1" "$(qemu-img info -U --output=json "$2" | jq -r .format)"; }
in_storages() {
    is_of qcow2 "$T/thin/a.qcow2"
    is_of qcow2 "$T/thin/b.qcow2"
    is_of raw "$T/flat/c.raw"
    is_of raw "$T/flat/e.raw"
    [ "$(stat -c %b "$T/flat/c.raw")" -le 7168 ] || fail "the image takes $(stat -c %b "$T/flat/c.raw") blocks there: it is not sparse"
}
row 'in storages that make another format' vm="$three" option=--storage option=c=flat,e=flat,=thin after=in_storages \
    check='ok:images:thin/b.qcow2 is free to be made for drive b, as qcow2' check='ok:images:flat/c.raw .* as raw' check='ok:disk-space:free'
rm -f "$T"/thin/* "$T"/flat/*
row 'an image that no option names the format of' vm="$scsi -blockdev driver=file,node-name=a,filename=$D/a.raw -device scsi-hd,drive=a,id=data1" \
    option=--storage option==thin check='error:launch:disk a is to be qcow2.*names no format'
printf 'another peer'\''s' >"$T/fast/b-disk.raw"
truncate -s 4M "$T/fast/b-disk.raw"
untouched() { expect_equal 'what was in the storage' "another peer's" "$(head -c 14 "$T/fast/b-disk.raw")"; }
row 'an image that is there already in a storage' vm="$one" option=--target option=a=fast:b-disk.raw \
    check='error:images:b-disk.raw is there already.*may be another peer.s.*--target'
untouched
row 'an image that is another'\''s there' vm="$one" option=--target option=a=fast:b-disk.raw option=--disks option=none \
    check='error:launch:only what is copied'
truncate -s 80M "$D/big.raw" "$T/fast/big.raw"
row 'a large medium that is there already in a storage' option=--target option=r=fast:big.raw check='error:images:big.raw .*too large' \
    vm="$scsi -blockdev driver=raw,node-name=r,read-only=on,file.driver=file,file.filename=$D/big.raw -device scsi-cd,drive=r,id=cd1"
row 'in a folder that is nobody'\''s' vm="$one" option=--target option="a=$T/fast/../slow/web.raw" check='error:launch:no folder for images'
two="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1 $(node b "$D/b.raw") -device scsi-hd,drive=b,id=data2"
qemu-img create -q -f raw "$T/images/a.raw" 4M
ln "$T/images/a.raw" "$T/images/b.raw"
row 'two images that are one by a hard link' vm="$two" check='error:images:one file.*a and b'
ln -sf a.raw "$T/images/b.raw"
row 'two images that are one by a link' vm="$two" check='error:images:one file.*a and b'
images_gone
qemu-img create -q -f qcow2 -o preallocation=full "$T/images/a.raw" 4M
row 'an image that is there, of another format' vm="$one" check='error:images:a.raw .* is a qcow2 image, and drive a is to be raw there'
images_gone
mkdir -p "$T/there"
qemu-img create -q -f raw "$T/there/a.raw" 4M
qemu-img create -q -f raw "$T/there/b.raw" 4M
ln "$T/there/a.raw" "$T/there/c.raw"
E=$T/there
unlocked() { printf -- '-blockdev driver=raw,node-name=%s,file.driver=file,file.locking=off,file.filename=%s' "$1" "$2"; }
row 'a QEMU that waits' vm="$two" twin="$scsi $(node a "$E/a.raw") -device scsi-hd,drive=a,id=data1 $(node b "$E/b.raw") -device scsi-hd,drive=b,id=data2"
row 'one that has a node for both' vm="$two" check='error:drives:both be copied into' \
    twin="$scsi $(node a "$E/a.raw") -device scsi-hd,drive=a,id=data1,share-rw=on -device scsi-hd,drive=a,id=data2,share-rw=on"
row 'one that has a file for both' vm="$two" check='error:drives:both be copied into' \
    twin="$scsi $(unlocked a "$E/a.raw") -device scsi-hd,drive=a,id=data1,share-rw=on $(unlocked b "$E/a.raw") -device scsi-hd,drive=b,id=data2,share-rw=on"
row 'one that has a linked file for both' vm="$two" check='error:drives:both be copied into' \
    twin="$scsi $(unlocked a "$E/a.raw") -device scsi-hd,drive=a,id=data1,share-rw=on $(unlocked b "$E/c.raw") -device scsi-hd,drive=b,id=data2,share-rw=on"
row 'one that has two files for one' check='error:drives:one image here, and two' \
    vm="$scsi $(node a "$D/a.raw") -device scsi-hd,drive=a,id=data1,share-rw=on -device scsi-hd,drive=a,id=data2,share-rw=on" \
    twin="$scsi $(node a "$E/a.raw") -device scsi-hd,drive=a,id=data1,share-rw=on $(node b "$E/b.raw") -device scsi-hd,drive=b,id=data2,share-rw=on"
row 'a disk changed under its id, into one that waits' vm="$scsi $(node old "$D/old.raw") -device scsi-hd,id=data1,drive=old" \
    do=unplug_data1 run="$(blockdev_del old)" run="$(blockdev_del old-file)" run="$(blockdev_add new "$D/new.raw")" run="$(device_add data1 new)" \
    twin="$scsi $(node new "$E/b.raw") -device scsi-hd,id=data1,drive=new"
agrees_end

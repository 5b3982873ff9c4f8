#!/usr/bin/env bash
# On: each QEMU
# Goal: images on the destination as they should be: one that is there is used, also a larger one; a new one is made like
# the source's (clusters of another size); a read-only image and an empty CD-ROM drive are no obstacle.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch --overwrite-images
options='append=ram=8 rate=1000 sectors=1024 diskrate=40'

say 'one that is there, of the same size'
move_disks same 16M raw:virtio qcow2:virtio
qemu-img create -q -f raw "$T/images/same-0.raw" 16M
qemu-img create -q -f qcow2 "$T/images/same-1.qcow2" 16M
# what it holds is written over, wherever the source has nothing
qemu-io -f raw -c 'write -q -P 0xee 0 16M' "$T/images/same-0.raw"
qemu-io -f qcow2 -c 'write -q -P 0xee 0 16M' "$T/images/same-1.qcow2"
inode=$(stat -c %i "$T/images/same-0.raw")
move_vm same "$options"
adit_migrate same
move_succeeded same same-twin raw:virtio qcow2:virtio
expect_equal "the inode of the image that was there" "$inode" "$(stat -c %i "$T/images/same-0.raw")"
vm_end same-twin

say 'one that is there, larger'
move_disks larger 16M raw:virtio
qemu-img create -q -f raw "$T/images/larger-0.raw" 24M
move_vm larger "$options"
adit_migrate larger
move_succeeded larger larger-twin
expect_equal "its size" $((24 * 1048576)) "$(stat -c %s "$T/images/larger-0.raw")"
head -c 16M "$T/images/larger-0.raw" >"$T/images/head.raw"
disk_same_but_guest raw "$T/disks/larger-0.raw" raw "$T/images/head.raw" 0 "$(guest_find larger '^READY')"
vm_end larger-twin

say 'a qcow2 image with clusters of 16 KiB'
move_disks clusters 16M qcow2:virtio
qemu-img create -q -f qcow2 -o cluster_size=16k "$T/disks/small.qcow2" 16M
qemu-img convert -n -O qcow2 "$T/disks/clusters-0.qcow2" "$T/disks/small.qcow2"
mv "$T/disks/small.qcow2" "$T/disks/clusters-0.qcow2"
move_vm clusters "$options"
adit_migrate clusters
move_succeeded clusters clusters-twin qcow2:virtio
expect_equal "its cluster size" 16384 "$(qemu-img info -U --output=json "$T/images/clusters-0.qcow2" | jq '."cluster-size"')"
vm_end clusters-twin

say 'a read-only disk, and an empty CD-ROM drive'
move_disks mixed 16M raw:virtio
# one that is only read has to be there already
disk_make "$T/disks/readonly.raw" raw 4M
cp "$T/disks/readonly.raw" "$T/images/"
MOVE_DISKS+=("disk=raw:virtio:$T/disks/readonly.raw:ro" arg=-device arg=ide-cd,bus=ide.1,id=cd)
move_vm mixed "append=ram=8 rate=1000 sectors=1024 disks=vd0"
adit_migrate mixed
move_succeeded mixed mixed-twin raw:virtio
disk_same raw "$T/disks/readonly.raw" raw "$T/images/readonly.raw"
vm_end mixed-twin

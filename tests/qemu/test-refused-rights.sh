#!/usr/bin/env bash
# Goal: what adit serve's options do not name is not to be had, and the line says which option is missing: --allow-migrate,
# --allow-launch (none, or of another binary), --images, --allow-dest-qmp, --overwrite-images. An image that is too small, or that a QEMU uses, is refused by
# name. What was there stays, what was made goes, and the VM runs on.
. "$(dirname "$0")/lib.sh"

# serving OPTION...: another adit serve
serving() {
    proc_end serve
    adit_serve "$@"
}

move_hosts
move_disks a 8M raw:virtio qcow2:virtio
move_vm a append='ram=8 rate=1000 sectors=256 diskrate=20'
serving --allow-forward 'unix:/nothing'
move_refused 'no right to migrate' a 1 '--allow-migrate' 'destination'
serving --allow-migrate
move_refused 'no right to launch' a 1 '--allow-launch'
serving --allow-migrate --allow-launch "$(command -v socat)"
move_refused 'a right to launch another binary' a 1 '--allow-launch' "${QEMU##*/}"
ADIT_IMAGES='' serving --allow-migrate --allow-launch "$QEMU"
move_refused 'no folder for images' a 1 '--images'
for pattern in '' "$T/*.sock" "$T/*/[b-z]*.sock" "$T/b/*"; do
    ADIT_DEST_QMP=$pattern serving --allow-migrate --allow-launch "$QEMU"
    move_refused "no right to that monitor with '${pattern#"$T"}'" a 1 '--allow-dest-qmp' "$T/a/a.sock" -- --dest-qmp "$T/a/a.sock"
done
ADIT_DEST_QMP="$T/a/[.]*/*.sock" serving --allow-migrate --allow-launch "$QEMU"
move_refused 'a way round a pattern' a 1 '--allow-dest-qmp' -- --dest-qmp "$T/a/../a.sock"
mkdir -p "$T/images"
qemu-img create -q -f qcow2 "$T/images/a-1.qcow2" 8M
move_refused 'an image that would be overwritten' a 1 'a-1.qcow2' '--overwrite-images'
serving --allow-migrate --allow-launch "$QEMU" --overwrite-images

qemu-img create -q -f qcow2 "$T/images/a-1.qcow2" 7M
# the other disk's image could be made, and may not stay
move_refused 'an image that is too small' a 1 'a-1.qcow2' 'small|size|7'
qemu-img create -q -f raw "$T/images/a-1.qcow2" 8M
move_refused 'an image of another format' a 1 'a-1.qcow2' 'format|qcow2|raw'
qemu-img create -q -f qcow2 "$T/images/a-1.qcow2" 8M
vm_start user dst disk="qcow2:virtio:$T/images/a-1.qcow2" append='ram=1 disks=none'
move_refused 'an image that another QEMU uses' a 1 'a-1.qcow2' 'use'
vm_end user
# one that was only opened before: the lock is what counts
qemu-img create -q -f raw "$T/images/a-0.raw" 8M
vm_start user dst disk="raw:virtio:$T/images/a-0.raw:ro" append='ram=1 disks=none'
move_refused 'an image that another QEMU reads' a 1 'a-0.raw' 'use'
vm_end user
guest_quiet a
guest_still a
say "  guest on src: $(guest_verify a)"
guest_go a
adit_migrate a
move_succeeded a twin raw:virtio qcow2:virtio

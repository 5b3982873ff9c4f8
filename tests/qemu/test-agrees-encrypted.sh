#!/usr/bin/env bash
# On: each QEMU
# Limit: 300 s
# Goal: what cannot be encrypted on the destination as it is at the source is never copied there: adit check says why, and
# adit migrate refuses it in the same words. A secret that no image is encrypted with goes over, too.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

move_hosts
adit_serve_launch
mkdir -p "$T/disks" "$T/keys" "$T/dst"
secret='-object secret,id=s0,data=open-sesame'
# made once, and cheaply to open
disk_luks create -q -f qcow2 --object secret,id=s0,data=open-sesame \
    -o encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10 "$T/disks/a.qcow2" 4M
disk_luks create -q -f luks --object secret,id=s0,data=open-sesame -o key-secret=s0,iter-time=10 "$T/disks/b.luks" 4M
printf open-sesame >"$T/keys/k"
drive="-drive if=none,id=d0,file=$T/disks/a.qcow2,format=qcow2,encrypt.key-secret=s0 -device virtio-blk-pci,drive=d0"
luks="-blockdev driver=luks,node-name=l,key-secret=s0,file.driver=file,file.filename=$T/disks/b.luks"

key_goes() { rm "$T/keys/k"; }
row 'the file of a secret has gone' vm="-object secret,id=s0,file=$T/keys/k $drive" do=key_goes \
    check='error:encryption:secret s0 is in .*/keys/k, which cannot be read any more'
row 'a secret that is not there any more' vm="$secret" run='{"execute":"object-del","arguments":{"id":"s0"}}' \
    check='error:encryption:secret s0 is not there any more'
# (user keyring of whoever runs this)
key=$(perl -e 'my @key = ("user", "adit-test", "open-sesame"); print syscall(248, @key, 11, -4)' 2>/dev/null || true)
if [ "${key:--1}" != -1 ]; then
    row 'a secret in a keyring' vm="-object secret_keyring,id=s0,serial=$key $drive" \
        check='error:encryption:secret s0 is in the keyring'
else
    say 'left out: a secret in a keyring (no key can be made here)'
fi
row 'a secret that no image has' vm='-object secret,id=vnc0,data=other-sesame' check='ok:encryption:1 secret of QEMU'
disk_luks amend --object secret,id=s0,data=open-sesame --object secret,id=s1,data=two -o \
    encrypt.state=active,encrypt.new-secret=s1,encrypt.iter-time=10 \
    --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$T/disks/a.qcow2"
row '--persistent, and another key' vm="$secret $drive" option=--persistent \
    check='warning:encryption:disk d0 has 2 key slots in use; its copy will have one' check='error:encryption:secrets \(s0\), which are not kept'

# more than the copy can be
qemu-io --object secret,id=s0,data=open-sesame -c 'write -q 0 4M' --image-opts \
    "driver=luks,key-secret=s0,file.driver=file,file.filename=$T/disks/b.luks"
qemu-img create -q -f qcow2 "$T/disks/in.qcow2" 1M
qemu-img convert -n --object secret,id=s0,data=open-sesame --image-opts driver=raw,file.filename="$T/disks/in.qcow2" \
    --target-image-opts "driver=luks,key-secret=s0,file.driver=file,file.filename=$T/disks/b.luks"
row 'qcow2 inside of LUKS' vm="$secret $luks -blockdev driver=qcow2,node-name=q,file=l -device virtio-blk-pci,drive=q" \
    check='error:encryption:disk q is an image inside of an encrypted one'
cp "$T/disks/b.luks" "$T/images/"
AGREES_SECRET=secret,id=s0,data=open-sesame
row 'the same, which both hosts have' vm="$secret $luks -blockdev driver=qcow2,node-name=q,file=l -device virtio-blk-pci,drive=q" \
    option=--copy-storage option=none check='ok:encryption:1 secret of QEMU'
rm "$T/images/b.luks"
qemu-img create -q -f qcow2 -u -b "$T/disks/a.qcow2" -F qcow2 "$T/disks/top.qcow2" 4M
row 'one that stands on an encrypted image' \
    vm="$secret -drive if=none,id=d0,file=$T/disks/top.qcow2,format=qcow2,backing.encrypt.key-secret=s0 -device virtio-blk-pci,drive=d0" \
    check='error:encryption:disk d0 stands on an encrypted image'
qemu-img create -q -f qcow2 "$T/dst/plain.qcow2" 4M
row 'a QEMU that waits with a plain image' vm="$secret $drive" \
    twin="$secret -drive if=none,id=d0,file=$T/dst/plain.qcow2,format=qcow2,encrypt.key-secret=s0 -device virtio-blk-pci,drive=d0" \
    check='error:drives:drive d0 of the destination.s QEMU is not encrypted'

# in plaintext
ADIT_DEST=tcp://$DST_IP
adit_client --insecure
adit_server --insecure
proc_end serve
adit_serve_launch
row 'over tcp://' vm="$secret" check='error:encryption:secret s0 would go .*in plaintext'
agrees_end

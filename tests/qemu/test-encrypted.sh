#!/usr/bin/env bash
# On: each QEMU
# Goal: an encrypted image never arrives in plaintext: luks, qcow2 with luks, by -drive and by -blockdev.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
secret=(arg=-object arg=secret,id=s0,data=opensesame)
options='append=ram=8 rate=1000 sectors=1024 diskrate=40'
mkdir -p "$T/disks"

# crypt_make PATH FORMAT
crypt_make() {
    local prefix=
    [ "$2" = luks ] || prefix=encrypt.
    qemu-img create -q -f "$2" --object secret,id=s0,data=opensesame \
        -o "${prefix:+encrypt.format=luks,}${prefix}key-secret=s0,${prefix}iter-time=10" "$1" 8M
}
crypt_make "$T/disks/a.qcow2" qcow2
crypt_make "$T/disks/b.luks" luks

vm_start drive src "$options" "${secret[@]}" arg=-drive \
    "arg=if=none,id=d0,file=$T/disks/a.qcow2,format=qcow2,encrypt.key-secret=s0" arg=-device arg=virtio-blk-pci,drive=d0
guest_ready drive
move_refused 'qcow2 by -drive' drive 1 'disk d0 is encrypted'
[ ! -e "$T/images/a.qcow2" ] || fail 'an image was made'
vm_end drive

vm_start blockdev src "$options" "${secret[@]}" arg=-blockdev "arg=driver=file,node-name=f,filename=$T/disks/b.luks" \
    arg=-blockdev arg=driver=luks,node-name=l,file=f,key-secret=s0 arg=-device arg=virtio-blk-pci,drive=l
guest_ready blockdev
move_refused 'luks by -blockdev' blockdev 1 'disk l is encrypted'
vm_end blockdev

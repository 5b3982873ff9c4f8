#!/usr/bin/env bash
# Goal: --launch-hook, with the example that people copy: it starts the VM that comes, makes its disks, and undoes both when
# the migration is cancelled, or adit serve is killed. What it refuses, and what is no good answer, is told in one line.
. "$(dirname "$0")/lib.sh"
need jq

hook=$T/hook
mkdir -p "$hook/vms" "$T/images"
cp "$TOP/dist/launch-hook-example.sh" "$hook/example"
export ADIT_HOOK_QEMU=$QEMU ADIT_HOOK_VMS=$hook/vms ADIT_HOOK_IMAGES=$T/images
serving() {
    proc_end serve
    ADIT_DEST_QMP='' adit_serve --allow-migrate --launch-hook "$1"
}
# what the VM named NAME is made of there: as vm_start makes it, with dst's own paths
args() {
    cat >"$hook/vms/$1.args" <<ARGS
# $1
-accel
tcg
-machine
pc
-m
32
-name
guest=$1
-nodefaults
-display
none
-no-reboot
-kernel
$GUEST_ELF
-blockdev
driver=file,node-name=disk0-file,filename=$T/images/$1-0.qcow2,read-only=off
-blockdev
driver=qcow2,node-name=disk0,file=disk0-file,read-only=off
-device
virtio-blk-pci,drive=disk0,id=dev0
-drive
if=none,id=seed,media=cdrom,format=raw,file=$T/images/seed.iso
-device
ide-cd,drive=seed,id=seed0
-chardev
socket,id=serial0,path={dir}/serial.sock,server=on,wait=off,logfile={dir}/serial.log
-serial
chardev:serial0
ARGS
}

move_hosts
serving "$hook/example"
move_disks a 32M qcow2:virtio
# a secret that could not be handed over is for the hook to have, if it needs it
printf open-sesame >"$T/key"
# a medium, which is the hook's to have: it is not told to make it
head -c 256K /dev/urandom >"$T/disks/seed.iso"
cp "$T/disks/seed.iso" "$T/images/"
move_vm a append='ram=16 rate=3000 sectors=1024 diskrate=20' arg=-object arg="secret,id=s0,file=$T/key" \
    arg=-drive arg="if=none,id=seed,media=cdrom,format=raw,file=$T/disks/seed.iso" arg=-device arg=ide-cd,drive=seed,id=seed0
rm "$T/key"
move_refused 'a VM that the hook does not know' a 1 'a.args' 'launch hook'
args a
move_refused 'an image that is to be elsewhere' a 1 'target disk0: a launch hook starts the VM there.*leave it out' -- --target disk0=other.qcow2
move_refused 'one that is to be in a storage' a 1 'storage or --target disk0: a launch hook starts the VM there' -- --storage =fast
qemu-img create -q -f qcow2 "$T/images/a-0.qcow2" 1M
move_refused 'an image that is there already' a 1 'a-0.qcow2 is there already'
rm "$T/images/a-0.qcow2"

say 'cancelled while it copies'
fault_cancel() {
    left_mark
    adit_start a --max-bandwidth 4M "$@"
    move_phase a mirror
    [ -e "$T/images/a-0.qcow2" ] || fail "the hook has made no image"
    left_clock
}
fault_cancel
kill -INT "$(pgrep -f 'adit migrate --qmp' -n)"
adit_wait 20
move_failed a 1 'cancel'
say 'adit serve killed'
fault_cancel
kill -9 "${PROC_PID[serve]}"
adit_wait 20
move_failed a 1 'lost' 'gone|closed'
serving "$hook/example"

answer() { # what the hook does instead
    printf '#!/bin/sh\n%s\n' "$1" >"$hook/other"
    chmod 755 "$hook/other"
    serving "$hook/other"
}
answer '[ "$1" = undo ] || { echo one >&2; echo two >&2; exit 3; }'
move_refused 'the last line of its standard error' a 1 'other does not start the VM: two'
answer 'echo hello'
move_refused 'an answer that is none' a 1 'has not answered with one line'
answer 'echo "{\"qmp\": \"relative\"}"'
move_refused 'a monitor without a whole path' a 1 'has not answered with one line'
answer "echo '{\"qmp\": \"$T/nothing.sock\"}'"
move_refused 'a monitor that is not there' a 1 'nothing.sock'
vm_start running dst append='ram=1 disks=none'
answer "echo '{\"qmp\": \"${VM_QMP[running]}\"}'"
move_refused 'a QEMU that does not wait' a 1 'does not wait' 'running'
vm_is running running || fail "the other VM was touched"
vm_end running
chmod 777 "$hook/other"
"$ADIT" serve --psk "$T/psk" --allow-migrate --launch-hook "$hook/other" >"$T/out.log" 2>&1 && fail "taken: a hook that all may write to"
grep -q 'writable' "$T/out.log" || fail "adit serve says: $(cat "$T/out.log")"

say 'the example, whole'
serving "$hook/example"
adit_migrate a
jq -r 'select(.event == "note").text' "$T/migrate.json" | grep -q "secret s0 is in $T/key, which cannot be read any more" ||
    fail "the secret that is not handed over is not told of: $(grep note "$T/migrate.json")"
qmp=$(tail -n 1 "$T/migrate.json" | jq -r .destination.qmp)
vm_adopt twin dst "$qmp" "${qmp%/*}/serial.sock" "${qmp%/*}/serial.log" "$(cat "${qmp%/*}/qemu.pid")"
move_succeeded a twin qcow2:virtio
cmp "$T/disks/seed.iso" "$T/images/seed.iso" || fail 'the medium there was written to'
serving "$hook/example"
[ -e "${qmp%/*}/vm.json" ] || fail "the folder of a VM that lives was swept away"
move_vm b guest=a append='ram=8 rate=1000 disks=none'
move_refused 'a name that a VM has there' b 1 '"a" runs'
proc_end twin

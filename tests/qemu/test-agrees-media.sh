#!/usr/bin/env bash
# On: each QEMU
# Goal: of a drive with a removable medium adit check and adit migrate say the same, and it has there what it has here: nothing
# where it was ejected, the new one where it was changed; never again the one that QEMU was started with.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

move_hosts
adit_serve_launch
disk_make "$T/disks/one.iso" raw 1M
disk_make "$T/disks/two.iso" raw 2M
disk_make "$T/disks/one.img" raw 1440k
disk_make "$T/disks/lost.iso" raw 3M
# media are only read: they have to be there already
cp "$T"/disks/{one,two}.iso "$T/images/"
iso=$T/disks/one.iso

eject() { printf '{"execute":"eject","arguments":{"device":"%s","force":true}}' "$1"; }
change() { printf '{"execute":"blockdev-change-medium","arguments":{"%s":"%s","filename":"%s","format":"raw","read-only-mode":"read-only"}}' "$1" "$2" "$3"; }

row '-cdrom, as it was' vm="-cdrom $iso" check='ok:images:one.iso is there'
row '-drive media=cdrom with an id, ejected' vm="-drive media=cdrom,index=2,id=cd,file=$iso" run="$(eject cd)"
row '-drive if=none, ejected' vm="-drive if=none,id=cd,file=$iso,media=cdrom -device ide-cd,drive=cd,bus=ide.0" run="$(eject cd)"
row '-drive media=cdrom with an id, changed' vm="-drive media=cdrom,index=2,id=cd,file=$iso" run="$(change device cd "$T/disks/two.iso")"
agrees_end

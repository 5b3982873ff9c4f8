#!/usr/bin/env bash
# On: each QEMU
# Limit: 500 s
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
remove() { printf '{"execute":"blockdev-open-tray","arguments":{"id":"%s","force":true}}\n{"execute":"blockdev-remove-medium","arguments":{"id":"%s"}}' "$1" "$1"; }
remove_cd() { mapfile -t commands < <(remove cd); vm_qmp "$1" "${commands[@]}" >"$T/run.json"; }
change() { printf '{"execute":"blockdev-change-medium","arguments":{"%s":"%s","filename":"%s","format":"raw","read-only-mode":"read-only"}}' "$1" "$2" "$3"; }

row '-cdrom, as it was' vm="-cdrom $iso" check='ok:images:one.iso is there'
row '-cdrom, ejected' vm="-cdrom $iso" run="$(eject ide1-cd0)"
row '-drive media=cdrom without an id, ejected' vm="-drive media=cdrom,index=2,file=$iso" run="$(eject ide1-cd0)"
row '-drive media=cdrom with an id, ejected' vm="-drive media=cdrom,index=2,id=cd,file=$iso" run="$(eject cd)"
row '-drive if=none, ejected' vm="-drive if=none,id=cd,file=$iso,media=cdrom -device ide-cd,drive=cd,bus=ide.0" run="$(eject cd)"
row '-blockdev, removed' vm="-blockdev driver=file,node-name=f,filename=$iso,read-only=on -blockdev driver=raw,node-name=cd0,file=f,read-only=on
    -device ide-cd,drive=cd0,id=cd,bus=ide.0" do=remove_cd
row '-blockdev of one node, removed' vm="-blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=$iso
    -device ide-cd,drive=cd0,id=cd,bus=ide.0" do=remove_cd
row '-blockdev, removed and deleted' vm="-blockdev driver=file,node-name=f,filename=$iso,read-only=on -blockdev driver=raw,node-name=cd0,file=f,read-only=on
    -device ide-cd,drive=cd0,id=cd,bus=ide.0" do=remove_cd run='{"execute":"blockdev-del","arguments":{"node-name":"cd0"}}'

row '-cdrom, changed' vm="-cdrom $iso" run="$(change device ide1-cd0 "$T/disks/two.iso")" check='ok:images:two.iso is there'
row '-drive media=cdrom with an id, changed' vm="-drive media=cdrom,index=2,id=cd,file=$iso" run="$(change device cd "$T/disks/two.iso")"
row '-blockdev, changed' vm="-blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=$iso
    -device ide-cd,drive=cd0,id=cd,bus=ide.0" run="$(change id cd "$T/disks/two.iso")"
row 'put into a drive that was empty' vm="-device ide-cd,id=cd,bus=ide.0" run="$(change id cd "$T/disks/two.iso")"
row 'changed for one that is not there' vm="-cdrom $iso" run="$(change device ide1-cd0 "$T/disks/lost.iso")"
[ -s "$T/images/lost.iso" ] || fail 'lost.iso was not copied'
rm "$T/images/lost.iso"
row 'the same, and no medium is to be copied' vm="-cdrom $iso" run="$(change device ide1-cd0 "$T/disks/lost.iso")" \
    option=--copy-media option=off check='error:images:lost.iso is missing'
row 'a floppy that is only read' vm="-drive if=floppy,format=raw,readonly=on,file=$T/disks/one.img"
rm "$T/images/one.img"
row 'a floppy, ejected' vm="-fda $T/disks/one.img" run="$(eject floppy0)"
row 'put into the drive that every machine has' vm="-device ide-cd,id=cd,bus=ide.1,unit=1 -fda $T/disks/one.img" \
    run="$(change id cd "$T/disks/two.iso")"

say 'into a QEMU that waits'
cd='-device ide-cd,id=cd,bus=ide.0'
mkdir -p "$T/there"
cp "$T"/disks/*.iso "$T/there/"
cp "$T/disks/one.iso" "$T/there/other.iso"
medium() { printf -- '-blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=%s %s,drive=cd0' "$1" "$cd"; }
row 'as it was' vm="$(medium "$iso")" twin="$(medium "$T/there/one.iso")"
row 'ejected on both' vm="$(medium "$iso")" do=remove_cd twin="$cd"
row 'ejected here' vm="$(medium "$iso")" do=remove_cd twin="$(medium "$T/there/one.iso")" check='error:drives:cd.*eject it there'
row 'empty there' vm="$(medium "$iso")" twin="$cd" check='error:drives:one\.iso.*put it in there'
row 'another size there' vm="$(medium "$iso")" twin="$(medium "$T/there/two.iso")" check='error:drives:two\.iso.*bytes, not'
row 'another name there' vm="$(medium "$iso")" twin="$(medium "$T/there/other.iso")" check='warning:drives:other\.iso.*one\.iso'

say 'as they are written in the wild'
agrees_table_images
agrees_table seed
mkdir "$T/there.table"
cp "$T/disks/one.iso" "$T/there.table/other.iso"
truncate -s 100k "$T/there.table/short.iso"
agrees_table refused
row 'a large one, where that is asked for' vm="-cdrom $T/disks/large.iso" option=--copy-media option=on

say 'what a job that fails has copied is removed'
rm -f "$T/images/seed.iso"
vm_start slow src append='ram=4 rate=400 disks=none' arg=-cdrom arg="$T/disks/large.iso"
guest_ready slow
rm "$T/images/large.iso"
move_refused 'a medium that is half copied' slow 1 'did not finish|timeout|within' -- --copy-media on --max-bandwidth 1M --timeout 3
agrees_end

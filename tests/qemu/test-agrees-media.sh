#!/usr/bin/env bash
# On: each QEMU
# Limit: 500 s
# Goal: of a drive with a removable medium adit check and adit migrate say the same, and it has there what it has here: nothing
# where it was ejected, the new one where it was changed; never again the one that QEMU was started with; nor on the way back.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

adit_launch_user
move_hosts both
adit_serve_launch ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
adit_serve_back ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
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
remove_cds() { mapfile -t commands < <(for id in cd cd2 cd3; do remove $id; echo; done); vm_qmp "$1" "${commands[@]}" >"$T/run.json"; }
of_user() { expect_equal 'the user of its QEMU' "$LAUNCH_UID" "$(stat -c %u "/proc/${PROC_PID[$2]}")"; }
change() { printf '{"execute":"blockdev-change-medium","arguments":{"%s":"%s","filename":"%s","format":"raw","read-only-mode":"read-only"}}' "$1" "$2" "$3"; }

row '-cdrom, as it was' vm="-cdrom $iso" check='ok:images:one.iso is there'
row 'ejected: -cdrom, -drive media=cdrom without an id and with one, -drive if=none' vm="-cdrom $iso -drive media=cdrom,index=0,file=$iso
    -drive media=cdrom,index=1,id=cd,file=$iso -drive if=none,id=cd2,file=$iso,media=cdrom -device ide-cd,drive=cd2,bus=ide.1,unit=1" \
    run="$(eject ide1-cd0)" run="$(eject ide0-cd0)" run="$(eject cd)" run="$(eject cd2)"
row 'removed: -blockdev, -blockdev of one node, one that was deleted then' vm="
    -blockdev driver=file,node-name=f,filename=$iso,read-only=on -blockdev driver=raw,node-name=cd0,file=f,read-only=on
    -blockdev driver=raw,node-name=cd1,read-only=on,file.driver=file,file.filename=$iso
    -blockdev driver=file,node-name=f2,filename=$iso,read-only=on -blockdev driver=raw,node-name=cd2,file=f2,read-only=on
    -device ide-cd,drive=cd0,id=cd,bus=ide.0,unit=0 -device ide-cd,drive=cd1,id=cd2,bus=ide.0,unit=1 -device ide-cd,drive=cd2,id=cd3,bus=ide.1,unit=0" \
    do=remove_cds run='{"execute":"blockdev-del","arguments":{"node-name":"cd2"}}'

two=$T/disks/two.iso
row 'changed: -cdrom, -drive media=cdrom with an id, -blockdev, what was empty' vm="-cdrom $iso -drive media=cdrom,index=0,id=cd,file=$iso
    -blockdev driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=$iso -device ide-cd,drive=cd0,id=cd2,bus=ide.0,unit=1
    -device ide-cd,id=cd3,bus=ide.1,unit=1" run="$(change device ide1-cd0 "$two")" run="$(change device cd "$two")" run="$(change id cd2 "$two")" \
    run="$(change id cd3 "$two")" check='ok:images:two.iso is there'
row 'one changed for what is not there, one ejected' vm="-cdrom $iso -drive media=cdrom,index=3,id=cd,file=$iso" \
    run="$(change device ide1-cd0 "$T/disks/lost.iso")" run="$(eject cd)" back=of_user
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

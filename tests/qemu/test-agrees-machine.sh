#!/usr/bin/env bash
# On: each QEMU
# Limit: 500 s
# Goal: of a VM's machine, its screens, sockets, tables and what confines it, as people write them, adit check and adit migrate
# say the same: it is moved, or refused with what would help; no password stands in a log or a command line of adit's.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

move_hosts
adit_serve_launch
W=$T/written
mkdir -p "$W"
printf hello >"$W/table"
cp "$W/table" "$T/images/"
version=$("$QEMU" --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
# words PROC: what it was started with, a line each
words() { tr '\0' '\n' <"/proc/${PROC_PID[$1]}/cmdline"; }
has_word() { words "$1" | grep -qE -- "$2" || fail "no word like $2 in: $(words "$1" | paste -sd' ')"; }

say 'what confines it and where it tells of itself is the destination to say'
as=''
[ "$version" -ge 10 ] || as='-runas nobody'
[ "$version" -lt 10 ] || as='-run-with user=nobody'
row 'another user, a sandbox, files' vm="$as -pidfile $W/pid -D $W/log -sandbox on,obsolete=deny,elevateprivileges=allow,spawn=deny
    -msg timestamp=on -overcommit mem-lock=off -no-shutdown -no-user-config" check='warning:launch:launch-user'
if [ "$version" -lt 9 ]; then
    hpet_off() { has_word "$2" '^hpet=off$'; }
    row 'what QEMU 9 has no more' vm='-no-hpet -no-acpi -singlestep' after=hpet_off
fi

say 'screens'
screen() { [ -S "$T/run-dst/vms/$1"-*/"$2" ] || fail "no $2 there"; }
vnc_asks() {
    expect_equal 'what VNC asks for there' vnc "$(vm_query "$2" query-vnc .auth)"
    screen "$1" vnc.sock
}
spice_closed() { has_word "$2" '^image-compression=off,unix=on,addr=[^ ]*/spice.sock$'; screen "$1" spice.sock; }
spice_open() { has_word "$2" ',disable-ticketing=on$'; screen "$1" spice.sock; }
row 'VNC on a port, with a password' vm='-vnc 127.0.0.1:7,password=on,share=force-shared' check='warning:launch:VNC asks for a password' after=vnc_asks
row 'VNC on a socket, with a secret' vm="-object secret,id=vs,data=open-sesame -vnc unix:$W/vnc.sock,password-secret=vs" after=vnc_asks
"$QEMU" -spice help >"$T/spice.log" 2>&1 || true
if grep -q '^spice options' "$T/spice.log"; then
    row 'SPICE on a port, with a password' vm='-spice port=5999,addr=127.0.0.1,password=geheim,image-compression=off -device qxl-vga' \
        check='warning:launch:SPICE asks for a password' after=spice_closed
    row 'SPICE, as virt-install has it' vm="-spice port=5998,disable-ticketing=on,seamless-migration=on -device virtio-serial-pci -device qemu-xhci,id=x
        -chardev spicevmc,id=vda,name=vdagent -device virtserialport,chardev=vda,name=com.redhat.spice.0
        -chardev spicevmc,id=red0,name=usbredir -device {\"driver\":\"usb-redir\",\"chardev\":\"red0\",\"id\":\"redir0\",\"bus\":\"x.0\"}" after=spice_open
else
    skip_part 'SPICE' "QEMU $version has none: $(tail -n 1 "$T/spice.log")"
fi
row 'no sound there' vm='-audiodev {"id":"a1","driver":"none"} -device AC97,audiodev=a1 -audiodev none,id=a2 -device ich9-intel-hda -device hda-duplex,audiodev=a2'

say 'sockets and logs'
socat -u "UNIX-LISTEN:$W/events.sock,fork" OPEN:/dev/null &
wait_until 5 'a listener for events' test -S "$W/events.sock"
row 'a guest agent, and monitors of all kinds' vm="-device virtio-serial-pci
    -chardev socket,path=$W/qga.sock,server=on,wait=off,id=qga0 -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0
    -chardev socket,id=m1,path=$W/m1.sock,server=on,wait=off -mon chardev=m1,mode=control -chardev socket,id=m2,path=$W/events.sock,reconnect=5
    -mon chardev=m2,mode=control -monitor telnet:127.0.0.1:4457,server,nowait -qmp tcp:127.0.0.1:4458,server=on,wait=off" \
    check='warning:launch:-mon chardev=m2 is left out'
row 'serial ports' vm="-serial pty -serial tcp:127.0.0.1:4455,server=on,wait=off -serial telnet:127.0.0.1:4456,server,nowait -serial null
    -parallel none -debugcon file:$W/debug.log -global isa-debugcon.iobase=0x402"
row 'a serial port at a program of this host' vm="-chardev socket,id=c,path=$W/events.sock,reconnect=5 -device isa-serial,chardev=c" \
    check='error:launch:connected to a program of the source'
row 'a serial port over UDP' vm='-serial udp:127.0.0.1:4567@:4568' check='error:launch:-serial'

say 'tables, and configuration in files'
row 'in files that are there' vm="-smbios type=1,uuid=11111111-2222-3333-4444-555555555555,serial=x -smbios type=11,value=a,value=b
    -fw_cfg name=opt/a,string=b -fw_cfg name=opt/b,file=$W/table -acpitable sig=TEST,data=$W/table"
printf x >"$W/lost"
row 'in a file that is not' vm="-fw_cfg name=opt/b,file=$W/lost" check='error:launch:lost.*copy it there'
printf '[device "rng0"]\n  driver = "virtio-rng-pci"\n\n# of QEMU\n[memory]\n  size = "40M"\n' >"$W/machine.cfg"
changed() { touch -d '+1 minute' "$W/machine.cfg"; }
row '-readconfig' vm="-readconfig $W/machine.cfg"
row '-readconfig, of another contents by now' vm="-readconfig $W/machine.cfg" do=changed check='error:command-line:was changed after'

say 'devices and memory'
row 'what most have' vm="-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r,max-bytes=1024,period=1000 -object iothread,id=io1
    -device qemu-xhci,id=x -device usb-tablet,bus=x.0 -device virtio-balloon-pci,free-page-reporting=on
    -device vmgenid,guid=11111111-2222-3333-4444-555555555555 -device pvpanic -device i6300esb -rtc base=localtime,driftfix=slew -boot menu=on,strict=on
    -k de -vga std -cpu Haswell,-hle -bios /usr/share/seabios/bios-256k.bin"
row 'two NUMA nodes' mem=64 vm='-smp 2 -object memory-backend-ram,id=m0,size=32M -object memory-backend-ram,id=m1,size=32M
    -numa node,nodeid=0,cpus=0,memdev=m0 -numa node,nodeid=1,cpus=1,memdev=m1 -numa dist,src=0,dst=1,val=20'
row 'a memfd' vm='-object memory-backend-memfd,id=ram,size=32M,share=on -M memory-backend=ram'
row 'a shared folder' vm="-fsdev local,id=f,path=$W,security_model=none -device virtio-9p-pci,fsdev=f,mount_tag=t" check='error:launch:-fsdev.*folder of the source'
other=$(qemu_for 10.0)
if [ "$version" -lt 10 ] && grep -q '^spice options' "$T/spice.log" && [ -x "$other" ] && ! "$other" -spice help 2>&1 | grep -q '^spice options'; then
    proc_end serve
    adit_serve --allow-migrate --allow-launch "$other"
    row 'SPICE, of which the QEMU there has no module' vm='-spice port=5999,addr=127.0.0.1,disable-ticketing=on' \
        check='error:spice:has SPICE, and QEMU 10.* on the destination has not'
fi
agrees_end

#!/usr/bin/env bash
# On: each QEMU
# Limit: 500 s
# Goal: of a VM's machine, its screens, sockets, tables and what confines it, as people write them, adit check and adit migrate
# say the same: it is moved (Proxmox's and libvirt's whole command lines also back), or refused with what would help; no password stands in a log or a command line of adit's.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

adit_launch_user
move_hosts both
adit_serve_launch ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
adit_serve_back ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
W=$T/written
mkdir -p "$W"
printf hello >"$W/table"
cp "$W/table" "$T/images/"
version=$("$QEMU" --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
# words PROC: what it was started with, a line each
words() { tr '\0' '\n' <"/proc/${PROC_PID[$1]}/cmdline"; }
of_user() { expect_equal 'the user of its QEMU' "$LAUNCH_UID" "$(stat -c %u "/proc/${PROC_PID[$2]}")"; }
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
row 'what most have' check='ok:devices:[0-9]+ devices' vm="-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r,max-bytes=1024,period=1000 -object iothread,id=io1
    -device qemu-xhci,id=x -device usb-tablet,bus=x.0 -device virtio-balloon-pci,free-page-reporting=on
    -device vmgenid,guid=11111111-2222-3333-4444-555555555555 -device pvpanic -device i6300esb -rtc base=localtime,driftfix=slew -boot menu=on,strict=on
    -k de -vga std -cpu Haswell,-hle -bios /usr/share/seabios/bios-256k.bin"
row 'two NUMA nodes' mem=64 vm='-smp 2 -object memory-backend-ram,id=m0,size=32M -object memory-backend-ram,id=m1,size=32M
    -numa node,nodeid=0,cpus=0,memdev=m0 -numa node,nodeid=1,cpus=1,memdev=m1 -numa dist,src=0,dst=1,val=20'
row 'a memfd' vm='-object memory-backend-memfd,id=ram,size=32M,share=on -M memory-backend=ram'
row 'a shared folder' vm="-fsdev local,id=f,path=$W,security_model=none -device virtio-9p-pci,fsdev=f,mount_tag=t" check='error:launch:-fsdev.*folder of the source'
say 'whole command lines (their disks and networks: agrees-disks, move-net)'
events='-chardev socket,id=qmp-event,path='$W'/events.sock,reconnect=5 -mon chardev=qmp-event,mode=control'
row 'as qm showcmd has it' back=of_user vm="-no-shutdown -chardev socket,id=qmp,path=$W/100.qmp,server=on,wait=off -mon chardev=qmp,mode=control $events
    -pidfile $W/100.pid -smbios type=1,uuid=8a4c0b3e-3f0a-4d0e-9d2f-0b8e5a9f7c11 -smp 1,sockets=1,cores=1,maxcpus=1
    -boot menu=on,strict=on,reboot-timeout=1000,splash=$W/table -vnc unix:$W/100.vnc,password=on -cpu qemu64,+aes,enforce
    -object iothread,id=iothread-virtioscsi0 -global PIIX4_PM.disable_s3=1 -global PIIX4_PM.disable_s4=1
    -device pci-bridge,id=pci.1,chassis_nr=1,bus=pci.0,addr=0x1e -device vmgenid,guid=0f7a2c7e-7a0c-4a6c-8f0e-6f2f5d1b2c3d
    -device piix3-usb-uhci,id=uhci,bus=pci.0,addr=0x1.0x2 -device usb-tablet,id=tablet,bus=uhci.0,port=1 -device VGA,id=vga,bus=pci.0,addr=0x2
    -chardev socket,path=$W/100.qga,server=on,wait=off,id=qga0 -device virtio-serial,id=qga0,bus=pci.0,addr=0x8
    -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 -device virtio-balloon-pci,id=balloon0,bus=pci.0,addr=0x3,free-page-reporting=on
    -iscsi initiator-name=iqn.1993-08.org.debian:01:a -device virtio-scsi-pci,id=virtioscsi0,bus=pci.1,addr=0x1,iothread=iothread-virtioscsi0"
printf 'not so secret a key, of 32 bytes' >"$W/master-key.aes"
row 'as virsh domxml-to-native has it' back=of_user mem=size=32768k vm="-object {\"qom-type\":\"secret\",\"id\":\"masterKey0\",\"format\":\"raw\",\"file\":\"$W/master-key.aes\"}
    -object {\"qom-type\":\"memory-backend-ram\",\"id\":\"pc.ram\",\"size\":33554432} -machine usb=off,dump-guest-core=off,memory-backend=pc.ram,acpi=on
    -cpu qemu64 -overcommit mem-lock=off -smp 1,sockets=1,cores=1,threads=1 -uuid 5b0a1c2d-3e4f-4051-8263-748596a7b8c9 -no-user-config
    -chardev socket,id=charmonitor,path=$W/monitor.sock,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control
    -rtc base=utc,driftfix=slew -global kvm-pit.lost_tick_policy=delay -machine hpet=off -no-shutdown -global PIIX4_PM.disable_s3=1 -boot strict=on
    -device {\"driver\":\"ich9-usb-ehci1\",\"id\":\"usb\",\"bus\":\"pci.0\",\"addr\":\"0x3.0x7\"} -device {\"driver\":\"virtio-serial-pci\",\"id\":\"virtio-serial0\",\"bus\":\"pci.0\",\"addr\":\"0x5\"}
    -chardev pty,id=charserial0,logfile=$W/console.log,logappend=off -device {\"driver\":\"isa-serial\",\"chardev\":\"charserial0\",\"id\":\"serial0\",\"index\":1}
    -chardev socket,id=charchannel0,path=$W/agent.sock,server=on,wait=off
    -device {\"driver\":\"virtserialport\",\"bus\":\"virtio-serial0.0\",\"nr\":1,\"chardev\":\"charchannel0\",\"id\":\"channel0\",\"name\":\"org.qemu.guest_agent.0\"}
    -audiodev {\"id\":\"audio1\",\"driver\":\"none\"} -vnc 127.0.0.1:8,audiodev=audio1 -device {\"driver\":\"cirrus-vga\",\"id\":\"video0\",\"bus\":\"pci.0\",\"addr\":\"0x2\"}
    -device {\"driver\":\"virtio-balloon-pci\",\"id\":\"balloon0\",\"addr\":\"0x6\"} -object {\"qom-type\":\"rng-random\",\"id\":\"objrng0\",\"filename\":\"/dev/urandom\"}
    -device {\"driver\":\"virtio-rng-pci\",\"rng\":\"objrng0\",\"id\":\"rng0\",\"addr\":\"0x7\"} -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -msg timestamp=on"

# what the QEMU there has not: the module is not installed, or it is of another age
there() { proc_end serve; adit_serve --allow-migrate --allow-launch "$1"; }
other=$(qemu_for "$([ "$version" -lt 10 ] && echo 10.0 || echo 7.2)")
if [ "$version" -lt 10 ] && grep -q '^spice options' "$T/spice.log" && [ -x "$other" ] && ! "$other" -spice help 2>&1 | grep -q '^spice options'; then
    there "$other"
    row 'SPICE, of which the QEMU there has no module' vm='-spice port=5999,addr=127.0.0.1,disable-ticketing=on -device qxl-vga' \
        check='error:spice:has SPICE, and QEMU 10.* on the destination has not' check='error:devices:-device qxl-vga: QEMU 10.* has none of that type.*modules-spice'
fi
if [ "$version" -ge 10 ] && [ -x "$other" ]; then
    there "$other"
    row 'what the older QEMU there does not know' machine=pc-i440fx-7.2 check='error:devices:-object memory-backend-shm: QEMU 7.* has none of that type' \
        check='error:devices:-device virtio-balloon: QEMU 7.* knows no x-pcie-ext-tag of it' \
        vm='-object memory-backend-shm,id=shm,size=4M -device virtio-balloon,x-pcie-ext-tag=on'
fi
agrees_end

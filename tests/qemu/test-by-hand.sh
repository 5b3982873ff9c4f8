#!/usr/bin/env bash
# Goal: the lines of docs/integrations.md, "QEMU by hand", move a VM with a disk through one port as they stand there: each
# box is run in a shell of the host that it names, in order.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/boxes.sh"

move_hosts
echo "$DST_IP destination" >>"$T/hosts"
# /etc, /run and /var/lib are each host's own
BOXES_PRELUDE=$T/prelude.sh
cat >"$BOXES_PRELUDE" <<'END'
mount --bind "$T/$host/etc" /etc && mount -t tmpfs none /run && mount -t tmpfs none /var/lib &&
    mkdir /var/lib/vms && mount --bind "$T/$host/vms" /var/lib/vms
END
for host in src dst; do
    mkdir -p "$T/$host/vms"
    cp -a /etc "$T/$host/etc" 2>/dev/null || true
    mkdir -p "$T/$host/etc/adit"
    cp "$T/psk" "$T/$host/etc/adit/psk"
    boxes_shell $host
done
# what a reader's VM boots is the reader's; here it is the guest that checks itself
cat >"$T/bin/qemu-system-x86_64" <<END
#!/bin/sh
exec $QEMU -accel tcg -nodefaults -no-reboot -kernel $GUEST_ELF -append 'ram=16 rate=1000 sectors=256' \\
    -chardev "socket,id=serial0,path=$T/\$BOX_HOST/serial.sock,server=on,wait=off,logfile=$T/\$BOX_HOST/serial.log" \\
    -serial chardev:serial0 "\$@"
END
chmod 755 "$T/bin/qemu-system-x86_64"
disk_make "$T/src/vms/demo.raw" raw 16M

vm_here() {
    vm_adopt "$1" "$1" none "$T/$1/serial.sock" "$T/$1/serial.log" "$(host_processes "$1" | awk '/-name demo/ { print $1; exit }')"
    VM_DISKS[$1]=1
}
boxes_take 'QEMU by hand'
for box in "$T"/boxes/*; do
    boxes_run "$box"
    # the VM is at work before anything begins
    if grep -q -- '-daemonize' "$box" && [[ $box = *.source ]]; then
        vm_here src
        guest_ready src
        guest_reaches src beat 8 20
    fi
done
vm_here dst
guest_continues src dst
guest_beats_on dst
guest_quiet dst
guest_still dst
say "$(guest_verify dst)"
disk_same_but_guest raw "$T/src/vms/demo.raw" raw "$T/dst/vms/demo.raw" 0 "$(guest_find src '^READY')"
firewall_expect_connections 1
firewall_show
wait_until 5 'QEMU and adit on the source end' eval '! host_processes src | grep -qE "qemu|adit forward"'
docs_done

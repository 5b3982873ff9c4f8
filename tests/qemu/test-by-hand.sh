#!/usr/bin/env bash
# Goal: the lines of docs/integrations.md, "QEMU by hand", move a VM with a disk through one port as they stand there: each
# box is run in a shell of the host that it names, in order.
. "$(dirname "$0")/lib.sh"

# boxes SECTION: each box of it that names a host, to $T/boxes/NN.HOST
boxes() {
    mkdir -p "$T/boxes"
    awk -v section="## $1" -v out="$T/boxes" '
        /^## / { on = $0 == section }
        on && /^ *```sh (source|destination|both)$/ { file = sprintf("%s/%02d.%s", out, ++n, $2); next }
        /^ *```/ { file = "" }
        file { print >file }' "$TOP/docs/integrations.md"
}

# A shell of that host, which runs the boxes that it is given. Its own are /etc, /run and /var/lib.
cat >"$T/shell.sh" <<'END'
host=$1 T=$2
mount --bind "$T/$host/etc" /etc && mount -t tmpfs none /run && mount -t tmpfs none /var/lib &&
    mkdir /var/lib/vms && mount --bind "$T/$host/vms" /var/lib/vms || exit
export DOC_HOST=$host PATH=$T/bin:$PATH
exec 3<>"$T/$host/in"
set -E
trap 'echo "FAIL: $host: status $?: $BASH_COMMAND"; bad=1' ERR
while read -r box <&3; do
    bad=0
    . "$box"
    [ $? = 0 ] || bad=1
    echo "$bad" >"$T/$host/status.new"
    mv "$T/$host/status.new" "$T/$host/status"
done
END

host_shell() {
    mkdir -p "$T/$1/vms"
    cp -a /etc "$T/$1/etc" 2>/dev/null || true
    cp "$T/psk" "$T/$1/etc/adit.psk"
    mkfifo "$T/$1/in"
    proc_start "shell-$1" "$1" unshare --mount bash "$T/shell.sh" "$1" "$T"
}

box_done() { [ -e "$T/$1/status" ] || { proc_gone "shell-$1" && fail "the shell of $1 ended"; }; }
box_run() {
    local said
    said=$(wc -c <"${PROC_LOG[shell-$1]}")
    rm -f "$T/$1/status"
    echo "$2" >"$T/$1/in"
    wait_until 60 "the end of: $(head -n 1 "$2") (on $1)" box_done "$1"
    [ "$(cat "$T/$1/status")" = 0 ] || fail "on $1: $(tail -c "+$((said + 1))" "${PROC_LOG[shell-$1]}" | tail -n 5)"
    # QEMU answers what it cannot do with an error, and the box goes on
    ! tail -c "+$((said + 1))" "${PROC_LOG[shell-$1]}" | grep '"error": *{' || fail "QEMU on $1 refused: $(cat "$2")"
}

move_hosts
echo "$DST_IP destination" >>"$T/hosts"
mkdir "$T/bin"
ln -s "$ADIT" "$T/bin/adit"
# what a reader's VM boots is the reader's; here it is the guest that checks itself
cat >"$T/bin/qemu-system-x86_64" <<END
#!/bin/sh
exec $QEMU -accel tcg -nodefaults -no-reboot -kernel $GUEST_ELF -append 'ram=16 rate=1000 sectors=256' \\
    -chardev "socket,id=serial0,path=$T/\$DOC_HOST/serial.sock,server=on,wait=off,logfile=$T/\$DOC_HOST/serial.log" \\
    -serial chardev:serial0 "\$@"
END
chmod 755 "$T/bin/qemu-system-x86_64"
for host in src dst; do
    host_shell $host
done
disk_make "$T/src/vms/demo.raw" raw 16M

vm_here() {
    vm_adopt "$1" "$1" none "$T/$1/serial.sock" "$T/$1/serial.log" "$(host_processes "$1" | awk '/-name demo/ { print $1; exit }')"
}
boxes 'QEMU by hand'
expect_equal 'boxes for both sides' 1 "$([ "$(find "$T/boxes" -type f | wc -l)" -ge 12 ] && echo 1)"
for box in "$T"/boxes/*; do
    say "$(basename "$box"): $(head -n 1 "$box" | cut -c 1-100)"
    case $box in
    *.source) box_run src "$box" ;;
    *.destination) box_run dst "$box" ;;
    *.both) box_run src "$box" && box_run dst "$box" ;;
    esac
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

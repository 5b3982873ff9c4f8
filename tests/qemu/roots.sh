# Hosts as a newcomer has them: src and dst with a root of their own each, which is a fresh Debian of this machine's release
# with this machine's /usr (QEMU, ssh, compilers), where nothing of adit is. "destination" is dst. Sourced after lib.sh, which
# was told NEED_ROOT=1.
# shellcheck shell=bash disable=SC2034

# become FOLDER FRESH T TOP [PROGRAMS]: makes the root in FOLDER, enters it and waits in it
roots_become() {
    local at=$1 fresh=$2 t=$3 top=$4 r=$1/root from
    mount --make-rprivate /
    mkdir -p "$at"
    mount -t tmpfs -o mode=755 tmpfs "$at"
    mkdir "$at"/{root,u,w,usr-u,usr-w,top-u,top-w}
    mount -t overlay overlay -o "lowerdir=$fresh,upperdir=$at/u,workdir=$at/w" "$r"
    mount -t overlay overlay -o "lowerdir=/usr,upperdir=$at/usr-u,workdir=$at/usr-w" "$r/usr"
    # what was installed there, and which of several programs is meant
    for from in /var/lib/dpkg /etc/alternatives ${5:+"$5"}; do
        mkdir -p "$r$from"
        mount --bind "$from" "$r$from"
        mount -o remount,bind,ro "$r$from"
    done
    mount -t proc proc "$r/proc"
    mount --rbind /sys "$r/sys"
    mount --rbind /dev "$r/dev"
    mount -t tmpfs -o mode=755 tmpfs "$r/run"
    mount -t tmpfs tmpfs "$r/tmp"
    cp /etc/hosts "$r/etc/hosts"
    # the clone, with what was built in it
    mkdir -p "$r$top" "$r$t"
    mount -t overlay overlay -o "lowerdir=$top,upperdir=$at/top-u,workdir=$at/top-w" "$r$top"
    mount --bind "$t" "$r$t"
    cd "$r"
    pivot_root . .
    umount -l .
    : >"$t/${at##*/}.up"
    exec env --ignore-signal=CHLD sleep infinity
}
if [ "${1:-}" = become ] && [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -eu
    roots_become "${@:2}"
fi

need sshd ssh-keygen scp cmake
[ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ] || skip 'a root of its own is for root'
. "$TOP/tests/lib/sshd.sh"
SSHD_PROGRAM=$(command -v sshd)

# roots_make: both, with their network and the firewall of move_hosts, that lets ssh through too; sshd runs on dst, and root
# of src may log in there
roots_make() {
    local host
    hosts_make
    firewall_make "{ $ADIT_PORT, 22 }"
    printf '%s destination storage dst dst.example\n' $DST_IP >>"$T/hosts"
    for host in src dst; do
        proc_start "root-$host" "$host" unshare --mount bash "$TESTS_QEMU/roots.sh" become "$T/root-$host" "$FRESH_ROOT" "$T" "$TOP" "${UNPACKED:-}"
    done
    for host in src dst; do
        wait_until 10 "the root of $host" roots_up "$host"
    done
    on dst sh -c 'echo sshd:x:100:65534::/run/sshd:/usr/sbin/nologin >>/etc/passwd && mkdir -p /etc/ssh /run/sshd && ssh-keygen -q -A &&
        install -d -m 700 /root/.ssh'
    on src sh -c 'install -d -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519'
    on src cat /root/.ssh/id_ed25519.pub | on dst tee /root/.ssh/authorized_keys >/dev/null
    printf 'destination %s\n' "$(on dst cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" | on src tee /root/.ssh/known_hosts >/dev/null
    printf '%s\n' 'PidFile none' 'UsePAM no' 'AllowTcpForwarding no' 'AllowStreamLocalForwarding no' 'Subsystem sftp internal-sftp' \
        "$(sshd_patient "$T/root-dst/root/etc/ssh/ssh_host_ed25519_key")" | on dst tee /etc/ssh/sshd_config >/dev/null
    begin dst sshd "$SSHD_PROGRAM" -D -e
    wait_until 10 'sshd to listen' eval 'listeners dst | grep -q ":22 "'
}
roots_up() {
    proc_runs "root-$1" || fail "no root can be made for $1: $(tail -n 1 "${PROC_LOG[root-$1]}")"
    [ -e "$T/root-$1.up" ]
}

# on HOST COMMAND...: there, as root who has just logged in; begin HOST NAME COMMAND...: in the background, as proc NAME
on() { nsenter -t "${PROC_PID[root-$1]}" -m -n -r -- env -C /root -i HOME=/root "PATH=$ROOTS_PATH" LC_ALL=C.UTF-8 "${@:2}"; }
begin() { proc_start "$2" "$1" nsenter -t "${PROC_PID[root-$1]}" -m -r -- env -C /root -i HOME=/root "PATH=$ROOTS_PATH" LC_ALL=C.UTF-8 "${@:3}"; }
ROOTS_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# roots_install: adit, as README.md has it for one who has a clone; what was built in it already is not built again
roots_install() {
    local host
    cat >"$T/install.sh"
    for host in src dst; do
        begin "$host" "install-$host" sh -euc 'cd "$1" && . "$2"' sh "$TOP" "$T/install.sh"
    done
    for host in src dst; do
        proc_wait "install-$host" 120
        expect_equal "the status of the installation on $host" 0 "$PROC_STATUS"
    done
}

# lines HOST NAME [INPUT]: a shell there runs what comes on standard input, as it stands; what it says is in $T/NAME.log
lines() {
    cat >"$T/$2.sh"
    sed 's/^/  /' "$T/$2.sh"
    on "$1" bash -euo pipefail "$T/$2.sh" >"$T/$2.log" 2>&1 <<<"${3:-}" || fail "on $1: $(cat "$T/$2.sh"): $(tail -n 5 "$T/$2.log")"
}
# lines_begin HOST NAME: the same in the background, as proc NAME (so not behind a pipe)
lines_begin() {
    cat >"$T/$2.sh"
    [ -s "$T/$2.sh" ] || fail "nothing to run on $1"
    sed 's/^/  /' "$T/$2.sh"
    begin "$1" "$2" bash -euo pipefail "$T/$2.sh"
}

# lines_end NAME: what such a shell runs is told to end, and must end well
lines_end() {
    pkill -TERM -P "${PROC_PID[$1]}"
    proc_wait "$1" 10
    expect_equal "the status of $1, told to end" 0 "$PROC_STATUS"
}

# vm NAME [SIZE]: a VM on src with a disk (8M) in /var/lib/vms and the monitor that the pages have, or VM_MONITOR; at work
vm() {
    local name=$1 root=/proc/${PROC_PID[root-src]}/root
    mkdir -p "$T/$name"
    on src mkdir -p /var/lib/vms
    disk_make "$T/$name/disk.raw" raw "${2:-8M}"
    on src cp "$T/$name/disk.raw" "/var/lib/vms/$name.raw"
    begin src "$name" qemu-system-x86_64 -name "$name" -machine pc,accel=tcg -m 32 -nodefaults -display none -no-reboot \
        -kernel "$GUEST_ELF" -append 'ram=8 rate=1000 sectors=64 diskrate=20' -drive "file=/var/lib/vms/$name.raw,format=raw,if=virtio" \
        -chardev "socket,id=serial0,path=$T/$name/serial.sock,server=on,wait=off,logfile=$T/$name/serial.log" -serial chardev:serial0 \
        -qmp "unix:${VM_MONITOR:-/run/vm.qmp},server=on,wait=off"
    VM_HOST[$name]=src VM_QMP[$name]=$root${VM_MONITOR:-/run/vm.qmp} VM_PROC[$name]=$name
    VM_SERIAL[$name]=$T/$name/serial.sock VM_LOG[$name]=$T/$name/serial.log
    wait_until 20 "the monitor of $name" vm_has_monitor "$name"
    VM_DISKS[$name]=1
    guest_ready "$name"
    # what it boots is not on its disk
    on dst mkdir -p /var/lib/vms
    on dst cp "$GUEST_ELF" /var/lib/vms/
}

# vm_arrived NAME HOST TWIN [LOG]: it runs there, whole, as TWIN, and no more where it was; its log has that name
vm_arrived() {
    local dir
    wait_until 5 "the end of the QEMU of $1" proc_gone "$1"
    dir=$(on "$2" sh -c 'ls -d /run/adit/vms/"$1"-*' sh "${1%%-*}") || fail "there is no folder of $1 on $2"
    dir=/proc/${PROC_PID[root-$2]}/root$dir
    vm_adopt "$3" "$2" "$dir/qmp.sock" "$dir/serial0.sock" "$dir/${4:-serial.log}" \
        "$(host_processes "$2" | awk -v dir="${dir#/proc/*/root}" '/qemu-system/ && index($0, dir "/") { print $1; exit }')"
    guest_continues "$1" "$3"
    guest_beats_on "$3" 4
    guest_quiet "$3"
    guest_still "$3"
    say "  guest on $2: $(guest_verify "$3")"
}
# vm_moved NAME: it runs at dst, whole, and no more on src
vm_moved() {
    vm_arrived "$1" dst "$1-twin"
    disk_same_but_guest raw "/proc/${PROC_PID[root-src]}/root/var/lib/vms/$1.raw" raw "/proc/${PROC_PID[root-dst]}/root/var/lib/vms/$1.raw" 0 \
        "$(guest_find "$1" '^READY')"
    vm_end "$1-twin"
}

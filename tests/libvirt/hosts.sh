# Hosts as libvirt wants them: each a process with mounts, a name, a network and processes of its own. What stands in
# tests/qemu/hosts.sh stays good: in_host goes to the network alone, on_host to all of it.
# shellcheck shell=bash disable=SC2034

# host_make NAME: its /run, /var/lib, /var/log, /var/cache and /etc/libvirt are folders of $T/NAME; its name is NAME.test
host_make() {
    local root=$T/$1
    mkdir -p "$root"/{run,lib/libvirt/{images,qemu},log,cache,etc/libvirt,over}
    chmod 755 "$root" "$root"/*
    printf '127.0.0.1 localhost\n%s %s\n%s %s\n' $SRC_IP $SRC_NAME $DST_IP $DST_NAME >"$root/etc/hosts"
    # libvirt looks these up whatever qemu.conf says; the package that would make them starts services
    { cat /etc/passwd && hosts_unless libvirt-qemu passwd 'x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin'; } >"$root/etc/passwd"
    { cat /etc/group && hosts_unless kvm group 'x:64056:' && hosts_unless libvirt-qemu group 'x:64055:'; } >"$root/etc/group"
    unshare --mount --uts --net --ipc --pid --fork --kill-child --mount-proc \
        bash "$TESTS_LIBVIRT/host.sh" "$1.test" "$root" </dev/null >"$T/host-$1.log" 2>&1 &
    PROC_PID[host-$1]=$! PROC_LOG[host-$1]=$T/host-$1.log
    wait_until 10 "the host $1" host_is_up "$1"
    HOST_PID[$1]=$(proc_child "${PROC_PID[host-$1]}")
}
host_is_up() {
    proc_runs "host-$1" || fail "the host $1 cannot be made: $(tail -n 1 "$T/host-$1.log")"
    [ -e "$T/$1/up" ]
}
hosts_unless() { grep -q "^$1:" "/etc/$2" || printf '%s:%s\n' "$1" "$3"; }

# proc_child PID: its first child
proc_child() {
    local children
    { read -r children _ <"/proc/$1/task/$1/children" || true; } 2>/dev/null
    printf '%s\n' "${children%% *}"
}

# on_host HOST COMMAND...: as somebody who is logged in there
on_host() {
    local host=$1
    shift
    nsenter --target "${HOST_PID[$host]}" --mount --uts --net --ipc --pid -- "$@"
}

# As in tests/qemu/proc.sh, but on the whole of the host; the process is then nsenter's child, and signals go to it.
proc_start() {
    local name=$1 host=$2
    shift 2
    PROC_LOG[$name]=$T/$name.log
    : >"$T/$name.log"
    if [ "$host" = - ]; then
        "$@" </dev/null >"$T/$name.log" 2>&1 &
    else
        # a shell's background processes ignore SIGINT; a user's do not
        nsenter --target "${HOST_PID[$host]}" --mount --uts --net --ipc --pid -- env --default-signal=INT,QUIT "$@" </dev/null >"$T/$name.log" 2>&1 &
    fi
    PROC_PID[$name]=$!
}
proc_kill() {
    local child
    child=$(proc_child "${PROC_PID[$1]}" 2>/dev/null) || true
    kill "-${2:-TERM}" "${child:-${PROC_PID[$1]}}" 2>/dev/null || true
}

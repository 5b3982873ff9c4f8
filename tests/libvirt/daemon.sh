# A libvirt daemon on each host.
# shellcheck shell=bash disable=SC2034

# what qemu.conf says of users; a test changes it before daemons_start
DAEMON_USERS=('user = "root"' 'group = "root"' 'dynamic_ownership = 0' 'remember_owner = 0')
# libvirtd, or virtqemud: the modular one
DAEMON=libvirtd DAEMON_SOCKET=libvirt-sock

# daemons_start: on src and on dst, each with a host UUID of its own
daemons_start() {
    local host n=1
    for host in src dst; do
        daemon_start "$host" $((n++))
    done
}

daemon_start() {
    local host=$1 etc=$T/$1/etc/libvirt
    command -v "$DAEMON" >/dev/null || skip "$DAEMON is not installed"
    # the rest is what the daemon has by itself, but that no policy daemon and no log daemon run here
    printf '%s\n' "host_uuid = \"0badc0de-0000-4000-8000-00000000000$2\"" 'auth_unix_rw = "none"' 'auth_unix_ro = "none"' \
        'log_outputs = "4:stderr"' >"$etc/$DAEMON.conf"
    printf '%s\n' 'security_driver = "none"' 'cgroup_controllers = []' 'stdio_handler = "file"' \
        "${DAEMON_USERS[@]}" >"$etc/qemu.conf"
    cp "$GUEST_ELF" "$T/$host/lib/libvirt/images/"
    proc_start "$DAEMON-$host" "$host" "$DAEMON"
    wait_until 20 "$DAEMON of $host" daemon_answers "$host"
}
daemon_answers() {
    proc_runs "$DAEMON-$1" || fail "$DAEMON of $1 ended: $(tail -n 1 "${PROC_LOG[$DAEMON-$1]}")"
    on_host "$1" virsh uri >/dev/null 2>&1
}

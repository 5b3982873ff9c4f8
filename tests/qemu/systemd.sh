# A real systemd on one of the hosts: process 1 of a namespace of its own, over a copy of this machine's files that is
# gone with it, with the journal, adit's units as they are installed, and nothing else.
# shellcheck shell=bash disable=SC2034

# systemd_needed: or the test is skipped
systemd_needed() {
    local why
    need systemctl journalctl systemd-analyze pivot_root
    [ "$(id -u)" = 0 ] || skip 'a systemd of its own can only be started by root'
    [ -x /lib/systemd/systemd ] || skip '/lib/systemd/systemd is not there'
    why=$(systemd_cgroup 2>&1) || skip "no control group can be made for a systemd: $why"
    rmdir "$why"
    mkdir -p "$T/overlay"
    # within a container some of it may be forbidden
    why=$(unshare --mount --cgroup sh -ec 'mount -t tmpfs none "$1"; cd "$1"; mkdir u w r c
        mount -t overlay overlay -o lowerdir=/,upperdir=u,workdir=w r; mount -t cgroup2 none c' sh "$T/overlay" 2>&1) ||
        skip "no root can be made for a systemd: $why"
}

# systemd_cgroup: makes one below that of this process, prints its path
systemd_cgroup() {
    local at own
    at=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    if [ -z "$at" ]; then
        at=$T/cgroup
        mkdir -p "$at"
        mount -t cgroup2 none "$at" || return 1
    fi
    own=$(sed -n 's/^0:://p' /proc/self/cgroup)
    mktemp -d "$at${own%/}/adit-test.XXXXXX"
}

# systemd_start HOST: its /run is this test's /run too; $T is the same there. Nothing of adit's is started yet.
systemd_start() {
    local host=$1
    mkdir -p "$T/run-systemd" "$T/systemd"
    mount --bind "$T/run-systemd" /run
    SYSTEMD_CGROUP=$(systemd_cgroup)
    proc_start systemd "$host" bash -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$SYSTEMD_CGROUP" \
        unshare --mount --pid --fork --uts --ipc --cgroup --kill-child \
        bash "$TESTS_QEMU/systemd.sh" become "$T" "$TOP" "$ADIT"
    wait_until 20 'systemd to be up' systemd_is_up
}
systemd_is_up() {
    proc_runs systemd || fail "systemd ended: $(tail -n 3 "${PROC_LOG[systemd]}")"
    SYSTEMD_PID=$(pgrep -P "${PROC_PID[systemd]}") && [ -S /run/systemd/private ] &&
        systemd_in systemctl is-active -q multi-user.target
}

# systemd_in COMMAND...: among its processes and files
systemd_in() { nsenter -t "$SYSTEMD_PID" -m -u -i -n -p -C -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# systemd_show PROPERTY [UNIT]
systemd_show() { systemd_in systemctl show -P "$1" "${2:-adit.service}"; }
systemd_shows() { [ "$(systemd_show "$1")" = "$2" ]; }

# systemd_journal UNIT [OPTION|FIELD=VALUE]... TEXT: whether a line of the unit's has it, to be waited for: the journal takes
# lines when it gets round to it. (_COMM=, which it looks up then, is missing in a line of a process that has ended by then.)
systemd_journal() {
    systemd_in journalctl -u "$1" --no-pager -q -o cat "${@:2:$#-2}" >"$T/journal.log"
    grep -qF "${@: -1}" "$T/journal.log"
}

# systemd_drop_in NAME LINE...: settings for adit.service, in force from its next start
systemd_drop_in() {
    mkdir -p /run/systemd/system/adit.service.d
    printf '%s\n' '[Service]' "${@:2}" >"/run/systemd/system/adit.service.d/$1.conf"
    systemd_in systemctl daemon-reload
}

# systemd_processes: the command lines in adit.service's control group
systemd_processes() {
    local pid
    while read -r pid; do
        tr '\0' ' ' <"/proc/$pid/cmdline"
        echo
    done <"$SYSTEMD_CGROUP/system.slice/adit.service/cgroup.procs"
}

# systemd_end: all in it is killed with it; the control groups can go when the last of them has
systemd_end() {
    local i
    [ -n "${SYSTEMD_CGROUP:-}" ] || return 0
    disown "${PROC_PID[systemd]}" 2>/dev/null || true # or bash would tell that it was killed
    proc_kill systemd KILL
    for ((i = 0; i < 100; i++)); do
        find "$SYSTEMD_CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [ -d "$SYSTEMD_CGROUP" ] || break
        sleep 0.05
    done
    [ ! -d "$SYSTEMD_CGROUP" ] || say "note: the control group $SYSTEMD_CGROUP is left"
    SYSTEMD_CGROUP=
}

# become T TOP ADIT: in new namespaces; makes the root and is systemd from then on
systemd_become() {
    local t=$1 top=$2 adit=$3 r=$1/systemd/root node unit
    # what a system has beside adit; no other unit is there, so no other service can be started
    local units=(sysinit.target basic.target sockets.target slices.target paths.target timers.target local-fs.target
        local-fs-pre.target swap.target multi-user.target network.target network-online.target shutdown.target umount.target
        final.target exit.target systemd-exit.service systemd-journald.service systemd-journald.socket
        systemd-journald-dev-log.socket)
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 tmpfs "$t/systemd"
    mkdir "$t"/systemd/{upper,work,root,units}
    mount -t overlay overlay -o "lowerdir=/,upperdir=$t/systemd/upper,workdir=$t/systemd/work" "$r"
    mount -t proc proc "$r/proc"
    mount -t sysfs sysfs "$r/sys"
    mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$r/dev"
    for node in null zero full random urandom tty; do
        : >"$r/dev/$node"
        mount --bind "/dev/$node" "$r/dev/$node"
    done
    mkdir "$r/dev/shm" "$r/dev/pts"
    mount -t tmpfs tmpfs "$r/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$r/dev/pts"
    ln -s pts/ptmx "$r/dev/ptmx"
    mount --bind "$t/run-systemd" "$r/run"
    mkdir -p "$r$t"
    mount --rbind "$t" "$r$t"
    for unit in "${units[@]}"; do
        cp "/lib/systemd/system/$unit" "$t/systemd/units/"
    done
    mkdir "$t/systemd/units/sysinit.target.wants"
    ln -s ../systemd-journald.service "$t/systemd/units/sysinit.target.wants/"
    cp "$top"/dist/adit*.service "$top"/dist/adit*.socket "$t/systemd/units/"
    mount --bind "$t/systemd/units" "$r/lib/systemd/system"
    for node in /etc/systemd /etc/init.d /usr/lib/systemd/system-generators /var/lib/adit /etc/adit; do
        mkdir -p "$r$node"
        mount -t tmpfs -o mode=755 tmpfs "$r$node"
    done
    install -m 755 "$adit" "$r/usr/bin/adit"
    cd "$r"
    pivot_root . .
    umount -l .
    exec env -i container=adit-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal
}
if [ "${1:-}" = become ] && [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -eu
    shift
    systemd_become "$@"
fi

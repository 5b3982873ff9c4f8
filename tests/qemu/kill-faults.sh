# The faults of the kill table, and how each is mended. Sourced by kill.sh.
# shellcheck shell=bash disable=SC2034,SC2086

# kill_twin_pid: of the QEMU on dst
kill_twin_pid() { host_processes dst | awk '/-incoming/ && /qemu/ && !/adit serve/ { print $1; exit }'; }
kill_no_twin() { [ -z "$(kill_twin_pid)" ]; }

# link_reset: every connection is reset on both hosts, and refused until link_accept
link_reset() {
    local host
    in_host dst nft insert rule inet fw input iif eth0 reject with tcp reset
    for host in src dst; do
        in_host "$host" ss -K "dport = $ADIT_PORT or sport = $ADIT_PORT" >/dev/null 2>&1 || true
    done
}
# link_accept: the link is as ever, whether it was cut or reset
link_accept() {
    local handle
    link_heal
    handle=$(in_host dst nft -a list chain inet fw input | sed -nE 's/.*reject.*# handle ([0-9]+)$/\1/p')
    [ -z "$handle" ] || in_host dst nft delete rule inet fw input handle "$handle"
}

# kill_guardian_pid: of the guardian of the job on dst: it is a fork of adit serve
kill_guardian_pid() {
    host_processes dst | awk -v serve="${PROC_PID[serve]}" '/adit serve / && $1 != serve { print $1; exit }'
}

# kill_host HOST: its power goes: all of its processes at one moment, its run folder, and its connections, without a word to
# the other
kill_host() {
    local pids
    mapfile -t pids < <(host_processes "$1" | awk -v holder="${HOST_PID[$1]}" '$1 != holder { print $1 }')
    # nobody is to see another one die
    kill -STOP "${pids[@]}" 2>/dev/null || true
    kill -KILL "${pids[@]}" 2>/dev/null || true
    wait_until 5 "the end of all that ran on $1" kill_processes_dead "${pids[@]}"
    in_host "$1" ss -K "dport = $ADIT_PORT or sport = $ADIT_PORT" >/dev/null 2>&1 || true
}
kill_processes_dead() {
    local pid
    for pid; do
        kill_process_dead "$pid" || return 1
    done
}

# kill_boot_host HOST: it is there again: what runs on it from now on sees another boot, and an empty run folder
kill_boot_host() {
    cat /proc/sys/kernel/random/uuid >"$T/boot-$1"
    cat >"$T/adit-$1" <<PROGRAM
#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$T/boot-$1" /proc/sys/kernel/random/boot_id && exec "\$0" "\$@"' "$ADIT" "\$@"
PROGRAM
    chmod +x "$T/adit-$1"
    case $1 in
    src) find /run/adit -mindepth 1 -delete ;;
    dst) find "$T/run-dst" -mindepth 1 -delete ;;
    esac
}
# kill_program HOST: the adit that runs there
kill_program() { if [ -e "$T/adit-$1" ]; then echo "$T/adit-$1"; else echo "$ADIT"; fi; }

# kill_part FAULT: the number of the process that a stop-... is about
kill_part() {
    case $1 in
    stop-source-adit) echo "${PROC_PID[migrate]}" ;;
    stop-source-qemu) echo "${PROC_PID[$VM]}" ;;
    stop-destination-adit) echo "${PROC_PID[serve]}" ;;
    stop-destination-qemu) kill_twin_pid ;;
    stop-guardian*) kill_guardian_pid ;;
    esac
}

# kill_fault FAULT STOPPED: does it, and has the one who stopped at the point go on
kill_fault() {
    local stopped=$2 pid
    case $1 in
    source-adit) proc_kill migrate KILL ;;
    destination-adit) proc_kill serve KILL ;;
    both-adits) proc_kill migrate KILL && proc_kill serve KILL ;;
    source-qemu) proc_kill "$VM" KILL ;;
    destination-qemu | waiting-qemu)
        pid=$(kill_twin_pid)
        [ -n "$pid" ] || fail 'no QEMU is there on dst to be killed'
        kill -9 "$pid"
        # it is dead, and not about to be, when the others go on
        wait_until 5 'the end of the QEMU on dst' kill_process_dead "$pid"
        ;;
    source-host) link_cut && kill_host src ;;
    destination-host) link_cut && kill_host dst ;;
    both-hosts) link_cut && kill_host src && kill_host dst ;;
    stop-*)
        KILL_STOPPED=$(kill_part "$1")
        [ -n "$KILL_STOPPED" ] || fail "there is no process for $1"
        kill -STOP "$KILL_STOPPED"
        [ "$1" != stop-guardian-and-kill ] || proc_kill serve KILL
        ;;
    silent | blink) link_cut ;;
    reset) link_reset ;;
    full | read-only | removed) kill_folder_fault "$1" ;;
    *) fail "kill_fault: $1 is not known" ;;
    esac
    case $stopped.$1 in
    migrate.source-adit | serve.destination-adit | *.both-adits) ;;
    *.stop-*) [ "${PROC_PID[$stopped]}" = "$KILL_STOPPED" ] || proc_kill "$stopped" CONT ;;
    *) proc_kill "$stopped" CONT ;;
    esac
}
kill_process_dead() {
    local state
    { read -r _ _ state _ <"/proc/$1/stat"; } 2>/dev/null || return 0
    [ "$state" = Z ]
}

# kill_mend FAULT: the link heals, the host is there again, who was stopped goes on, and adit serve runs again where it was
# killed
kill_mend() {
    case $1 in
    silent) sleep 17 ;;       # longer than it takes both to know that the peer is dead
    blink | reset) sleep 2 ;;
    *-host | *-hosts) sleep 1 ;;
    stop-*) ;;
    full | read-only | removed) kill_folder_mend "$1" ;;
    *) sleep 0.3 ;;
    esac
    case $1 in
    source-host) kill_boot_host src ;;
    destination-host) kill_boot_host dst ;;
    both-hosts) kill_boot_host src && kill_boot_host dst ;;
    esac
    [[ $1 = stop-* ]] || link_accept
    case $1 in
    destination-adit | both-adits | destination-host | both-hosts | stop-guardian-and-kill)
        proc_end serve
        kill_serve
        ;;
    esac
    [[ $1 = stop-* ]] || return 0
    kill_stand_still "$KILL_STOP_S"
    kill -CONT "$KILL_STOPPED" 2>/dev/null || say '  (who was stopped has gone meanwhile)'
}

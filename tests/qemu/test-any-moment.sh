#!/usr/bin/env bash
# On: each QEMU
# Goal: whenever a migration is cancelled, or the destination's QEMU is killed, from the first moment to the last and
# behind it, one VM runs in the end, whole: here if adit migrate says that it failed, there if it says that it succeeded.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

# boot: another VM, if the last one has moved; its name is in VM
VM='' COUNT=0
boot() {
    [ -z "$VM" ] || ! proc_runs "$VM" || return 0
    COUNT=$((COUNT + 1))
    VM=vm$COUNT
    move_disks $VM 8M raw:virtio
    move_vm $VM append='ram=12 rate=1500 sectors=256 diskrate=40'
}
# end_twin: the VM on dst, its image, and what it leaves where it was killed, make room for the next
end_twin() {
    vm_end "$VM-twin"
    rm -rf "$T/images/$VM-0.raw" "$T/run-dst/vms/"*
}
twin_pid() { host_processes dst | awk '/-incoming/ && /qemu/ && !/adit serve/ { print $1; exit }'; }

# at MILLISECONDS ACTION...: a migration, and that so long after its beginning
at() {
    local after=$1 pid
    shift
    boot
    left_mark
    adit_start $VM
    sleep "$(printf '%d.%03d' $((after / 1000)) $((after % 1000)))"
    left_clock
    "$@"
    adit_wait 20
    say "$* after $after ms: status $MIGRATE_STATUS"
    case $MIGRATE_STATUS in
    0)
        adit_adopt_twin "$VM-twin"
        wait_until 5 "the end of the source's QEMU" proc_gone $VM
        # it may have been killed when it ran there already
        [ "$1" != kill_twin ] || [ -d "/proc/${PROC_PID[$VM-twin]}" ] || { end_twin && return 0; }
        guest_continues $VM "$VM-twin"
        guest_quiet "$VM-twin"
        guest_still "$VM-twin"
        guest_verify "$VM-twin" >/dev/null
        end_twin
        ;;
    1)
        said_one_line 'cancel|QEMU'
        move_runs_on $VM
        left_nothing
        fault_whole $VM >/dev/null
        ;;
    *) fail "adit migrate ended with $MIGRATE_STATUS" ;;
    esac
}
kill_twin() {
    local pid
    pid=$(twin_pid)
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
}

move_hosts
adit_serve_launch
link_rate 200mbit
boot
begin=$(now_ms)
adit_migrate $VM
took=$(($(now_ms) - begin))
move_succeeded $VM "$VM-twin" raw:virtio
end_twin
say "a migration takes $took ms"
for percent in 6 12 25 45 60 70 80 86 92 96 100 110; do
    at $((took * percent / 100)) proc_kill migrate INT
done
for percent in 20 50 70 85 93 100; do
    at $((took * percent / 100)) kill_twin
done

#!/usr/bin/env bash
# On: each QEMU
# Goal: kill -9 of the destination's QEMU, launched, while a disk is mirrored and while RAM goes over; and of one that was
# attached. The VM runs on at the source, one line says that the far QEMU ended, nothing is left, and a retry succeeds.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

kill_twin() {
    local pid
    pid=$(host_processes dst | awk '/-incoming/ && /qemu/ && !/adit serve/ { print $1; exit }')
    [ -n "$pid" ] || fail 'no QEMU waits on dst'
    kill -9 "$pid"
}

move_hosts
adit_serve_launch
fault_vm a
for phase in mirror ram; do
    say "kill -9 of the destination's QEMU, phase $phase"
    fault_reach a $phase
    kill_twin
    left_clock
    fault_ended a 1 'QEMU' 'destination' 'ended|killed|exited|signal|died|gone|quit'
done

say "kill -9 of an attached one, phase mirror"
MOVE_TWIN=(append='ram=16 rate=3000 sectors=1024 diskrate=20')
move_twin waiting 64M raw:virtio
fault_reach a mirror --dest-qmp "${VM_QMP[waiting]}"
kill_twin
left_clock
fault_ended a 1 'QEMU' 'destination'
fault_retry a twin

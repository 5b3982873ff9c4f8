#!/usr/bin/env bash
# On: each QEMU
# Over: ssh+tls
# Goal: kill -9 of adit serve, while a disk is mirrored and while RAM goes over. The VM runs on at the source and adit
# migrate says why in one line; on the destination no QEMU, socket, folder or new image is left. Served again, it moves.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

move_hosts
adit_serve_launch
fault_vm a
for phase in mirror ram; do
    say "kill -9 of adit serve, phase $phase"
    # the mark is before adit serve runs: what it leaves when killed counts
    fault_reach a $phase
    proc_kill serve KILL
    left_clock
    fault_ended a 1 "$DST_IP|destination|server" 'lost|closed|connection|gone|reset|ended'
    proc_end serve
    adit_serve_launch
done
fault_retry a twin

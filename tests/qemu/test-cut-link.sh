#!/usr/bin/env bash
# On: each QEMU
# Over: ssh
# Goal: the link is dropped (packets vanish, nobody is told), while a disk is mirrored and while RAM goes over. Both sides
# notice within 20 s, the VM runs on at the source, and nothing is left on the destination. The link heals; it moves.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

move_hosts
adit_serve_launch
fault_vm a
for phase in mirror ram; do
    say "the link cut, phase $phase"
    fault_reach a $phase
    link_cut
    left_clock
    # the guest does not wait for the network
    guest_beats_on a 16
    fault_ended a 1 "$DST_IP|destination|server|peer" 'answer|lost|silent|dead|heard|time'
    link_heal
done
fault_retry a twin

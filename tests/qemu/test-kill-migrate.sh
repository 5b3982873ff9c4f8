#!/usr/bin/env bash
# On: each QEMU
# Goal: kill -9 of adit migrate, while a disk is mirrored and while RAM goes over. The VM runs on at the source, nothing is
# left on the destination, adit recover clears what is left in the source's QEMU, and then a second adit migrate succeeds.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

move_hosts
adit_serve_launch
for phase in mirror ram; do
    say "kill -9 of adit migrate, phase $phase"
    fault_vm "$phase"
    fault_reach "$phase" $phase
    proc_kill migrate KILL
    left_clock
    adit_wait 5
    wait_until 20 'the VM running on src' vm_is "$phase" running
    guest_beats_on "$phase" 4
    fault_whole "$phase"
    adit_recover || fail 'adit recover failed'
    grep -q settled "$T/recover.out" || fail 'adit recover settled nothing'
    left_nothing
    say "  all as before after $(($(now_ms) - LEFT_CLOCK)) ms"
    fault_retry "$phase" "$phase-twin"
    vm_end "$phase-twin"
done

#!/usr/bin/env bash
# On: each QEMU
# Goal: two VMs move at the same time through one port of one adit serve, and both are whole; then again, with one of the
# two cancelled, and one killed: the other goes on undisturbed.
. "$(dirname "$0")/lib.sh"

guest='ram=16 rate=500 sectors=512 diskrate=20'
# two FIRST SECOND: both booted, and their migrations under way, as procs mig-FIRST and mig-SECOND
two() {
    local vm
    for vm; do
        move_disks "$vm" 64M raw:virtio
        move_vm "$vm" append="$guest"
    done
    firewall_reset
    for vm; do
        MIGRATE=mig-$vm adit_start "$vm"
    done
    for vm; do
        MIGRATE=mig-$vm move_phase "$vm" mirror
    done
}
finished() {
    MIGRATE=mig-$1
    adit_wait
    move_succeeded "$1" "$1-twin" raw:virtio
}

move_hosts
adit_serve_launch
link_rate 160mbit
say 'two at once'
listeners_watch_start
two a b
finished a
finished b
listeners_watch_end
firewall_expect_connections 2
# neither took the other's place
[ "${VM_QMP[a-twin]}" != "${VM_QMP[b-twin]}" ] || fail 'both are the same VM'
move_checked a-twin
vm_end a-twin
vm_end b-twin

for signal in INT KILL; do
    say "one of two ends by SIG$signal"
    two "c$signal" "d$signal"
    proc_kill "mig-c$signal" $signal
    MIGRATE=mig-c$signal adit_wait 20
    finished "d$signal"
    guest_beats_on "c$signal"
    wait_until 20 "the image of the first to go" eval '[ ! -e "$T/images/c'$signal'-0.raw" ]'
    guest_quiet "c$signal"
    say "  guest on src: $(guest_verify "c$signal")"
    vm_end "d$signal-twin"
    vm_end "c$signal"
done
[ "$ADIT_SCHEME" = ssh ] || proc_runs serve || fail 'adit serve ended'

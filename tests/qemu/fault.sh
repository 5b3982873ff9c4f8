# Faults in the middle of a migration: a VM whose copy of the disk takes some seconds and whose RAM never converges while
# the line is slow, so that a fault meets the phase that it is meant for. Sourced by the tests that need it.
# shellcheck shell=bash

FAULT_LINE=80mbit

# fault_vm NAME [SIZE]: one disk, three quarters of SIZE to copy (64M: 48 MiB, five seconds), and 12 MB/s of dirty RAM
fault_vm() {
    move_disks "$1" "${2:-64M}" raw:virtio
    move_vm "$1" append='ram=16 rate=3000 sectors=1024 diskrate=20'
}

# fault_reach VM PHASE [OPTION]...: a migration of VM under way, and in that phase
fault_reach() {
    local vm=$1 phase=$2
    shift 2
    link_rate $FAULT_LINE
    left_mark
    adit_start "$vm" "$@"
    move_phase "$vm" "$phase"
    say "  reached the $phase phase"
}

# fault_ended VM STATUS REGEX...: after the fault (left_clock): adit migrate ends within 20 s, and all is as it was
fault_ended() {
    adit_wait $(((20999 - ($(now_ms) - LEFT_CLOCK)) / 1000))
    say "  adit migrate ended after $(($(now_ms) - LEFT_CLOCK)) ms"
    move_failed "$@"
    fault_whole "$1"
    say "  all as before after $(($(now_ms) - LEFT_CLOCK)) ms"
}
fault_whole() {
    guest_quiet "$1"
    guest_still "$1"
    say "  guest on src: $(guest_verify "$1")"
    guest_go "$1"
}

# fault_retry VM TWIN [OPTION]...: now it moves
fault_retry() {
    local vm=$1 twin=$2
    shift 2
    link_rate none
    adit_migrate "$vm" "$@"
    move_succeeded "$vm" "$twin" raw:virtio
}

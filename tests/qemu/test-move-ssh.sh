#!/usr/bin/env bash
# Sanitizers too
# Goal: a running VM moves with its disks over ssh://, through an sshd that forbids everything but running a program, in the
# one connection to it; and over ssh+tls://, where ssh carries a key only and all else goes to adit's port. When the far adit
# or the sshd of the connection is killed in the RAM phase, the VM runs on at the source and nothing is left behind.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/sshd.sh"
. "$TESTS_QEMU/fault.sh"

may="^file $T/images/|$T/run-dst|^process .*$QEMU .*-incoming"

ADIT_PORT="{ 16516, $SSHD_PORT }"
move_hosts
ADIT_PORT=16516
sshd_make
sshd_serves

# moved NAME CONNECTIONS
moved() {
    say "over $ADIT_DEST"
    move_disks "$1" 16M raw:virtio qcow2:virtio
    move_vm "$1" append='ram=16 rate=4000 sectors=1024 diskrate=40'
    firewall_reset
    left_mark
    left_clock
    listeners_watch_start
    adit_migrate "$1"
    listeners_watch_end
    move_succeeded "$1" "$1-twin" raw:virtio qcow2:virtio
    firewall_expect_connections "$2"
    left_nothing "$may"
    vm_end "$1-twin"
}

moved a 1
in_sshd=$(firewall_count dst passed_in bytes)
ADIT_DEST=ssh+tls://$DST_NAME
moved b 2
say "bytes that came in: $in_sshd over ssh, $(firewall_count dst passed_in bytes) over TLS"

ADIT_DEST=ssh://$DST_NAME
fault_vm c
for who in far session; do
    say "kill -9 of the ${who/session/sshd of the} connection's end on dst"
    fault_reach c ram
    left_clock
    kill -KILL "$(sshd_$who)"
    fault_ended c 1 "$DST_NAME" 'killed|KILL|broke|ended'
done
fault_retry c twin

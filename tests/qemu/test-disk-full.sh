#!/usr/bin/env bash
# On: each QEMU
# Over: ssh
# Goal: the destination's disk becomes full while mirroring. The VM runs on at the source, one line names the disk and that
# there is no room, and the half-made image is gone. With room, it moves.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

mkdir "$T/images"
mount -t tmpfs -o size=40m,mode=755 none "$T/images"
move_hosts
adit_serve_launch
fault_vm a
say 'more to copy than there is room for'
left_mark
adit_start a
left_clock
adit_wait 60
left_clock
move_failed a 1 'space|full|room' 'disk0|a-0.raw|images'
fault_whole a

say 'room at first, taken by somebody else meanwhile'
mount -o remount,size=70m "$T/images"
fault_reach a mirror
left=$(df --output=avail -B1 "$T/images" | tail -n 1)
mkdir -p "$T/images/else"
head -c "$left" /dev/zero >"$T/images/else/file" || true
left_clock
LEFT_MAY="images/else" fault_ended a 1 'space|full|room' 'disk0|a-0.raw|images'
rm -r "$T/images/else"
fault_retry a twin

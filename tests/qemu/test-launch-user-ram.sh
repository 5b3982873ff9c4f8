#!/usr/bin/env bash
# Points
# Goal: who is the launch user may put a link in the place of the socket that the twin listens on for RAM; adit serve, which is
# root, gives no byte to whoever listens at its end, fails the job, and the VM runs on where it was.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"
# (in a namespace of a user who is not root there is one user only)
[ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ] || skip 'not root: no other users here'
need setpriv socat

for file in passwd group; do cp "/etc/$file" "$T/$file"; done
echo 'adit-vm:x:64911:64911::/nonexistent:/usr/sbin/nologin' >>"$T/passwd"
echo 'adit-vm:x:64911:' >>"$T/group"
for file in passwd group; do mount --bind "$T/$file" "/etc/$file"; done
adit_users_pass
# as_vm COMMAND...
as_vm() { setpriv --reuid=64911 --regid=64911 --init-groups -- "$@"; }

move_hosts
adit_images
move_disks a 8M raw:virtio
move_vm a append='ram=8 rate=1000 sectors=512 diskrate=20'
# of root: what it is given, and when who has come has gone
mkdir -m 700 "$T/root"
proc_start victim - socat -u "UNIX-LISTEN:$T/root/sock,fork" "SYSTEM:cat >>$T/root/got; echo >>$T/root/gone"
wait_until 5 'the socket of root' test -S "$T/root/sock"
ADIT_STOP_AT=d-ram adit_serve_launch --launch-user adit-vm
adit_start a --multifd 2
wait_until 60 'adit serve to stop' proc_stopped serve
socket=$(echo "$T"/run-dst/ram-*/ram.sock)
expect_equal 'whose socket it is' 64911 "$(stat -c %u "$socket")"
as_vm ln -s "$T/root/sock" "$socket.new"
as_vm mv -T "$socket.new" "$socket"
kill -CONT "${PROC_PID[serve]}"
adit_wait 30
expect_equal 'the exit status of adit migrate' 1 "$MIGRATE_STATUS"
said_one_line 'another process than the destination.s QEMU listens'
wait_until 5 'the end of who has come' test -s "$T/root/gone"
expect_equal 'what the socket of root was given' '' "$(cat "$T/root/got")"
guest_beats_on a

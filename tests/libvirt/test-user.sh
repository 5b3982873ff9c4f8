#!/usr/bin/env bash
# Limit: 120 s
# Goal: where libvirt runs its QEMUs as a user that is not root, and gives them the images that they need (as Debian and most
# do), virsh migrate moves a guest through adit just so, there and back. It is virtqemud's socket that is taken where that
# answers, and libvirtd's where it does not. (virtqemud itself is in no package of Debian: here it is libvirtd under its name.)
. "$(dirname "$0")/lib.sh"

DAEMON_USERS=('user = "libvirt-qemu"' 'group = "libvirt-qemu"' 'dynamic_ownership = 1' 'remember_owner = 1')
migrate_hosts
ln "$T/dst/run/libvirt/libvirt-sock" "$T/dst/run/libvirt/virtqemud-sock"
proc_start dead src socat UNIX-LISTEN:/run/libvirt/virtqemud-sock,unlink-close=0 OPEN:/dev/null
wait_until 5 "a socket of virtqemud's" test -S "$T/src/run/libvirt/virtqemud-sock"
proc_kill dead KILL
proc_wait dead 5

# moved_by SOCKET: the daemon that the last migration went to
moved_by() { expect_equal "the daemon of $TO" "$1" "$(sed -nE 's/.* libvirt: ([^ ]*) is open to the peer.*/\1/p' "$T/serve-$TO.log")"; }

domain_images user 16M raw:virtio qcow2:virtio
domain_start user src 'ram=16 rate=1000 sectors=1024'
for socket in virtqemud-sock libvirt-sock; do
    say "to $TO"
    expect_equal "the user of its QEMU" libvirt-qemu "$(domain_user user "$FROM")"
    migrate_start user --copy-storage-all --parallel --parallel-connections 2
    migrate_wait
    migrate_moved user
    moved_by /run/libvirt/$socket
    migrate_turn
done

#!/usr/bin/env bash
# Limit: 120 s
# Goal: where libvirt runs its QEMUs as a user that is not root, and gives them the images that they need (as Debian and most
# do), virsh migrate moves a guest through adit just so, there and back.
. "$(dirname "$0")/lib.sh"

DAEMON_USERS=('user = "libvirt-qemu"' 'group = "libvirt-qemu"' 'dynamic_ownership = 1' 'remember_owner = 1')
migrate_hosts
domain_images user 16M raw:virtio qcow2:virtio
domain_start user src 'ram=16 rate=1000 sectors=1024'
for way in there back; do
    say "$way"
    expect_equal "the user of its QEMU" libvirt-qemu "$(domain_user user "$FROM")"
    migrate_start user --copy-storage-all --parallel --parallel-connections 2
    migrate_wait
    migrate_moved user
    migrate_turn
done

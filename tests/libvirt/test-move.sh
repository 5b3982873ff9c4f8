#!/usr/bin/env bash
# Limit: 240 s
# Goal: between two real libvirt daemons, with one port open, virsh migrate moves a guest through adit: RAM alone; two disks,
# and back again; top images alone; p2p with four more channels; postcopy; with a limit. RAM and disks are whole each time, and
# one connection is all that crosses.
. "$(dirname "$0")/lib.sh"

migrate_hosts
options='ram=16 rate=1000 sectors=1024 diskrate=20'

say 'RAM alone'
DOMAIN_DISKS=()
domain_start ram src "$options"
migrate_start ram
migrate_wait
migrate_moved ram
domain_end ram dst

say 'two disks'
domain_images disks 32M raw:virtio qcow2:ide
domain_start disks src "$options"
migrate_start disks --copy-storage-all
migrate_wait
migrate_moved disks
say 'and back again'
migrate_turn
migrate_start disks --copy-storage-all
migrate_wait
migrate_moved disks
migrate_turn
domain_end disks src

say 'p2p, and four more channels for RAM'
domain_images parallel 16M raw:virtio
domain_start parallel src "$options"
migrate_start parallel --copy-storage-all --p2p --parallel --parallel-connections 4
migrate_wait
migrate_moved parallel
domain_end parallel dst

say 'top images alone'
domain_overlays inc 64M qcow2:virtio
domain_start inc src "$options" persistent
migrate_start inc --copy-storage-inc --persistent --undefinesource
migrate_wait
migrate_moved inc
sent=$(firewall_count dst passed_in bytes)
say "  $sent bytes crossed"
[ "$sent" -lt 33554432 ] || fail "that is more than RAM and the top image"
expect_equal "what dst keeps of it" yes "$(virsh_on dst dominfo inc | sed -n 's/^Persistent: *//p')"
domain_end inc dst

# it dirties RAM faster than that line takes it, so that postcopy alone gets it across
say 'postcopy'
domain_images postcopy 8M raw:ide
domain_start postcopy src 'ram=24 rate=max sectors=512'
link_rate 200mbit
domain_events_start postcopy src
migrate_start postcopy --copy-storage-all --postcopy --postcopy-after-precopy
migrate_wait
link_rate none
grep -q 'Suspended Post-copy' "$T/events.log" || fail "it never went over to postcopy: $(paste -sd' ' "$T/events.log")"
proc_end events
migrate_moved postcopy
domain_end postcopy dst

say 'with a limit of 4 MiB/s'
domain_images limit 8M raw:virtio
domain_start limit src 'ram=8 rate=200 sectors=512'
migrate_start limit --copy-storage-all --bandwidth 4
migrate_wait
migrate_moved limit
rate=$(($(firewall_count dst passed_in bytes) / MIGRATE_MS))
say "  $rate KB/s"
[ "$rate" -lt 5000 ] || fail "that is more than the limit"
domain_end limit dst

say 'RAM alone, through forwards that stand'
proc_end serve-dst
MIGRATE_RIGHTS=(--allow-forward unix:/run/libvirt/libvirt-sock --allow-forward "unix:$LIBVIRT/qemu/adit-*.sock")
migrate_serve dst
DOMAIN_DISKS=()
domain_start forwards src "$options"
firewall_reset
MIGRATE_BEGAN=$(now_ms)
proc_start forward src "$ADIT" forward "tls://$DST_NAME" --psk "$T/psk" -L unix:/run/adit-libvirt=unix:/run/libvirt/libvirt-sock \
    -L "unix:$LIBVIRT/qemu/adit-ram.sock=unix:$LIBVIRT/qemu/adit-ram.sock"
wait_until 5 "adit forward" test -S "$T/src/lib/libvirt/qemu/adit-ram.sock"
proc_start migrate src virsh migrate --live forwards --desturi 'qemu+unix:///system?socket=/run/adit-libvirt' \
    --migrateuri "unix://$LIBVIRT/qemu/adit-ram.sock"
migrate_wait
proc_end forward
migrate_moved forwards
domain_end forwards dst
proc_end serve-dst
MIGRATE_RIGHTS=(--allow-libvirt)
migrate_serve dst

say "what libvirt's own tunnel says"
domain_images tunnelled 1M raw:virtio
domain_start tunnelled src "$options"
migrate_start tunnelled --copy-storage-all --p2p --tunnelled
migrate_wait
migrate_failed tunnelled "argument key 'host' must not have null value|not supported with tunnelled migration"
domain_end tunnelled src

#!/usr/bin/env bash
# On: each QEMU
# Goal: with certificates both ways, for a host name and for an address behind a name (also one given as --dest-address), a VM moves as with a key.
. "$(dirname "$0")/lib.sh"
need openssl

move_hosts
certs_ca ours
certs_issue ours pki-dst server "$DST_NAME"
certs_issue ours pki-src client "$SRC_NAME"
adit_server --tls-creds "$T/pki-dst"
adit_client --tls-creds "$T/pki-src"
ADIT_DEST=tls://$DST_NAME:$ADIT_PORT
adit_serve_launch
move_disks a 16M raw:virtio qcow2:virtio
move_vm a append='ram=16 rate=4000 sectors=1024 diskrate=40'
listeners_watch_start
firewall_reset
adit_migrate a
listeners_watch_end
move_succeeded a twin raw:virtio qcow2:virtio
firewall_expect_connections 1
! grep -la 'PRIVATE KEY' "$T"/*.log "$T"/*.json || fail "a key was printed"
# who it was stands in the log of the destination
grep -q "$SRC_NAME" "${PROC_LOG[serve]}" || fail "adit serve's log does not name the peer"
vm_end twin

say 'a destination whose name is not known here, by --dest-address'
proc_end serve
certs_issue ours pki-far server far.test
adit_server --tls-creds "$T/pki-far"
ADIT_DEST=tls://far.test:1
adit_serve_launch
MOVE_DISKS=()
move_vm b append='ram=8 rate=1000'
adit_migrate b --dest-address "$DST_IP:$ADIT_PORT"
MOVE_DISKS=() move_succeeded b b-twin
vm_end b-twin

#!/usr/bin/env bash
# Goal: whoever cannot prove who he is gets nowhere, is told why in one line, and leaves no trace: a wrong key, an identity
# that is not known, another authority, certificates that are expired or for another host, plain against TLS and TLS
# against plain. The VM runs on each time, and in the end moves with the right key.
. "$(dirname "$0")/lib.sh"
need openssl

move_hosts
move_disks a 8M raw:virtio
move_vm a append='ram=8 rate=1000 sectors=256 diskrate=20'

adit_serve_launch
(umask 077; printf 'tester:%064d\n' 7 >"$T/psk-wrong"; "$ADIT" keygen -o "$T/psk-stranger" stranger >/dev/null)
adit_client --psk "$T/psk-wrong"
move_refused 'a wrong key' a 1 'key|psk' 'tester'
adit_client --psk "$T/psk-stranger"
move_refused 'an identity that is not known' a 1 'identity|key|psk' 'stranger'
adit_client --insecure
ADIT_DEST=tcp://$DST_IP move_refused 'plain against TLS' a 1 'TLS|--insecure|encrypt'
proc_end serve

adit_server --insecure
adit_serve_launch
adit_client --psk "$T/psk"
move_refused 'TLS against plain' a 1 'TLS|--insecure|plain'
proc_end serve

certs_ca ours
certs_ca theirs
certs_issue ours pki-dst server "$DST_NAME"
certs_issue ours pki-src client "$SRC_NAME"
certs_issue theirs pki-foreign client "$SRC_NAME"
certs_issue theirs pki-forged client "$SRC_NAME"
cp "$T/ca-ours/cert.pem" "$T/pki-forged/ca-cert.pem"
certs_issue ours pki-expired client "$SRC_NAME" -10
adit_server --tls-creds "$T/pki-dst"
adit_serve_launch
ADIT_DEST=tls://$DST_NAME
adit_client --tls-creds "$T/pki-foreign"
move_refused "an authority that is not the server's" a 1 'certificate' "$DST_NAME"
adit_client --tls-creds "$T/pki-forged"
move_refused 'a certificate of another authority' a 1 'trust' 'client-cert.pem'
adit_client --tls-creds "$T/pki-expired"
move_refused 'an expired certificate of our own' a 1 'expired' 'client-cert.pem'
adit_client --tls-creds "$T/pki-src"
ADIT_DEST=tls://$DST_IP move_refused 'a wrong host name' a 1 'certificate' "$DST_NAME|$DST_IP"
ADIT_DEST=tls://other.test move_refused 'a wrong host name behind --dest-address' a 1 'certificate' 'other.test' \
    -- --dest-address "$DST_IP"
adit_client --psk "$T/psk"
move_refused 'a key against certificates' a 1 'certificate|psk|key'
proc_end serve

# a server does not start with what is expired; this one expires while it runs
certs_issue ours pki-short server "$DST_NAME" 2
adit_server --tls-creds "$T/pki-short"
adit_serve_launch
sleep 3
adit_client --tls-creds "$T/pki-src"
move_refused "an expired certificate of the server's" a 1 'expired'
proc_end serve

ADIT_DEST=tls://$DST_IP
adit_server --psk "$T/psk"
adit_client --psk "$T/psk"
adit_serve_launch
adit_migrate a
move_succeeded a twin raw:virtio

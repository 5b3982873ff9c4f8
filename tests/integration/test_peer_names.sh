#!/usr/bin/env bash
# Goal: a section of the configuration is its peer's and nobody else's: a certificate's subject attribute by attribute,
# however its commas stand; a bare name is a key's and a common name; an IPv4 address is one, also where the default
# socket of IPv6 has taken the connection: in patterns, in the log, in the metrics.
. "$(dirname "$0")/lib.sh"
need openssl curl

# names a certificate: SUBJECT, as openssl req takes it, into $T/client
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/ca-key.pem" -out "$T/ca-cert.pem" \
    -subj "/CN=names" -days 2 -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null || fail "no authority"
issue() { # ROLE SUBJECT
    mkdir -p "$T/$1"
    cp "$T/ca-cert.pem" "$T/$1/"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/$1/$1-key.pem" -out "$T/csr" \
        -multivalue-rdn -subj "$2" 2>"$T/said" &&
        openssl x509 -req -in "$T/csr" -CA "$T/ca-cert.pem" -CAkey "$T/ca-key.pem" -CAcreateserial -days 2 \
            -out "$T/$1/$1-cert.pem" \
            -extfile <(printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=%sAuth\n' "$1") 2>"$T/said" ||
        fail "no certificate for $2: $(cat "$T/said")"
}
issue server /CN=server

# serve_names PATTERN: a serving adit whose one section is that
serve_names() {
    printf '[serve]\nlisten = 127.0.0.1:0\ntls-creds = %s\n[peer %s]\nforward = unix:%s/to\n' "$T/server" "$1" "$T" \
        >"$T/adit.conf"
    serve_with --config "$T/adit.conf"
}
end_serve() {
    kill "$SERVE"
    wait "$SERVE" || fail "adit serve ended with status $?"
    ! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail "a sanitizer spoke"
}
# asks WHOM WANT ARG...: whether the peer that forwards with ARGs may: yes, or no
asks() {
    local whom=$1 want=$2 pid got=yes
    shift 2
    : >"$T/serve.log"
    : >"$T/forward.log"
    rm -f "$T/from"
    "$ADIT" forward "$@" -L "unix:$T/from=unix:$T/to" 2>"$T/forward.log" &
    pid=$!
    started "$pid"
    wait_until 10 "$whom is answered" grep -qE 'refused by the far adit|forwarding' "$T/forward.log"
    kill "$pid" 2>/dev/null
    wait "$pid"
    ! grep -q 'refused: ' "$T/serve.log" || got=no
    expect_equal "$whom" "$want" "$got"
}
# subject SUBJECT yes|no
subject() {
    issue client "$1"
    asks "$1 as [peer $PATTERN]" "$2" "tls://127.0.0.1:$PORT" --tls-creds "$T/client"
}

PATTERN='x509:CN=*,O=Example'
serve_names "$PATTERN"
subject '/O=Example/CN=host-a' yes
subject '/CN=evil,O=Example' no
subject '/CN=evil\\,O=Example' no
subject '/OU=Guests/CN=evil,O=Example' no
subject '/O=Example/OU=Guests/CN=host-a' no
subject '/O=Example+CN=host-a' no
end_serve
PATTERN='host-*'
serve_names "$PATTERN"
subject '/CN=host-a' yes
subject '/O=Example/CN=host-a' yes
subject '/CN=evil,CN=host-a' no
subject '/O=host-a/CN=evil' no
end_serve

# by default it listens on a socket of IPv6 that takes both
[ -e /proc/net/if_inet6 ] || { skip_part 'addresses' 'no IPv6 here'; exit 0; }
printf '[serve]\nlisten = :0\ninsecure = yes\nrun-dir = %s/run\nstate-dir = %s/state\n[peer tcp:127.0.0.1]\nforward = unix:%s/to\n' \
    "$T" "$T" "$T" >"$T/adit.conf"
serve_with --config "$T/adit.conf"
[ -n "$PORT" ] || fail "no port: $(cat "$T/serve.log")"
asks 127.0.0.1 yes "tcp://127.0.0.1:$PORT" --insecure
grep -q 'session from 127\.0\.0\.1:' "$T/serve.log" || fail "the log has another address: $(cat "$T/serve.log")"
! grep -q ffff "$T/serve.log" || fail "the log has IPv6's form: $(grep ffff "$T/serve.log")"
asks ::1 no "tcp://[::1]:$PORT" --insecure
grep -q 'peer=tcp:::1 ' "$T/serve.log" || fail "a name with brackets: $(cat "$T/serve.log")"
end_serve

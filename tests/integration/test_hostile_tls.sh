#!/usr/bin/env bash
# Goal: TLS records that carry nothing, or a byte, are no flood. Of each kind that costs more to open than to make, a few
# are borne, whoever sends them; before the handshake is over, too, and by adit forward of a hostile server. What carries
# data, however little, is borne. A good session has its echo beside each, a newcomer gets in, and SIGTERM ends all.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/hostile.sh"

ECHO_S=1
hostile_keys
declare -A words=([empty]='record too small' [alerts]='too many warn alerts' [ccs]='damaged on its way'
    [closed]='closed the connection' [fragments]='unexpected message'
    [hello]='more than 256 TLS records in its handshake')
for what in "${!words[@]}"; do
    hostile_run "$what" "$HELPERS/tlsflood" "$what" 127.0.0.1 PORT "$T/bad" 8 60
    grep -q "${words[$what]}" "$T/serve.log" || fail "$what was borne: $(cat "$T/serve.log")"
done
hostile_run tiny "$HELPERS/tlsflood" tiny 127.0.0.1 PORT "$T/bad" 8 60
expect_equal "sessions of the peer whose frames come a byte at a time" 8 "$(grep -c 'psk:bad session from' "$T/serve.log")"
! grep 'psk:bad session ended:' "$T/serve.log" || fail "bytes of data were not borne"

# a hostile server
for what in tickets request; do
    attack "$HELPERS/tlsflood" "$what" listen "$T/good"
    port=$(sed -n 's/^listening //p' "$T/attack.out")
    ! timeout 20 "$ADIT" forward "tls://127.0.0.1:$port" --psk "$T/good" -L "unix:$T/local=unix:$T/echo" \
        2>"$T/forward.log" || fail "$what: a session with a server that floods"
    end_attack
    say "$what: $(cat "$T/forward.log")"
    case $what in
    tickets) grep -q 'more than 32 TLS records without data' "$T/forward.log" ;;
    request) grep -q 'unexpected message' "$T/forward.log" ;;
    esac || fail "$what were borne"
done

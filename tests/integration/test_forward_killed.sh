#!/usr/bin/env bash
# Goal: when either adit is killed, the other ends the session with one line, what ran through it is broken off, and
# nothing is left behind; the serving side goes on for others.
. "$(dirname "$0")/lib.sh"
need socat

make_psk
socat UNIX-LISTEN:"$T/target",fork SYSTEM:'echo $$ >>'"$T/servers"'; exec cat' &
started $!
wait_until 10 "the server listens" test -S "$T/target"
pair="unix:$T/near=unix:$T/target"
mkfifo "$T/hold"
exec 4<>"$T/hold"

# connect N: a connection that is open, and idle after one line
connect() {
    socat - "UNIX:$T/near" <&4 >"$T/client$1" &
    CLIENT=$!
    started "$CLIENT"
    echo "hello $1" >&4
    wait_until 10 "an exchange" grep -q "hello $1" "$T/client$1"
}
start_forward() {
    # emptied here: the background job empties it too late for who reads it next
    : >"$T/forward.log"
    "$ADIT" forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "$pair" 2>>"$T/forward.log" &
    forward=$!
    started "$forward"
    wait_until 10 "the session is up" grep -q forwarding "$T/forward.log"
}
sockets_of() { find "/proc/$1/fd" -lname 'socket:*' 2>/dev/null | wc -l; }

# the serving side is killed
start_serve --psk "$PSK" --allow-forward "unix:$T/target"
start_forward
connect 1
kill -KILL "$SERVE"
wait "$SERVE" 2>/dev/null
begin=$(now_ms)
wait "$forward"
expect_equal "status when the far adit is killed" 1 $?
[ $(($(now_ms) - begin)) -lt 5000 ] || fail "it took $(($(now_ms) - begin)) ms"
expect_equal "lines about it" 1 "$(grep -vc 'forwarding' "$T/forward.log")"
grep -q 'session lost: ' "$T/forward.log" || fail "$(cat "$T/forward.log")"
[ ! -e "$T/near" ] || fail "the socket is left"
wait_until 5 "the client is told" gone "$CLIENT"
wait_until 5 "the server is told" gone "$(tail -n 1 "$T/servers")"

# the forwarding side is killed
start_serve --psk "$PSK" --allow-forward "unix:$T/target"
sockets=$(sockets_of "$SERVE")
start_forward
connect 2
kill -KILL "$forward"
wait "$forward" 2>/dev/null
wait_until 5 "the serving side says so" grep -q 'session ended: ' "$T/serve.log"
expect_equal "lines about it" 1 "$(grep -c 'session ended' "$T/serve.log")"
wait_until 5 "the client is told" gone "$CLIENT"
wait_until 5 "the server is told" gone "$(tail -n 1 "$T/servers")"
no_more_sockets() { [ "$(sockets_of "$SERVE")" = "$sockets" ]; }
wait_until 5 "no socket is left" no_more_sockets

# the serving side goes on; it is ended in order, and the other ends too
start_forward
connect 3
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"
wait "$forward"
expect_equal "status when the far adit ends" 1 $?
grep -q 'session lost: .*this adit is ending' "$T/forward.log" || fail "$(cat "$T/forward.log")"
wait_until 5 "the client is told" gone "$CLIENT"

# what is killed with a stop stands still: the keepalive finds out
start_serve --psk "$PSK" --allow-forward "unix:$T/target"
start_forward
connect 4
kill -STOP "$SERVE"
begin=$(now_ms)
wait "$forward"
expect_equal "status when the far adit stands still" 1 $?
took=$(($(now_ms) - begin))
say "a peer that stands still was given up after $took ms"
[ "$took" -gt 10000 ] && [ "$took" -lt 20000 ] || fail "given up after $took ms, not about 15000"
grep -q 'session lost: ' "$T/forward.log" || fail "$(cat "$T/forward.log")"
kill -KILL "$SERVE"
wait "$SERVE" 2>/dev/null
exit 0

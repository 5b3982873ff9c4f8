#!/usr/bin/env bash
# Goal: the end of one direction is carried while the other goes on, both ways round, over unix and TCP endpoints; and a
# connection that breaks is broken at the other end too, with the same words in both logs.
. "$(dirname "$0")/lib.sh"
need socat

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/*" --allow-forward 'tcp:127.0.0.1:*'
tcp_target=$(free_port)
tcp_near=$(free_port)
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" \
    -L "unix:$T/near=unix:$T/target" -L "tcp:127.0.0.1:$tcp_near=tcp:127.0.0.1:$tcp_target" \
    -L "unix:$T/early=unix:$T/early-target" -L "unix:$T/break=tcp:127.0.0.1:$tcp_target"

# a server that answers only when its client has ended: without a half-close it never would
cat >"$T/reverse" <<END
#!/bin/sh
cat >$T/got.\$\$
tac $T/got.\$\$
END
chmod +x "$T/reverse"
socat UNIX-LISTEN:"$T/target",fork EXEC:"$T/reverse" &
started $!
socat TCP-LISTEN:"$tcp_target",bind=127.0.0.1,reuseaddr,fork EXEC:"$T/reverse" &
started $!
listening() { [ -S "$T/target" ] && port_listens "$tcp_target"; }
wait_until 10 "the servers listen" listening

for near in "UNIX:$T/near" "TCP:127.0.0.1:$tcp_near"; do
    expect_equal "an answer after the end, $near" "2 1 " \
        "$(printf '1\n2\n' | timeout 20 socat -t20 - "$near" | tr '\n' ' ')"
    expect_equal "nothing at all, $near" "" "$(timeout 20 socat -t20 - "$near" </dev/null)"
    seq 1 200000 >"$T/numbers"
    timeout 60 socat -t60 - "$near" <"$T/numbers" >"$T/answer" || fail "socat: $near"
    tac "$T/numbers" | cmp - "$T/answer" || fail "a long answer after the end, $near"
done

# the other way round: the server ends first, and goes on reading until the client has ended
socat UNIX-LISTEN:"$T/early-target" SYSTEM:"echo hello; exec 1>&-; cat >$T/late",pipes &
server=$!
started "$server"
wait_until 10 "the server listens" test -S "$T/early-target"
{
    while [ ! -s "$T/said" ]; do sleep 0.05; done
    sleep 0.3 # its end is underway
    seq 1 1000
} | timeout 20 socat -t20 - UNIX:"$T/early" >"$T/said"
expect_equal "what the server said" hello "$(cat "$T/said")"
wait "$server"
seq 1 1000 | cmp - "$T/late" || fail "what the server got after its own end"

# a target that breaks off: the near side ends at once, and both logs say why
target=$(free_port)
end_forward
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "tcp:127.0.0.1:$tcp_near=tcp:127.0.0.1:$target"
# linger 0 and no orderly end: a reset
socat -u TCP-LISTEN:"$target",bind=127.0.0.1,reuseaddr,linger=0 CREATE:"$T/heard" &
server=$!
started "$server"
wait_until 10 "the server listens" port_listens "$target"
mkfifo "$T/hold"
exec 4<>"$T/hold"
timeout 10 socat -d - TCP:127.0.0.1:"$tcp_near" <&4 2>"$T/broken" &
client=$!
echo hello >&4
wait_until 10 "the server hears the client" test -s "$T/heard"
kill -KILL "$server"; wait "$server" 2>/dev/null
wait "$client"
[ $? != 124 ] || fail "the near side was not told that the target broke off"
grep -q 'Connection reset' "$T/broken" || fail "the near side saw no error: $(cat "$T/broken")"
for f in serve forward; do
    wait_until 5 "$f.log says why" grep -q "connection to tcp:127.0.0.1:$target failed: Connection reset by peer" "$T/$f.log"
done

# a client that breaks off: the far side ends at once
rm "$T/heard"
socat -d -u TCP-LISTEN:"$target",bind=127.0.0.1,reuseaddr CREATE:"$T/heard" 2>"$T/server.err" &
server=$!
started "$server"
wait_until 10 "the server listens" port_listens "$target"
socat - TCP:127.0.0.1:"$tcp_near",linger=0 <&4 >/dev/null &
client=$!
echo hello >&4
wait_until 10 "the server hears the client" test -s "$T/heard"
kill -KILL "$client"; wait "$client" 2>/dev/null
wait_until 10 "the far side is told that the client broke off" gone "$server"
grep -q 'Connection reset' "$T/server.err" || fail "the far side saw no error: $(cat "$T/server.err")"
for f in serve forward; do
    wait_until 5 "$f.log says why" grep -q "that asked for tcp:127.0.0.1:$target failed: Connection reset by peer" "$T/$f.log"
done

# the same while nothing moves, because the target does not read
end_forward
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "tcp:127.0.0.1:$tcp_near=unix:$T/idle"
socat UNIX-LISTEN:"$T/idle" SYSTEM:"echo \$\$ >$T/idle.pid; exec sleep 100" &
started $!
wait_until 10 "the server listens" test -S "$T/idle"
head -c 200M /dev/zero | socat -u - TCP:127.0.0.1:"$tcp_near",linger=0 2>/dev/null &
client=$!
started "$client"
wait_until 10 "the server is there" test -s "$T/idle.pid"
started "$(cat "$T/idle.pid")"
sleep 1 # all windows are full
gone "$client" && fail "200 MB went to a server that does not read"
kill -KILL "$client"; wait "$client" 2>/dev/null
for f in serve forward; do
    wait_until 5 "$f.log says why" grep -q "that asked for unix:$T/idle failed: Connection reset by peer" "$T/$f.log"
done
end_adits

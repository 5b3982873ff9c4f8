#!/usr/bin/env bash
# Goal: strangers do not shut out who means it. 3000 connections a second from one address, and somebody from another
# one, 100 ms away, gets in, at the first try; the good session goes on. Where streams have used up the descriptors, a
# newcomer gets in. On the API's TCP port 150 strangers are no hindrance to who has the token.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/hostile.sh"
need curl

mkdir -m 700 "$T/run" "$T/state"
printf '%s\n' 0123456789abcdef0123456789abcdef >"$T/token"
chmod 600 "$T/token"
SERVE_LINES="run-dir = $T/run
state-dir = $T/state
api-listen = 127.0.0.1:0
api-token-file = $T/token"
MORE_SECTIONS="[peer bad]
forward = unix:$T/echo"
hostile_keys
serve_hostile

# far NAME: a session of good's from 127.0.0.3, 50 ms away each way
far() {
    : >"$T/delay-$1.out"
    "$FLOOD" delay 127.0.0.3 127.0.0.1 "$PORT" 50 >"$T/delay-$1.out" 2>"$T/delay-$1.log" &
    started $!
    wait_until 5 "the long line" grep -q listening "$T/delay-$1.out"
    "$ADIT" forward "tls://127.0.0.1:$(sed -n 's/listening //p' "$T/delay-$1.out")" --psk "$T/good" \
        -L "unix:$T/far-$1=unix:$T/echo" --background --pid-file "$T/far-$1.pid" 2>"$T/far.log" ||
        fail "$1: from afar nobody gets in: $(cat "$T/far.log")"
    started "$(cat "$T/far-$1.pid")"
}
start_forward "tls://127.0.0.1:$PORT" --psk "$T/good" -L "unix:$T/near=unix:$T/echo"
far calm
attack connects 127.0.0.2 127.0.0.1 "$PORT" 3000
sleep 1
for i in 1 2 3; do far "$i"; done
"$FLOOD" echo "$T/far-3" 1 >/dev/null || fail "no echo from afar"
"$FLOOD" echo "$T/near" 2 || fail "the good session has no echo"
end_attack
grep -q 'from 127\.0\.0\.2:.*too many handshakes of its address' "$T/serve.log" || fail "nobody gave way"
! grep 'from 127\.0\.0\.[13]:.*dropped' "$T/serve.log" || fail "somebody else gave way"

api=$(sed -nE 's/.*API on http:..127\.0\.0\.1:([0-9]+).*/\1/p' "$T/serve.log" | head -n 1)
[ -n "$api" ] || fail "where is the API? $(cat "$T/serve.log")"
strangers=()
for ((i = 0; i < 150; i++)); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$api"
    strangers+=("$fd")
done
# asks_api WHAT: with the token, and is answered
asks_api() {
    local status
    status=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $(cat "$T/token")" \
        "http://127.0.0.1:$api/tasks") || fail "no answer from the API beside $1"
    expect_equal "the API's answer" 200 "$status"
}
asks_api "150 strangers"
for fd in "${strangers[@]}"; do exec {fd}>&-; done
# all its places are those of clients that have shown the token and stay: none of them gives way, nor one who comes
clients=()
for ((i = 0; i < 64; i++)); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$api"
    printf 'GET /tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n' "$(cat "$T/token")" >&"$fd"
    read -r -t 10 line <&"$fd" || fail "client $i of the API has no answer"
    [[ $line == *200* ]] || fail "client $i of the API is answered $line"
    clients+=("$fd")
done
asks_api "64 clients with the token"
printf 'GET /tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n' "$(cat "$T/token")" >&"${clients[0]}"
timeout 10 grep -q -m 2 ' 200 ' <&"${clients[0]}" || fail "the first client of the API was hung up on"
for fd in "${clients[@]}"; do exec {fd}>&-; done
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
[ "$(stat -c %s "$T/serve.log")" -le 1000000 ] || fail "the log grew by $(stat -c %s "$T/serve.log") bytes"
! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail "a sanitizer spoke"

# the last descriptor is taken, and nobody else waits: nobody is sent away for one
(
    ulimit -n 64
    exec "$ADIT" serve --config "$T/adit-tls.conf" 2>"$T/few.log"
) &
few=$!
started "$few"
wait_until 10 "adit serve listens" grep -q 'listening on' "$T/few.log"
few_port=$(sed -n 's/.*listening on [^ ]*:\([0-9]*\) .*/\1/p' "$T/few.log")
# (what it has inherited may lie above the limit, and counts for nothing)
descriptors() { find "/proc/$few/fd" -mindepth 1 -printf '%f\n' | awk '$1 < 64 { n++ } END { print n }'; }
# one session is there already, with a stream that needs no descriptor any more
near=$(free_port)
start_forward "tls://127.0.0.1:$few_port" --psk "$T/good" -L "tcp:127.0.0.1:$near=unix:$T/echo"
exec {stream}<>"/dev/tcp/127.0.0.1/$near"
# echoes: by then the loop has done all that it had begun
echoes() {
    local word
    printf 'x\n' >&"$stream"
    read -r -t 10 word <&"$stream" || fail "no echo over a stream that is there"
    expect_equal "the echo" x "$word"
}
echoes
strangers=()
for ((left = 64 - $(descriptors); left > 0; left--)); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$few_port"
    strangers+=("$fd")
done
wait_until 10 "all descriptors are used" eval '[ "$(descriptors)" = 64 ]'
echoes
! grep 'no descriptor is left' "$T/few.log" || fail "a stranger was dropped for nobody"
exec {fd}<>"/dev/tcp/127.0.0.1/$few_port"
wait_until 10 "one is dropped for who comes" grep -q 'no descriptor is left' "$T/few.log"
echoes
for fd in "$fd" "$stream" "${strangers[@]}"; do exec {fd}>&-; done
kill "$few"
wait "$few" || fail "adit serve with few descriptors ended with $?"

# few descriptors, and a peer whose streams take all that they can get
ulimit -n 512
serve_hostile
attack holds "tls://127.0.0.1:$PORT" "$T/bad" 1 other "unix:$T/echo" 800
wait_until 20 "the descriptors are used up" grep -q 'Too many open files' "$T/serve.log"
timeout 9 "$ADIT" forward "tls://127.0.0.1:$PORT" --psk "$T/good" -L "unix:$T/new=unix:$T/echo" --background \
    --pid-file "$T/new.pid" 2>"$T/new.log" || fail "no newcomer gets in: $(cat "$T/new.log")"
started "$(cat "$T/new.pid")"
end_attack
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"

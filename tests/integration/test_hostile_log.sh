#!/usr/bin/env bash
# Goal: no peer fills the log, and no log holds adit up. Streams that are refused, or reset, as fast as can be: their
# lines are counted, the good session beside them has its answers, and SIGTERM its end. Standard error may be a pipe that
# nobody reads: what it does not take is counted, and said when it is read again. adit forward likewise, under a hostile
# server.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/hostile.sh"

MORE_SECTIONS="[peer bad]
forward = unix:$T/echo"
hostile_keys
# bounded NAME: what it left in the log
bounded() { [ "${LOG[$1]}" -le 1000000 ] || fail "$1: the log grows by ${LOG[$1]} bytes a minute"; }
hostile_run refused opens DEST "$T/bad" 4 other unix:/nowhere
bounded refused
grep -qE 'peer=psk:bad.*[0-9]{3,} more like this one' "$T/serve.log" || fail "what was left out is not counted"
hostile_run reset resets DEST "$T/bad" 4 other "unix:$T/echo"
bounded reset

# deaf COMMAND...: with a full pipe for its standard error, which nobody reads until hear; sets PID
deaf() {
    rm -f "$T/pipe"
    mkfifo "$T/pipe"
    exec 5<>"$T/pipe"
    # to its last byte
    dd if=/dev/zero bs=4096 oflag=nonblock status=none >&5 2>/dev/null
    dd if=/dev/zero bs=1 oflag=nonblock status=none >&5 2>/dev/null
    "$@" 2>"$T/pipe" 5>&- &
    PID=$!
    started "$PID"
}
hear() {
    cat "$T/pipe" >"$T/heard" &
    local pid=$!
    started "$pid"
    wait_until 10 "what is missing is told" grep -qaE '[0-9]+ lines are missing here' "$T/heard"
    kill "$pid"
    exec 5>&-
}
# ends WHAT STATUS: SIGTERM ends it
ends() {
    kill -TERM "$PID"
    wait_until 10 "$1 ends on SIGTERM" gone "$PID"
    wait "$PID"
    expect_equal "$1's status" "$2" $?
}

PORT=$(free_port)
sed -i "s/^listen = .*/listen = 127.0.0.1:$PORT/" "$T/adit-tls.conf"
deaf "$ADIT" serve --config "$T/adit-tls.conf"
wait_until 10 "adit serve listens" port_listens "$PORT"
attack opens "tls://127.0.0.1:$PORT" "$T/bad" 4 other unix:/nowhere
start_forward "tls://127.0.0.1:$PORT" --psk "$T/good" -L "unix:$T/near=unix:$T/echo"
"$FLOOD" echo "$T/near" 2 >/dev/null || fail "no echo beside a log that nobody reads"
hear
end_attack
ends "adit serve" 0
kill "$FORWARD"

# and again, ended while nobody reads
deaf "$ADIT" serve --config "$T/adit-tls.conf"
wait_until 10 "adit serve listens" port_listens "$PORT"
attack opens "tls://127.0.0.1:$PORT" "$T/bad" 4 other unix:/nowhere
ends "a deaf adit serve" 0
end_attack
exec 5>&-

# a hostile server
attack serve 127.0.0.1:0 "$T/keys" unix:/nowhere
port=$(sed -n 's/^listening //p' "$T/attack.out")
deaf "$ADIT" forward "tls://127.0.0.1:$port" --psk "$T/good" -L "unix:$T/local=unix:$T/echo"
wait_until 10 "the session" grep -q ready "$T/attack.out"
hear
ends "a deaf adit forward" 0
"$ADIT" forward "tls://127.0.0.1:$port" --psk "$T/good" -L "unix:$T/local=unix:$T/echo" 2>"$T/forward.log" &
PID=$!
started "$PID"
wait_until 20 "what was left out is counted" grep -qE 'and [0-9]{3,} more like this one, left out' "$T/forward.log"
ends "adit forward" 0
[ "$(stat -c %s "$T/forward.log")" -le 1000000 ] || fail "the log grew by $(stat -c %s "$T/forward.log") bytes"
end_attack

#!/usr/bin/env bash
# Sanitizers too
# Goal: whatever strangers send to the port, adit serve neither crashes nor grows, and those who proved who they are do not
# notice: random bytes, the beginnings of a TLS handshake that stops, handshakes that end in the middle, ten thousand
# connections that say nothing. Meanwhile a forward carries bytes; afterwards a new one does, and the crowd leaves nothing.
. "$(dirname "$0")/lib.sh"
need openssl

# adit serve keeps at most 256 handshakes at a time, the oldest gives way; each costs about 130 KiB, and as much again may
# lie about in the allocator between one crowd and the next
ASAN_OPTIONS+=:quarantine_size_mb=4
GROWTH_MAX_KIB=98304 LOG_LINES_MAX=1500

# echoes SOCKET: what goes in there comes back
echoes() {
    local want
    want=$(head -c 300000 /dev/urandom | base64 -w 0 | tee "$T/sent" | sha256sum)
    [ "$(socat -t 10 - "UNIX-CONNECT:$1" <"$T/sent" | sha256sum)" = "$want" ]
}
served() { echoes "$T/run/echo.sock" || fail "the forward stopped carrying during: $1"; }
rss_kib() { sed -nE 's/^VmRSS:[^0-9]*([0-9]+).*/\1/p' "/proc/${PROC_PID[serve]}/status"; }
hwm_kib() { sed -nE 's/^VmHWM:[^0-9]*([0-9]+).*/\1/p' "/proc/${PROC_PID[serve]}/status"; }
fds() { find "/proc/${PROC_PID[serve]}/fd" -mindepth 1 | wc -l; }
# strange: what comes on stdin goes to the port
strange() {
    cat >"$T/bytes"
    in_host src socat -u "FILE:$T/bytes" "TCP:$DST_IP:$ADIT_PORT" 2>/dev/null || true
}

# forward NAME: a session of its own, with a listener in $T/run/NAME.sock
forward() {
    proc_start "forward-$1" src "$ADIT" forward --psk "$T/psk" -L "unix:$T/run/$1.sock=tcp:127.0.0.1:7" "tls://$DST_IP"
    wait_until 10 "the forward $1" test -S "$T/run/$1.sock"
}

move_hosts
# (no more than a pipe surely takes at once, or it would wait for itself)
proc_start echo dst socat -b 4096 TCP-LISTEN:7,bind=127.0.0.1,fork,reuseaddr PIPE
adit_serve --allow-forward 'tcp:127.0.0.1:7'
forward echo
wait_until 10 'the echo' echoes "$T/run/echo.sock"
before=$(rss_kib) fds=$(fds)
say "adit serve: $before KiB, $fds descriptors"

say 'random bytes'
for n in {1..120}; do
    head -c $((n * 997)) /dev/urandom | strange
    [ $((n % 40)) != 0 ] || served 'random bytes'
done
# what looks like TLS at first, and like adit's own frames
for n in {1..40}; do
    # shellcheck disable=SC2059
    { printf "$(printf '\\x16\\x03\\x01\\x%02x\\x%02x\\x01' $((RANDOM % 64)) $((RANDOM % 256)))"; head -c $((n * 200)) /dev/urandom; } | strange
done
served 'what looks like TLS'

say 'handshakes that stop, and that end, in the middle'
proc_start catch src socat -u "TCP-LISTEN:9999,bind=127.0.0.1" "CREATE:$T/hello"
wait_until 5 'somebody to catch a hello' eval 'listeners src | grep -q 9999'
in_host src timeout 2 openssl s_client -connect 127.0.0.1:9999 -tls1_3 </dev/null >/dev/null 2>&1 || true
[ "$(stat -c %s "$T/hello")" -gt 100 ] || fail 'no ClientHello was caught'
for n in {1..60}; do
    head -c $((n * $(stat -c %s "$T/hello") / 60)) "$T/hello" | strange
done
stopped=()
for n in 1 5 50 120 "$(stat -c %s "$T/hello")"; do
    proc_start "stop$n" src bash -c "exec 3<>/dev/tcp/$DST_IP/$ADIT_PORT; head -c $n '$T/hello' >&3; sleep infinity"
    stopped+=("stop$n")
done
sleep 0.5
served 'handshakes that stop'

# crowd WHAT
crowd() {
    say "$1"
    proc_start crowd src "$CROWD" "$DST_IP" "$ADIT_PORT" 10000
    wait_until 60 'the crowd' eval 'grep -q connected "$T/crowd.log" || proc_gone crowd'
    grep -qx 'connected 10000' "$T/crowd.log" || fail "the crowd: $(tail -n 1 "$T/crowd.log")"
    say "  with them: $(rss_kib) KiB, $(fds) descriptors"
    served 'ten thousand silent connections'
    [ "$(fds)" -lt 2000 ] || fail "$(fds) descriptors are held for strangers"
}
crowd 'ten thousand connections that say nothing'
say '  a new session, while they stand there'
forward meanwhile
wait_until 15 'a new forward, with the crowd there' echoes "$T/run/meanwhile.sock"
proc_end crowd
crowd 'ten thousand more'
proc_end crowd
for n in "${stopped[@]}"; do
    proc_end "$n"
done

proc_runs serve || fail 'adit serve ended'
forward after
wait_until 10 'a new forward' echoes "$T/run/after.sock"
served 'everything'
for n in forward-meanwhile forward-after; do
    proc_end "$n"
done
wait_until 30 "the strangers' descriptors to be closed" eval '[ "$(fds)" -le $((fds + 2)) ]'
say "adit serve: $(rss_kib) KiB, at most $(hwm_kib), $(fds) descriptors"
[ $(($(hwm_kib) - before)) -lt $GROWTH_MAX_KIB ] || fail "adit serve grew from $before to $(hwm_kib) KiB"
lines=$(wc -l <"${PROC_LOG[serve]}")
say "its log: $lines lines"
[ "$lines" -lt $LOG_LINES_MAX ] || fail "adit serve logged $lines lines: a flood of strangers fills the disk"
proc_kill serve
proc_wait serve 5
expect_equal "adit serve's exit status" 0 "$PROC_STATUS"

#!/usr/bin/env bash
# Goal: adit under a service manager: systemd's own launcher hands it its sockets, it says when it is ready, how it does,
# that it reloads and ends; a loop that hangs falls silent; its log has the journal's form. And endpoints that are
# descriptors (fd:N): what is taken, and what is refused in which words.
. "$(dirname "$0")/lib.sh"
need socat systemd-socket-activate curl

make_psk
port=$(free_port)
echo target-said-this >"$T/words"
socat -U UNIX-LISTEN:"$T/target",fork OPEN:"$T/words",rdonly &
started $!
socat -u UNIX-RECV:"$T/notify" OPEN:"$T/notify.log",creat,append &
started $!
wait_until 10 "the manager's socket and the target are there" test -S "$T/notify" -a -S "$T/target"
said() { grep -qE -- "$1" "$T/notify.log" 2>/dev/null; }
count() { grep -cE -- "$1" "$T/notify.log"; }

# --- sockets and words: the log is a pipe, so that it can be made to stand still
mkfifo "$T/log"
exec 5<>"$T/log"
# (what the journal's stream is, $JOURNAL_STREAM says by device and inode)
stream=$(stat -L -c %d:%i "$T/log")
NOTIFY_SOCKET=$T/notify WATCHDOG_USEC=400000 JOURNAL_STREAM=$stream \
    systemd-socket-activate -l "127.0.0.1:$port" -l "$T/api.sock" --fdname=adit:api \
    -E NOTIFY_SOCKET -E WATCHDOG_USEC -E JOURNAL_STREAM -E ASAN_OPTIONS -E UBSAN_OPTIONS \
    "$ADIT" serve --psk "$PSK" --listen 127.0.0.1:1 --run-dir "$T/run" --state-dir "$T/state" \
    --allow-forward "unix:$T/target" 2>&5 5>&- &
SERVE=$!
started "$SERVE"
wait_until 10 "systemd holds the port" port_listens "$port"
[ ! -s "$T/notify.log" ] || fail "adit was started before anybody came"
PORT=$port
start_forward "tls://127.0.0.1:$port" --psk "$PSK" -L "unix:$T/near=unix:$T/target"
expect_equal "through systemd's port" target-said-this "$(socat -t5 - "UNIX:$T/near" </dev/null)"
wait_until 5 "READY=1" said '^READY=1$'
wait_until 5 "STATUS with the session" said '^STATUS=1 session, no VM coming, no VM going$'
expect_equal "of the API on systemd's socket" 200 \
    "$(curl -s -o "$T/api.out" -w '%{http_code}' --unix-socket "$T/api.sock" http://adit/tasks)"

# the log, as the journal wants it
timeout 1 cat <&5 >"$T/serve.log"
grep -q "^<6>listening on 127.0.0.1:$port (.*), handed over$" "$T/serve.log" || fail "no line of the port that was handed over"
grep -q '^<6>API on the socket of the service manager$' "$T/serve.log" || fail "no line of the API's socket"
! grep -vE '^<[3-7]>[^0-9]|^(Listening|Communication|Execing)' "$T/serve.log" || fail "lines that are not for the journal"

# reload
kill -HUP "$SERVE"
wait_until 5 "RELOADING=1" said '^RELOADING=1$'
wait_until 5 "READY=1 again" eval '[ "$(count "^READY=1$")" = 2 ]'
monotonic=$(sed -n 's/^MONOTONIC_USEC=//p' "$T/notify.log")
up=$(awk '{ print int($1 * 1000000) }' /proc/uptime)
[ "$monotonic" -gt $((up - 60000000)) ] && [ "$monotonic" -le "$up" ] || fail "MONOTONIC_USEC=$monotonic at $up"

# the watchdog hears from a loop that turns, also where nobody reads its log, and not from one that stands still
at=$(count '^WATCHDOG=1$')
sleep 1
[ $(($(count '^WATCHDOG=1$') - at)) -ge 5 ] || fail "WATCHDOG=1 came $(($(count '^WATCHDOG=1$') - at)) times in 1 s, for a limit of 0.4 s"
timeout 0.5 cat <&5 >/dev/null
timeout 1 cat /dev/zero >&5 # until the pipe is full
kill -HUP "$SERVE"
at=$(count '^WATCHDOG=1$')
wait_until 5 "it goes on while its log stands still" eval '[ "$(count "^WATCHDOG=1$")" -gt $((at + 1)) ]'
cat <&5 >/dev/null &
reader=$!
started "$reader"
kill -STOP "$SERVE"
sleep 0.5
at=$(count '^WATCHDOG=1$')
sleep 0.6
expect_equal "words of a loop that hangs" "$at" "$(count '^WATCHDOG=1$')"
kill -CONT "$SERVE"
wait_until 5 "it is fed again once the loop turns" eval '[ "$(count "^WATCHDOG=1$")" -gt "$at" ]'

# the end
end_forward
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"
said '^STOPPING=1$' || fail "no STOPPING=1"
[ -S "$T/api.sock" ] || fail "the API's socket, which is systemd's, was removed"
kill "$reader"

# --- what systemd hands over wrongly is named
expect_failure "a unix socket for peers" timeout 20 systemd-socket-activate -l "$T/wrong.sock" --fdname=adit -E ASAN_OPTIONS \
    "$ADIT" serve --psk "$PSK" < <(sleep 1; socat -u OPEN:/dev/null "UNIX-CONNECT:$T/wrong.sock")
grep -q 'the socket "adit" of the service manager is a unix socket' <<<"$EXPECTED_FAILURE" || fail "said: $EXPECTED_FAILURE"

# --- fd:N
# (without those variables it is any launcher that leaves a socket open)
port=$(free_port)
: >"$T/serve.log"
systemd-socket-activate -l "127.0.0.1:$port" -E ASAN_OPTIONS env -u LISTEN_PID -u LISTEN_FDS -u LISTEN_FDNAMES \
    "$ADIT" serve --listen fd:3 --psk "$PSK" --run-dir "$T/run" --allow-forward "unix:$T/target" 2>"$T/serve.log" &
SERVE=$!
started "$SERVE"
wait_until 10 "systemd holds the port" port_listens "$port"
start_forward "tls://127.0.0.1:$port" --psk "$PSK" -L "unix:$T/near=unix:$T/target"
expect_equal "through --listen fd:3" target-said-this "$(socat -t5 - "UNIX:$T/near" </dev/null)"
grep -q "listening on 127.0.0.1:$port (.*), handed over\$" "$T/serve.log" || fail "no line of the descriptor"
end_adits

start_serve --psk "$PSK" --run-dir "$T/run" --allow-forward "unix:$T/target"
port=$(free_port)
: >"$T/notify.log"
NOTIFY_SOCKET=$T/notify systemd-socket-activate -l "127.0.0.1:$port" -E NOTIFY_SOCKET -E ASAN_OPTIONS \
    "$ADIT" forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "fd:3=unix:$T/target" 2>"$T/fd.log" &
forward=$!
started $forward
wait_until 10 "systemd holds the port" port_listens "$port"
! said READY || fail "READY=1 before there is a session"
expect_equal "through fd:3" target-said-this "$(socat -t5 - "TCP:127.0.0.1:$port" </dev/null)"
expect_equal "through fd:3, once more" target-said-this "$(socat -t5 - "TCP:127.0.0.1:$port" </dev/null)"
said '^READY=1$' || fail "adit forward did not say that it is ready"
kill -TERM $forward
wait $forward || fail "adit forward ended with status $?"
said '^STOPPING=1$' || fail "adit forward did not say that it ends"

# refuse STATUS WORDS ARG...: of adit forward, whose fd:7 is a plain file
refuse() {
    local want=$1 words=$2 got status
    shift 2
    got=$(timeout 20 "$ADIT" forward "tls://127.0.0.1:$PORT" --psk "$PSK" "$@" 2>&1 7</dev/null)
    status=$?
    expect_equal "status of $*" "$want" "$status"
    grep -qF -- "$words" <<<"$got" || fail "$*: said '$got', not '$words'"
    expect_equal "lines of $*" 1 "$(wc -l <<<"$got")"
}
refuse 1 'fd:7 is not a socket' -L "fd:7=unix:$T/target"
refuse 1 'fd:77: no such descriptor was handed to this program' -L "fd:77=unix:$T/target"
refuse 2 'write fd:N' -L "fd:x=unix:$T/target"
refuse 2 'a descriptor can only be where adit listens' -L "unix:$T/a=fd:7"
expect_failure "fd:3 twice" timeout 20 systemd-socket-activate -l "$T/twice.sock" -E ASAN_OPTIONS \
    "$ADIT" forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "fd:3=unix:$T/target" -L "fd:3=unix:$T/target" \
    < <(sleep 1; socat -u OPEN:/dev/null "UNIX-CONNECT:$T/twice.sock")
grep -q 'fd:3 is in use within this program.*named twice' <<<"$EXPECTED_FAILURE" || fail "said: $EXPECTED_FAILURE"
got=$("$ADIT" migrate --qmp fd:3 "tls://127.0.0.1:$PORT" --psk "$PSK" 2>&1)
expect_equal "status of migrate --qmp fd:3" 2 $?
grep -q "give the path of the monitor's socket" <<<"$got" || fail "migrate --qmp fd:3: said '$got'"
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"
! grep -E 'Sanitizer|runtime error' "$T"/*.log || fail "a sanitizer spoke"

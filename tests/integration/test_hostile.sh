#!/usr/bin/env bash
# Goal: a peer without any right that sends what costs the most, in 16 sessions at once (or 30 connections that ask for
# new keys), or one with a right that hangs up on thousands of streams, ends nobody: a good session has its echo, a
# newcomer gets in and SIGTERM ends all (how soon: hostile_bars). The memory that a peer may hold is bounded, and the
# watchdog is fed only by a loop that is in time.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/hostile.sh"
need socat curl

ECHO_S=3 # with all that the sanitizers see; hostile_bars has the times
SERVE_LINES=$'log-level = info\nmemory-total = 1024M' MORE_SECTIONS="[peer bad]
forward = unix:$T/bad-end" hostile_keys
for what in "${!FLOODS[@]}"; do
    # shellcheck disable=SC2086
    hostile_run "$what" ${FLOODS[$what]}
    [ "$what" != rekey ] || grep -q 'TLS records without data' "$T/serve.log" || fail "the flood of new keys was borne"
done
hostile_run hangups hangups DEST "$T/bad" 1 other "unix:$T/bad-end" 4000 300

# Memory: what a peer that acknowledges nothing has us keep is bounded over all its sessions, is no hindrance to a good
# one, and goes back when it has gone.
TOTAL_MIB=64
"$FLOOD" pour "$T/pour" &
started $!
wait_until 10 "the socket is there" test -S "$T/pour"
cat >"$T/hoard.conf" <<END
[serve]
insecure = yes
memory = 32M
memory-total = ${TOTAL_MIB}M
[peer tcp:*]
forward = unix:$T/pour
          unix:$T/echo
END
chmod 600 "$T/hoard.conf"
start_serve --config "$T/hoard.conf" --api "$T/api.sock" --run-dir "$T/run" --state-dir "$T/state"
before=$(rss_kib "$SERVE")
"$HELPERS/hostile" 127.0.0.1 "$PORT" hoard 16 60 "unix:$T/pour" >"$T/hostile.log" &
hostile=$!
started "$hostile"
wait_until 20 "the sessions are there" grep -q begun "$T/hostile.log"
held() { curl -s --unix-socket "$T/api.sock" http://adit/metrics | sed -n "s/^adit_memory_$1_bytes //p" | awk '{ printf "%d\n", $1 / 1048576 }'; }
wait_until 20 "the peer holds what it may" eval '[ "$(held held)" -ge $((TOTAL_MIB / 2)) ]'
expect_equal "adit_memory_limit_bytes, in MiB" "$TOTAL_MIB" "$(held limit)"
start_forward "tcp://127.0.0.1:$PORT" --insecure -L "unix:$T/near=unix:$T/echo"
"$FLOOD" echo "$T/near" 3 || fail "beside hoard: the good session is dead"
most=$(held held)
[ "$most" -le "$TOTAL_MIB" ] || fail "$most MiB are held, of $TOTAL_MIB"
peak=$((($(peak_kib "$SERVE") - before) / 1024))
say "beside hoard: $most MiB held, $peak MiB more than before at most"
[ -n "$SANITIZE" ] || [ "$peak" -le $((TOTAL_MIB * 3 / 2)) ] || fail "it took $peak MiB for $TOTAL_MIB"
kill "$hostile"
wait "$hostile" 2>/dev/null
[ -n "$SANITIZE" ] ||
    wait_until 20 "what was freed goes back" eval '[ $((($(rss_kib "$SERVE") - before) / 1024)) -le $((TOTAL_MIB / 4)) ]'
end_adits

# A loop whose every turn takes long: stopped, and let run for a moment.
socat -u UNIX-RECV:"$T/notify" OPEN:"$T/notify.log",creat,append &
started $!
wait_until 10 "the manager's socket is there" test -S "$T/notify"
count() { grep -c '^WATCHDOG=1$' "$T/notify.log"; }
export NOTIFY_SOCKET=$T/notify WATCHDOG_USEC=5000000
start_serve --insecure
unset NOTIFY_SOCKET WATCHDOG_USEC
wait_until 10 "the watchdog is fed" eval '[ "$(count)" -ge 2 ]'
kill -STOP "$SERVE"
at=$(count)
for _ in 1 2 3 4; do
    sleep 2.2
    kill -CONT "$SERVE"
    sleep 0.1
    kill -STOP "$SERVE"
done
expect_equal "words of a loop whose turns take seconds" "$at" "$(count)"
kill -CONT "$SERVE"
wait_until 10 "it is fed again once the turns are short" eval '[ "$(count)" -gt "$at" ]'
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"

#!/usr/bin/env bash
# Goal: a peer without any right that sends what costs the most, in 16 sessions at once (or 30 connections that ask for
# new keys), holds up nobody: the echo of a good session, a newcomer and SIGTERM take no longer than where that peer
# only uses the processor (3 times at most, or a time that is not noticed). All of them share one processor. The memory
# that a peer may hold is bounded, and the watchdog is fed only by a loop that is in time.
. "$(dirname "$0")/lib.sh"
need socat taskset curl

SESSIONS=16 SECONDS_EACH=4
cpu=$(taskset -cp $$ | sed 's/.*: *//; s/[,-].*//')
FLOOD=$HELPERS/../flood
slow=1 # times what is allowed
[ -z "$SANITIZE" ] || slow=10

ms_since() { echo $((($(date +%s%N) - $1) / 1000000)); }

# echo_times SOCKET SECONDS: sets P99 and MAX of the echo there, in milliseconds
echo_times() {
    local said
    said=$(timeout $(($2 + 30)) "$FLOOD" echo "$1" "$2") || return 1
    P99=$(awk '{ print int($6 / 1000) }' <<<"$said") MAX=$(awk '{ print int($8 / 1000) }' <<<"$said")
}

# beside WHAT: sets P99, MAX (of the echo), NEWCOMER and END, in milliseconds
beside() {
    local began hostile
    "$FLOOD" echo-listen "$T/echo-$1" &
    started $!
    wait_until 10 "the echo's socket is there" test -S "$T/echo-$1"
    local scheme=tcp with=(--insecure) attack=("$HELPERS/hostile" 127.0.0.1 PORT "$1" "$SESSIONS")
    [ "$1" != rekey ] || scheme=tls with=(--psk "$PSK") attack=("$HELPERS/rekey" 127.0.0.1 PORT "$PSK" 30)
    start_serve "${with[@]}" --allow-forward "unix:$T/echo-$1"
    start_forward "$scheme://127.0.0.1:$PORT" "${with[@]}" -L "unix:$T/near-$1=unix:$T/echo-$1"
    attack+=($((SECONDS_EACH + 30)))
    [ "$1" != burn ] || attack=("$FLOOD" burn)
    "${attack[@]/#PORT/$PORT}" >"$T/hostile.log" &
    hostile=$!
    started "$hostile"
    [ "$1" = burn ] || wait_until 20 "the sessions are there" grep -q begun "$T/hostile.log"
    sleep 1
    echo_times "$T/near-$1" "$SECONDS_EACH" || fail "beside $1: the good session is dead"
    began=$(date +%s%N)
    timeout 60 "$ADIT" forward "$scheme://127.0.0.1:$PORT" "${with[@]}" -L "unix:$T/new-$1=unix:$T/echo-$1" --background \
        --pid-file "$T/new.pid" 2>"$T/new.log" || fail "beside $1 a newcomer does not get in: $(cat "$T/new.log")"
    NEWCOMER=$(ms_since "$began")
    kill "$(cat "$T/new.pid")"
    began=$(date +%s%N)
    kill -TERM "$SERVE"
    wait "$SERVE" || fail "adit serve ended with status $?"
    END=$(ms_since "$began")
    kill "$hostile" "$FORWARD" 2>/dev/null
    wait "$hostile" 2>/dev/null
    ! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail "a sanitizer spoke"
    [ "$1" != rekey ] || grep -q 'TLS records without data' "$T/serve.log" || fail "the flood of new keys was borne"
    say "beside $1: echo p99 $P99 ms, max $MAX ms; newcomer $NEWCOMER ms; SIGTERM $END ms"
}

# no_more WHAT IS BURN FLOOR: IS is not more than 3 times BURN, nor than FLOOR milliseconds
no_more() {
    local most=$(($3 * 3))
    [ "$most" -ge $(($4 * slow)) ] || most=$(($4 * slow))
    [ "$2" -le "$most" ] || fail "$1: $2 ms, and $3 ms beside one that only burns: $most ms would do"
}

taskset -cp "$cpu" $$ >/dev/null
make_psk
beside burn
burn=("$P99" "$MAX" "$NEWCOMER" "$END")
for what in tiny collide open rekey; do
    beside "$what"
    no_more "$what: the echo's p99" "$P99" "${burn[0]}" 500
    no_more "$what: the longest echo" "$MAX" "${burn[1]}" 1500
    no_more "$what: a newcomer" "$NEWCOMER" "${burn[2]}" 1500
    no_more "$what: SIGTERM" "$END" "${burn[3]}" 1500
done

# Memory: what a peer that acknowledges nothing has us keep is bounded over all its sessions, is no hindrance to a good
# one, and goes back when it has gone.
TOTAL_MIB=64
"$FLOOD" pour "$T/pour" &
started $!
"$FLOOD" echo-listen "$T/echo" &
started $!
wait_until 10 "the sockets are there" test -S "$T/pour" -a -S "$T/echo"
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
"$HELPERS/hostile" 127.0.0.1 "$PORT" hoard "$SESSIONS" 60 "unix:$T/pour" >"$T/hostile.log" &
hostile=$!
started "$hostile"
wait_until 20 "the sessions are there" grep -q begun "$T/hostile.log"
held() { curl -s --unix-socket "$T/api.sock" http://adit/metrics | sed -n "s/^adit_memory_$1_bytes //p" | awk '{ printf "%d\n", $1 / 1048576 }'; }
wait_until 20 "the peer holds what it may" eval '[ "$(held held)" -ge $((TOTAL_MIB / 2)) ]'
expect_equal "adit_memory_limit_bytes, in MiB" "$TOTAL_MIB" "$(held limit)"
start_forward "tcp://127.0.0.1:$PORT" --insecure -L "unix:$T/near=unix:$T/echo"
echo_times "$T/near" 3 || fail "beside hoard: the good session is dead"
most=$(held held)
[ "$most" -le "$TOTAL_MIB" ] || fail "$most MiB are held, of $TOTAL_MIB"
peak=$((($(peak_kib "$SERVE") - before) / 1024))
say "beside hoard: echo p99 $P99 ms, max $MAX ms; $most MiB held, $peak MiB more than before at most"
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

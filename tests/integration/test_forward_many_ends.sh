#!/usr/bin/env bash
# Goal: an adit that is ended with thousands of connections breaks them all: to none of the programs at their ends does it
# look as if the other had said all that it had to say.
. "$(dirname "$0")/lib.sh"
FLOOD=$HELPERS/../flood
MANY=2000

make_psk
far=$(free_port)
start_serve --psk "$PSK" --allow-forward "tcp:127.0.0.1:$far"
"$FLOOD" ends "$far" $MANY >"$T/ends" &
ends=$!
started "$ends"
wait_until 10 "the program listens" grep -q ready "$T/ends"
"$FLOOD" holds "tls://127.0.0.1:$PORT" "$PSK" 1 other "tcp:127.0.0.1:$far" $MANY >"$T/holds" 2>&1 &
started $!
wait_until 60 "all connections are there" grep -q all "$T/ends"
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"
wait "$ends"
expect_equal "connections that were broken" "reset $MANY" "$(tail -n 1 "$T/ends")"

#!/usr/bin/env bash
# Goal: iperf3 through adit in both directions, one stream and eight, both directions at once: its control connection and
# its data go through the same forward, and what one end says that it sent is what the other has got.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs.sh"
need jq
need_programs iperf3

make_psk
far_port=$(free_port)
near_port=$(free_port)
start_serve --psk "$PSK" --allow-forward "tcp:127.0.0.1:$far_port"
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "tcp:127.0.0.1:$near_port=tcp:127.0.0.1:$far_port"
iperf3 -s -B 127.0.0.1 -p "$far_port" >"$T/iperf3.log" 2>&1 &
started $!
wait_until 5 "iperf3 listens" port_listens "$far_port"

# measure WORD...: what its client says, in $T/said.json, with no error
measure() {
    timeout 60 iperf3 -J -c 127.0.0.1 -p "$near_port" "$@" >"$T/said.json" || fail "iperf3 $*: $(jq -r .error "$T/said.json")"
}
# sum WHAT: bytes
sum() { jq ".end.sum_$1.bytes" "$T/said.json"; }
# arrived WHAT SENT GOT: all of it but what was under way when the sender said that it is done (which iperf3 does over its
# control connection: so it is without adit, too); adit's windows and the sockets' buffers bound that
arrived() {
    [ "$3" -le "$2" ] && [ "$3" -gt $(($2 - 150000000)) ] || fail "$1: $2 bytes were sent, $3 arrived"
    say "$1: $2 bytes were sent, $3 arrived"
}

for streams in 1 8; do
    measure -n 200000000 -P $streams
    [ "$(sum sent)" -ge 200000000 ] || fail "there, $streams stream(s): $(sum sent) bytes were sent"
    arrived "there, $streams stream(s)" "$(sum sent)" "$(sum received)"
    # this way round the client counts until it has them all
    measure -n 200000000 -P $streams -R
    [ "$(sum received)" -ge 200000000 ] || fail "back, $streams stream(s): $(sum received) bytes arrived"
    arrived "back, $streams stream(s)" "$(sum sent)" "$(sum received)"
    expect_equal "streams" $streams "$(jq '[.end.streams[] | select(.receiver.bytes > 0)] | length' "$T/said.json")"
done
measure -t 1 -P 4 --bidir
[ "$(sum received)" -gt 0 ] && [ "$(sum received_bidir_reverse)" -gt 0 ] || fail 'one direction stood still'
arrived "there, both at once" "$(sum sent)" "$(sum received)"
arrived "back, both at once" "$(sum sent_bidir_reverse)" "$(sum received_bidir_reverse)"
end_adits

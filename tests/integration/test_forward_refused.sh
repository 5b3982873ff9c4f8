#!/usr/bin/env bash
# Goal: a target that nobody allowed is refused before adit forward says that it forwards, by one line that names it and
# the mend, however its path is written, and adit run does not begin its command; one that cannot be reached is told apart
# from it, at the connection, in the logs of both sides; and the session goes on. What a reload takes away is named in the
# log of adit serve, and who comes anew has it no more. A far side that never says whether it takes a target is not waited
# for, nor one that says what is no answer.
. "$(dirname "$0")/lib.sh"
need socat

mkdir "$T/ok"
make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/ok/*" --allow-forward 'tcp:127.0.0.1:1' --allow-forward 'tcp:name.invalid:1'
socat UNIX-LISTEN:"$T/secret",fork SYSTEM:"cat >/dev/null; echo secret" &
started $!
# (they read what comes before they answer: who hangs up on unread words resets the connection)
socat UNIX-LISTEN:"$T/ok/fine",fork SYSTEM:"cat >/dev/null; echo fine" &
started $!
wait_until 10 "the servers listen" test -S "$T/ok/fine" -a -S "$T/secret"

targets=("unix:$T/secret" "unix:$T/ok/../secret" "unix:$T/ok/./fine" "unix:$T/ok//fine" "unix:$T/ok/.hidden"
    tcp:127.0.0.1:2 tcp:localhost:1 tcp:[::1]:1)
unreachable=("unix:$T/ok/nothing" tcp:127.0.0.1:1 tcp:name.invalid:1)
# refuses TARGET WAY WORD...: not begun, over the listener in the way of it, nor in the background
refuses() {
    local target=$1 way=$2 code
    shift 2
    timeout 20 "$ADIT" "${@//DEST/tls://127.0.0.1:$PORT}" >"$T/said" 2>&1
    code=$?
    expect_equal "status of $way to $target: $(cat "$T/said")" 1 "$code"
    expect_equal "lines of $way to $target: $(cat "$T/said")" 1 "$(wc -l <"$T/said")"
    grep -qF "adit ${way%% *}: -L: refused by the far adit: $target is not allowed here: start the far adit with --allow-forward $target, or" \
        "$T/said" || fail "what $way to $target says: $(cat "$T/said")"
    [ ! -e "$T/refused" ] || fail "$way to $target: a socket is left"
}
for target in "${targets[@]}"; do
    refuses "$target" forward forward DEST --psk "$PSK" -L "unix:$T/near=unix:$T/ok/fine" -L "unix:$T/refused=$target"
    expect_equal "$target in the log of serve" 1 "$(grep -cF "refused: $target: no --allow-forward" "$T/serve.log")"
done
refuses "$target" 'forward --background' forward --background --pid-file "$T/forward.pid" DEST --psk "$PSK" -L "unix:$T/refused=$target"
[ ! -e "$T/forward.pid" ] || fail "a pid file is left"
refuses "$target" run run DEST --psk "$PSK" -L "refused=$target" -- touch "$T/begun"
[ ! -e "$T/begun" ] || fail "adit run began its command"

options=()
for i in "${!unreachable[@]}"; do options+=(-L "unix:$T/unreachable$i=${unreachable[i]}"); done
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "unix:$T/near=unix:$T/ok/fine" "${options[@]}"

ask() { printf hello | timeout 20 socat -t20 - "UNIX:$1" 2>/dev/null; }

for i in "${!unreachable[@]}"; do
    target=${unreachable[i]}
    expect_equal "from $target" "" "$(ask "$T/unreachable$i")"
    for f in serve forward; do
        # a name that nobody knows is another failure; without a name server it takes a while
        wait_until 15 "$target in the log of $f" grep -qE "cannot connect to $target|\"name.invalid\" (cannot be|was not) found" "$T/$f.log"
    done
done
expect_equal "the session goes on" fine "$(ask "$T/near")"
expect_equal "sessions" $((${#targets[@]} + 3)) "$(grep -c 'session from' "$T/serve.log")"
end_adits

# nothing is allowed that is not named, and that is said at once
start_serve --psk "$PSK"
grep -q 'nothing is allowed' "$T/serve.log" || fail "no warning that nothing is allowed"
refuses "unix:$T/ok/fine" forward forward DEST --psk "$PSK" -L "unix:$T/refused=unix:$T/ok/fine"
grep -qF "refused: unix:$T/ok/fine" "$T/serve.log" || fail "the target is not named in the log"
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"

# a far side that is there, and says nothing, or what is none of what it may say
LIAR=$HELPERS/../liar
[ -x "$LIAR" ] || skip 'the liar is not built'
mkfifo "$T/tell"
"$LIAR" listen "127.0.0.1:$PORT" "$PSK" <"$T/tell" >"$T/liar.log" 2>&1 &
started $!
exec 5>"$T/tell"
wait_until 10 "the liar listens" grep -q listening "$T/liar.log"
lied() {
    expect_equal "status of $2: $(cat "$T/said")" 1 "$1"
    expect_equal "lines of $2: $(cat "$T/said")" 1 "$(wc -l <"$T/said")"
    grep -qE "^adit $2: -L: the far adit psk:.* at 127.0.0.1:$PORT $3" "$T/said" || fail "what $2 says: $(cat "$T/said")"
}
timeout 60 "$ADIT" forward --background --pid-file "$T/forward.pid" "tls://127.0.0.1:$PORT" --psk "$PSK" \
    -L "unix:$T/refused=unix:$T/ok/fine" >"$T/said" 2>&1
lied $? forward "has not said within 10 seconds whether it takes unix:$T/ok/fine: "
[ ! -e "$T/forward.pid" ] || fail "a pid file is left"
timeout 60 "$ADIT" run "tls://127.0.0.1:$PORT" --psk "$PSK" -L "refused=unix:$T/ok/fine" -- touch "$T/begun" >"$T/said" 2>&1 &
RUN=$!
started $RUN
wait_until 10 "adit run asks" grep -q '^stream 1 control allowed/unix:' "$T/liar.log"
echo "say 1 yes" >&5
wait $RUN
lied $? run "breaks the protocol: its answer to whether it takes unix:$T/ok/fine is not understood: "
[ ! -e "$T/begun" ] || fail "adit run began its command"
wait_until 10 "the liar hears of it" grep -q '^reset 1 PROTOCOL' "$T/liar.log"
exec 5>&-

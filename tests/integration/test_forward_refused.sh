#!/usr/bin/env bash
# Goal: a target that nobody allowed is refused, by its name in the logs of both sides, however its path is written; one
# that cannot be reached is told apart from it; and the session goes on.
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
options=()
for i in "${!targets[@]}"; do options+=(-L "unix:$T/refused$i=${targets[i]}"); done
for i in "${!unreachable[@]}"; do options+=(-L "unix:$T/unreachable$i=${unreachable[i]}"); done
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "unix:$T/near=unix:$T/ok/fine" "${options[@]}"

ask() { printf hello | timeout 20 socat -t20 - "UNIX:$1" 2>/dev/null; }

for i in "${!targets[@]}"; do
    target=${targets[i]}
    expect_equal "from $target" "" "$(ask "$T/refused$i")"
    wait_until 5 "$target in the log of serve" grep -qF "peer=psk:tester stream=$((2 * i + 1)) refused: $target: no --allow-forward" "$T/serve.log"
    wait_until 5 "$target in the log of forward" grep -qF "$target: refused by the peer: $target is not allowed here" "$T/forward.log"
    grep -qF -- "start the far adit with --allow-forward $target" "$T/forward.log" || fail "the mend for $target is not told"
done
for i in "${!unreachable[@]}"; do
    target=${unreachable[i]}
    expect_equal "from $target" "" "$(ask "$T/unreachable$i")"
    for f in serve forward; do
        # a name that nobody knows is another failure; without a name server it takes a while
        wait_until 15 "$target in the log of $f" grep -qE "cannot connect to $target|\"name.invalid\" (cannot be|was not) found" "$T/$f.log"
    done
done
expect_equal "the session goes on" fine "$(ask "$T/near")"
expect_equal "sessions" 1 "$(grep -c 'session from' "$T/serve.log")"
end_adits

# nothing is allowed that is not named, and that is said at once
start_serve --psk "$PSK"
grep -q 'nothing is allowed' "$T/serve.log" || fail "no warning that nothing is allowed"
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "unix:$T/near=unix:$T/ok/fine"
expect_equal "from a target without rules" "" "$(ask "$T/near")"
grep -qF "refused: unix:$T/ok/fine" "$T/serve.log" || fail "the target is not named in the log"
end_adits

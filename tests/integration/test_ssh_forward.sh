#!/usr/bin/env bash
# Goal: adit forward over ssh:// and ssh+tls:// through a real sshd that forbids all forwarding: every byte of many streams
# and of a long one is right, also while sshd exchanges new keys all the time; the right to each target is asked for; a
# one-time key is good once; nothing is left running.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ssh.sh"
need socat ss

make_ssh_keys
start_sshd "AllowTcpForwarding no" "AllowStreamLocalForwarding no" "PermitTTY no" "RekeyLimit 16M" "ForceCommand none"
far="adit serve --stdio --run-dir $T/run --allow-forward unix:$T/target --log-level debug"
as=(--ssh-config "$T/ssh/config" --log-level debug --remote-command "$far")

# far_adits: those that sshd has started
far_adits() { ps -eo args= | grep -c "^adit serve --stdio --run-dir $T/run" || true; }
none_left() { [ "$(far_adits)" = 0 ]; }

calm() {
    ! grep -hE 'Sanitizer|runtime error| (warning|error): ' "$T/forward.log" || fail "a complaint"
}

# over DEST [BYTES]: contents of many streams, of one-byte streams, of a long one
over() {
    start_forward "$1" "${as[@]}" -L "unix:$T/near=unix:$T/target"
    "$HELPERS/streams" "$T/target" "$T/near" 200 131072 || fail "200 streams over $1"
    "$HELPERS/streams" "$T/target" "$T/near" 200 1 || fail "200 streams of one byte over $1"
    "$HELPERS/streams" "$T/target" "$T/near" 1 "${2:-40000000}" || fail "a long stream over $1"
    [ "$(far_adits)" -le 8 ] || fail "$(far_adits) far adits"
    # its peer, as the far side calls it
    grep -q "peer=ssh:$(id -un)@127.0.0.1" "$T/forward.log" || fail "no peer is named: $(cat "$T/forward.log")"
    end_forward
    calm
    wait_until 10 "the far adit ends" none_left
}

over ssh://far

# the same over a path so long that the bytes are shared by several channels
far_port=$(free_port)
"$HELPERS/../../bench/delay" "$far_port" "$SSHD_PORT" 15 &
started $!
wait_until 5 "the long path" port_listens "$far_port"
printf '[127.0.0.1]:%s %s\n' "$far_port" "$(cut -d' ' -f1,2 "$T/ssh/host.pub")" >>"$T/ssh/known"
several() { [ "$(far_adits)" -gt 2 ]; }
start_forward "ssh://far:$far_port" "${as[@]}" -L "unix:$T/near=unix:$T/target"
several || fail "$(far_adits) far adit(s) over a long path"
end_forward
wait_until 10 "the far adits end" none_left
over "ssh://far:$far_port" 30000000
# whichever of their processes is killed, the session ends at once, with a line
for which in head tail; do
    start_forward "ssh://far:$far_port" "${as[@]}" -L "unix:$T/near=unix:$T/target"
    kill -KILL "$(ps -eo pid=,args= | awk -v of="$T/run" '$2 == "adit" && $4 == "--stdio" && index($0, of) { print $1 }' | "$which" -n 1)"
    wait_until 10 "the session ends" gone "$FORWARD"
    grep 'session lost' "$T/forward.log" || fail "no line about the end: $(cat "$T/forward.log")"
    wait_until 10 "the far adits end" none_left
done

over "ssh://$(id -un)@127.0.0.1:$SSHD_PORT"

# the same with adit run, whose far adit gets nothing of the command's
"$ADIT" run ssh://far "${as[@]}" -L "near=unix:$T/target" -- "$HELPERS/streams" "$T/target" {near} 20 131072 2>"$T/forward.log" ||
    fail "adit run over ssh: $(cat "$T/forward.log")"
# shellcheck disable=SC2016
expect_equal "a command's input, and the sockets of ours that it has" "line 0" "$(echo line | "$ADIT" run ssh://far "${as[@]}" \
    -L "near=unix:$T/target" -- sh -c 'read x; echo "$x $(ls -l /proc/$$/fd | grep -c socket:)"' 2>/dev/null)"
wait_until 10 "the far adit ends" none_left

# what is not allowed there is refused, by name, on both sides
timeout 50 "$ADIT" forward ssh://far "${as[@]}" -L "unix:$T/near=unix:$T/elsewhere" 2>"$T/said"
expect_equal "status of a forward that is not allowed" 1 $?
grep -q "^adit forward: -L: refused by the far adit: unix:$T/elsewhere is not allowed here" "$T/said" || fail "the refusal: $(cat "$T/said")"
grep -q "the far side says: .*refused: unix:$T/elsewhere" "$T/said" || fail "the far side's log is silent"
wait_until 10 "the far adit ends" none_left

# the data over TLS; ssh carries the key, and is closed
mkdir -m 700 "$T/run"
port=$(free_port)
far="$far --listen 127.0.0.1:$port"
as=(--ssh-config "$T/ssh/config" --log-level debug --remote-command "$far")
sessions() { ss -Htn state established "( sport = :$SSHD_PORT )" | wc -l; }
start_forward ssh+tls://far "${as[@]}" -L "unix:$T/near=unix:$T/target"
wait_until 5 "the ssh connection is closed" test "$(sessions)" = 0
expect_equal "connections to the port" 1 "$(ss -Htn state established "( sport = :$port )" | wc -l)"
wait_until 5 "the port is closed behind the session" eval '! port_listens "$port"'
"$HELPERS/streams" "$T/target" "$T/near" 200 131072 || fail "200 streams over ssh+tls"
"$HELPERS/streams" "$T/target" "$T/near" 1 20000000 || fail "a long stream over ssh+tls"
end_forward
calm
wait_until 10 "the far adit ends" none_left

# a port that is about to be free is waited for
timeout 1 socat -u TCP-LISTEN:"$port",bind=127.0.0.1,reuseaddr OPEN:/dev/null &
wait_until 5 "the port is taken" port_listens "$port"
start_forward ssh+tls://far "${as[@]}" -L "unix:$T/near=unix:$T/target"
end_forward
calm
wait_until 10 "the far adit ends" none_left

# an adit serve that has the port already is not asked by a command that has rights of its own: it may allow more
make_psk
start_serve --psk "$PSK" --run-dir "$T/run" --allow-forward "unix:$T/*"
timeout 20 "$ADIT" forward ssh+tls://far --ssh-config "$T/ssh/config" --remote-command "${far%--listen*} --listen 127.0.0.1:$PORT" \
    -L "unix:$T/near=unix:$T/target" 2>"$T/said"
expect_equal "status of a way round the command's rights" 1 $?
grep -q 'the far adit refuses: .*rights of its own.*:'"$PORT"'.* in use' "$T/said" || fail "a way round: $(cat "$T/said")"
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"

# with an adit serve that has the port already, with keys and with certificates of its own
as=(--ssh-config "$T/ssh/config" --log-level debug --remote-command "adit serve --stdio --run-dir $T/run")
key=$(printf '%064d' 7)
hand_in() { # NAME: a one-time key, as ssh+tls does it; the answer to $T/answer
    printf 'ADIT-SSH 1 psk %s %s\n' "$1" "$key" | "$ADIT" serve --stdio --run-dir "$T/run" 2>"$T/stdio.log" | cat >"$T/answer"
    printf '%s:%s\n' "$1" "$key" >"$T/once-key"
    chmod 600 "$T/once-key"
}
with_serve() {
    start_serve "$@" --run-dir "$T/run" --allow-forward "unix:$T/target"
    start_forward ssh+tls://far "${as[@]}" -L "unix:$T/near=unix:$T/target"
    wait_until 5 "no far adit is left beside the serving one" none_left
    "$HELPERS/streams" "$T/target" "$T/near" 20 131072 || fail "20 streams through a serving adit"
    end_forward
    grep -q "peer=ssh:$(id -un)@127.0.0.1 session from" "$T/serve.log" || fail "the serving adit does not name the peer"

    hand_in first
    expect_equal "the answer" "ADIT-SSH 1 ok $("$ADIT" --version | sed 's/[^0-9.]//g') port=$PORT" "$(cat "$T/answer")"
    start_forward "tls://127.0.0.1:$PORT" --psk "$T/once-key" -L "unix:$T/near=unix:$T/target"
    end_forward
    timeout 20 "$ADIT" forward "tls://127.0.0.1:$PORT" --psk "$T/once-key" -L "unix:$T/near=unix:$T/target" 2>"$T/said"
    expect_equal "status with a key that was used" 1 $?
    say "a key that was used: $(cat "$T/said")"
    kill -TERM "$SERVE"
    wait "$SERVE" || fail "adit serve ended with $?"
    [ ! -e "$T/run/once.sock" ] || fail "its socket is left"
}
with_serve --psk "$PSK"
need openssl
mkdir "$T/x509"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/x509/server-key.pem" -days 2 \
    -out "$T/x509/server-cert.pem" -subj /CN=localhost -addext 'subjectAltName=IP:127.0.0.1' -addext 'extendedKeyUsage=serverAuth' 2>/dev/null || fail openssl
cp "$T/x509/server-cert.pem" "$T/x509/ca-cert.pem"
with_serve --tls-creds "$T/x509"
end_sshd

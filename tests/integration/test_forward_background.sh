#!/usr/bin/env bash
# Goal: --background returns when, and only when, everything listens and the session is up; the process then stands on
# its own, holds its pid file, and ends on SIGTERM with nothing left behind. What goes wrong before is one line and 1.
. "$(dirname "$0")/lib.sh"
need socat setsid

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/target"
socat UNIX-LISTEN:"$T/target",fork SYSTEM:cat &
started $!
dest=tls://127.0.0.1:$PORT
pair="unix:$T/near=unix:$T/target"

# the standard output is a pipe: were it kept open, this would not return
said=$(timeout 20 "$ADIT" forward "$dest" --psk "$PSK" -L "$pair" --background --pid-file "$T/forward.pid" 2>&1)
expect_equal "status" 0 $?
say "$said" | grep -q "forwarding unix:$T/near to unix:$T/target" || fail "what it said: $said"
FORWARD=$(cat "$T/forward.pid")
started "$FORWARD"
expect_equal "an exchange at once" hello "$(printf hello | timeout 10 socat -t10 - "UNIX:$T/near")"

read -r _ _ _ ppid pgrp session tty _ <"/proc/$FORWARD/stat"
expect_equal "a session of its own" "$FORWARD $FORWARD 0" "$pgrp $session $tty"
[ "$ppid" != $$ ] || fail "still this script's child"
for n in 0 1 2; do
    expect_equal "descriptor $n" /dev/null "$(readlink "/proc/$FORWARD/fd/$n")"
done
expect_equal "the socket's mode" 600 "$(stat -c %a "$T/near")"

# a second one of the same words
said=$("$ADIT" forward "$dest" --psk "$PSK" -L "unix:$T/near2=unix:$T/target" --background --pid-file "$T/forward.pid" 2>&1)
expect_equal "status with a pid file in use" 1 $?
say "$said" | grep -qF "$T/forward.pid: a running adit has it" || fail "what it said: $said"
said=$("$ADIT" forward "$dest" --psk "$PSK" -L "$pair" --background 2>&1)
expect_equal "status with a socket in use" 1 $?
say "$said" | grep -qF "$T/near is in use" || fail "what it said: $said"
expect_equal "lines" 1 "$(say "$said" | wc -l)"
expect_equal "the first goes on" hello "$(printf hello | timeout 10 socat -t10 - "UNIX:$T/near")"

kill -TERM "$FORWARD"
wait_until 10 "it ends" gone "$FORWARD"
[ ! -e "$T/forward.pid" ] || fail "the pid file is left"
[ ! -e "$T/near" ] || fail "the socket is left"

# stale files of one that was killed are no obstacle
start_forward "$dest" --psk "$PSK" -L "$pair"
kill -KILL "$FORWARD"
wait_until 10 "it is gone" gone "$FORWARD"
[ -e "$T/near" ] && [ -e "$T/forward.pid" ] || fail "nothing is left to be in the way"
start_forward "$dest" --psk "$PSK" -L "$pair"
expect_equal "an exchange after the stale socket" hello "$(printf hello | timeout 10 socat -t10 - "UNIX:$T/near")"
end_forward

# a file that is no socket is not touched
echo precious >"$T/near"
said=$("$ADIT" forward "$dest" --psk "$PSK" -L "$pair" --background 2>&1)
expect_equal "status with a file in the way" 1 $?
expect_equal "the file" precious "$(cat "$T/near")"
rm "$T/near"

# nobody there: one line, 1, and nothing left
said=$("$ADIT" forward "tls://127.0.0.1:$(free_port)" --psk "$PSK" -L "$pair" --background --pid-file "$T/forward.pid" 2>&1)
expect_equal "status with nobody there" 1 $?
expect_equal "lines: $said" 1 "$(say "$said" | wc -l)"
[ ! -e "$T/forward.pid" ] && [ ! -e "$T/near" ] || fail "something is left of one that never was ready"

# Ctrl-C while it connects ends parent and child: a port that accepts and says nothing
port=$(free_port)
socat -u TCP-LISTEN:"$port",bind=127.0.0.1,reuseaddr,fork OPEN:/dev/null &
started $!
wait_until 10 "the silent server listens" port_listens "$port"
# as a terminal would: the signal goes to the process group
setsid "$ADIT" forward "tls://127.0.0.1:$port" --psk "$PSK" -L "$pair" --background --pid-file "$T/forward.pid" &
parent=$!
wait_until 10 "it tries" test -s "$T/forward.pid"
child=$(cat "$T/forward.pid")
kill -INT -- "-$parent"
wait "$parent" && fail "status 0 although it was interrupted"
wait_until 10 "the child ends" gone "$child"

start_forward "$dest" --psk "$PSK" -L "$pair"
end_adits

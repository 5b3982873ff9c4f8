#!/usr/bin/env bash
# Goal: adit run holds the tunnel while a command runs, and is that command to the outside: its words and environment name
# the sockets, its descriptors, signals and exit status are its own, what it sent just before it ended arrives. Without a
# tunnel it is not started; a session that is lost is told in a line, and cuts its connections at once. Nothing is left
# behind, also by one that was killed.
. "$(dirname "$0")/lib.sh"
need socat setsid script nbdcopy qemu-nbd curl
export TMPDIR=$T/tmp XDG_RUNTIME_DIR=$T/tmp
mkdir -m 700 "$TMPDIR" "$T/vms"

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/*" --run-dir "$T/run" --state-dir "$T/state" --vms "$T/vms" --api "$T/api"
dest=("tls://127.0.0.1:$PORT" --psk "$PSK")
socat UNIX-LISTEN:"$T/echo",fork SYSTEM:cat &
started $!
wait_until 10 "the echo listens" test -S "$T/echo"

# run STATUS ARG...: adit run with DEST and an -L for {echo}; what it said is in $T/run.log, what COMMAND wrote in $T/out
run() {
    local want=$1 status
    shift
    timeout 60 "$ADIT" run "${dest[@]}" -L "echo=unix:$T/echo" -L "$mark=unix:$T/none" "$@" >"$T/out" 2>"$T/run.log"
    status=$?
    expect_equal "status of adit run $*: $(cat "$T/run.log")" "$want" "$status"
}
# quiet: adit itself has said nothing
quiet() { expect_equal "standard error" "" "$(cat "$T/run.log")"; }
# the private folders of this test's, wherever they are: each has a socket that is called so
mark=mark$$
folders() { find /run "$TMPDIR" -maxdepth 2 -path "*/adit-run.*/$mark" 2>/dev/null; }
no_folders() { [ -z "$(folders)" ]; }

# words, environment, sockets: others keep out, and all is gone afterwards
# shellcheck disable=SC2016
run 0 -L "a-b.c=unix:$T/none" -- sh -c 'printf "%s\n" "$@" "$ADIT_ECHO" "$ADIT_DIR" "$ADIT_A_B_C"; stat -c %a "$ADIT_DIR" "$1"' \
    sh '{echo}' 'x={echo},{dir};{a-b.c}' '{ECHO} {nope} {' '{print $1}'
quiet
mapfile -t got <"$T/out"
sock=${got[0]} dir=${got[0]%/echo}
expect_equal "the words" "x=$sock,$dir;$dir/a-b.c|{ECHO} {nope} {|{print \$1}" "${got[1]}|${got[2]}|${got[3]}"
expect_equal "the environment" "$sock $dir $dir/a-b.c" "${got[4]} ${got[5]} ${got[6]}"
expect_equal "the modes" "700 600" "${got[7]} ${got[8]}"
[ ! -e "$dir" ] || fail "$dir is left"

# descriptors, input, signals and limits are what they would be without us
given() {
    (
        ulimit -Sn 500
        # shellcheck disable=SC2016
        "$@" sh -c 'for n in 0 1 2 7 8 9 10 11 12 13 14 15 16 17 18 19; do [ ! -e /proc/$$/fd/$n ] || printf "%s " $n; done
            ulimit -n; grep -E "^Sig(Ign|Blk)" /proc/self/status; cat' 7</dev/null
    ) <<<"a line of input"
}
given env >"$T/want"
given "$ADIT" run "${dest[@]}" -L "echo=unix:$T/echo" -- >"$T/out" || fail "adit run with input"
cmp "$T/want" "$T/out" || fail "COMMAND got something else: $(diff "$T/want" "$T/out")"
# at a terminal, it reads from it
expect_equal "at a terminal" "got hello" "$(printf 'hello\n' | timeout 20 script -qec \
    "'$ADIT' run ${dest[*]} -L echo=unix:$T/echo -- sh -c 'stty -echo; read x </dev/tty; echo got \$x'" /dev/null | tr -d '\r' | grep got)"

# exit statuses
run 7 -- sh -c 'exit 7'
quiet
# shellcheck disable=SC2016
run 137 -- sh -c 'kill -KILL $$'
quiet
run 127 -- no-such-command
grep -q 'adit run: no-such-command: not found' "$T/run.log" || fail "127 without a word: $(cat "$T/run.log")"
run 126 -- "$PSK"
grep -q "adit run: $PSK: Permission denied" "$T/run.log" || fail "126 without a word: $(cat "$T/run.log")"

# what adit needs is not left to whoever starts it, and COMMAND gets it as it was
# shellcheck disable=SC2016
expect_equal "with signals blocked and ignored" "$(env --block-signal=CHLD,TERM,USR1 --ignore-signal=CHLD grep -E '^Sig(Ign|Blk)' /proc/self/status)" \
    "$(timeout -s KILL 20 env --block-signal=CHLD,TERM,USR1 --ignore-signal=CHLD "$ADIT" run "${dest[@]}" -L "echo=unix:$T/echo" -- \
    grep -E '^Sig(Ign|Blk)' /proc/self/status)"
# a name is free unless the folder's own file has it
run 0 -L "lock=unix:$T/none" -- test -S '{lock}'
run 2 -L ".lock=unix:$T/none" -- true

# credentials by the environment; options go before it
ADIT_PSK=$PSK "$ADIT" run "${dest[0]}" -L "echo=unix:$T/echo" -- true || fail "with ADIT_PSK"
ADIT_TLS_CREDS=$T/nothing "$ADIT" run "${dest[0]}" -L "echo=unix:$T/echo" -- true 2>"$T/run.log" && fail "without credentials"
grep -q "$T/nothing" "$T/run.log" || fail "ADIT_TLS_CREDS is not looked at: $(cat "$T/run.log")"
ADIT_PSK=$T/nothing run 0 -- true

# contents: many streams at once; a disk; HTTP
run 0 -L "near=unix:$T/target" -- "$HELPERS/streams" "$T/target" '{near}' 200 131072
dd if=/dev/urandom of="$T/disk" bs=1M count=24 status=none
qemu-nbd -k "$T/nbd" -f raw -r -e 8 -t "$T/disk" &
started $!
wait_until 10 "qemu-nbd exports" test -S "$T/nbd"
run 0 -L "disk=unix:$T/nbd" -- nbdcopy --connections=4 'nbd+unix:///?socket={disk}' "$T/copy"
cmp "$T/disk" "$T/copy" || fail "what nbdcopy read"
run 0 -L "api=unix:$T/api" -- curl -sSf --unix-socket '{api}' http://there/vms
grep -q '^[[{]' "$T/out" || fail "what curl got: $(cat "$T/out")"
run 0 -L "unix:$T/explicit=unix:$T/echo" -- socat -u OPEN:"$T/psk" "UNIX:$T/explicit"
[ ! -e "$T/explicit" ] || fail "an explicit socket is left"

# what was sent just before the end arrives, also where the far side is slow
socat -u UNIX-LISTEN:"$T/slow" SYSTEM:"sleep 1; cat >$T/arrived" &
started $!
wait_until 10 "the slow one listens" test -S "$T/slow"
run 0 -L "slow=unix:$T/slow" -- socat -u OPEN:"$T/disk" 'UNIX:{slow}'
quiet
cmp "$T/disk" "$T/arrived" || fail "$(stat -c %s "$T/arrived") bytes arrived"

# go ARG...: in the background, in a process group of its own, COMMAND being what $T/command holds; until it has begun
go() {
    rm -f "$T/begun" "$T/caught"
    # (a shell has its background ignore Ctrl-C)
    setsid env --default-signal=INT,QUIT "$ADIT" run "${dest[@]}" -L "echo=unix:$T/echo" -L "$mark=unix:$T/none" -- bash "$T/command" '{echo}' "$@" >"$T/out" 2>"$T/run.log" &
    RUN=$!
    started "$RUN"
    wait_until 10 "COMMAND begins" test -e "$T/begun"
}
ended() { # STATUS
    local status
    wait "$RUN"
    status=$?
    expect_equal "status: $(cat "$T/run.log")" "$1" "$status"
    wait_until 5 "its folder goes" no_folders
}
# Ctrl-C goes to both: COMMAND deals with it, over the tunnel, and ends when it likes
cat >"$T/command" <<EOF
trap 'echo INT >>$T/caught; echo carried | timeout 10 socat -t5 - UNIX:\$1 >>$T/caught; exit 3' INT
trap 'echo TERM >>$T/caught' TERM
trap 'echo HUP >>$T/caught' HUP
echo >$T/begun
while :; do sleep 0.05; done
EOF
go
kill -TERM "$RUN"
wait_until 5 "SIGTERM is passed on" grep -qs TERM "$T/caught"
kill -HUP "$RUN"
wait_until 5 "SIGHUP is passed on" grep -qs HUP "$T/caught"
kill -INT "$RUN"
sleep 0.3
! gone "$RUN" || fail "SIGINT ended it"
kill -INT -- "-$RUN"
ended 3
quiet
expect_equal "what COMMAND caught" "TERM HUP INT carried" "$(tr '\n' ' ' <"$T/caught" | sed 's/ $//')"

# killed: COMMAND's connections end; the next one clears up
cat >"$T/command" <<EOF
echo >$T/begun
socat -u UNIX:\$1 - 2>/dev/null
echo cut >$T/caught
EOF
go
left=$(folders)
kill -KILL "$RUN"
wait "$RUN" 2>/dev/null
wait_until 5 "COMMAND's connection ends" grep -qs cut "$T/caught"
[ -n "$left" ] || fail "no folder is there to be left"
run 0 -- true
no_folders || fail "left by the one that was killed: $(folders)"

# the session is lost: one line, COMMAND's connections are cut at once, its status is its own
cat >"$T/command" <<EOF
echo >$T/begun
socat -u UNIX:\$1 - 2>/dev/null
echo cut >$T/caught
timeout 5 socat -u UNIX:\$1 - 2>/dev/null && echo open >>$T/caught
exit 5
EOF
go
sleep 0.3
kill -KILL "$SERVE"
wait "$SERVE" 2>/dev/null
began=$(now_ms)
ended 5
[ $(($(now_ms) - began)) -lt 3000 ] || fail "it took $(($(now_ms) - began)) ms"
expect_equal "what COMMAND saw" cut "$(cat "$T/caught")"
expect_equal "lines: $(cat "$T/run.log")" 1 "$(wc -l <"$T/run.log")"
grep -q 'error: .*session lost' "$T/run.log" || fail "it was not told: $(cat "$T/run.log")"

# no tunnel: COMMAND is not started
run 1 -- touch "$T/started"
expect_equal "lines: $(cat "$T/run.log")" 1 "$(wc -l <"$T/run.log")"
[ ! -e "$T/started" ] || fail "COMMAND was started without a tunnel"
no_folders || fail "left behind: $(folders)"

# a signal while it connects, to a port that accepts and says nothing
port=$(free_port)
socat -u TCP-LISTEN:"$port",bind=127.0.0.1,reuseaddr,fork OPEN:/dev/null &
started $!
wait_until 10 "the silent server listens" port_listens "$port"
"$ADIT" run "tls://127.0.0.1:$port" --psk "$PSK" -L "$mark=unix:$T/echo" -- touch "$T/started" 2>"$T/run.log" &
RUN=$!
some_folders() { ! no_folders; }
wait_until 10 "it tries" some_folders
kill -TERM "$RUN"
ended 143
[ ! -e "$T/started" ] || fail "COMMAND was started although a signal had come"

# the libvirt of a destination that does not allow it, and of one that has none
mkdir "$T/qemu"
start_serve --psk "$PSK" --run-dir "$T/run" --allow-forward "unix:$T/*"
dest=("tls://127.0.0.1:$PORT" --psk "$PSK")
run 1 --libvirt --libvirt-dir "$T/qemu" -- touch "$T/started"
grep -q 'adit run: libvirt at the destination: .*--allow-libvirt' "$T/run.log" || fail "the right is not named: $(cat "$T/run.log")"
grep -q "refused: libvirt/hold/" "$T/serve.log" || fail "the destination does not tell"
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
start_serve --psk "$PSK" --run-dir "$T/run" --allow-libvirt --libvirt-dir "$T/qemu" --allow-forward "unix:$T/*"
dest=("tls://127.0.0.1:$PORT" --psk "$PSK")
run 1 --libvirt --libvirt-dir "$T/vms" -- touch "$T/started"
grep -q "are to be in $T/qemu there.*--libvirt-dir" "$T/run.log" || fail "the folder is not named: $(cat "$T/run.log")"
# one host, one folder: the source's sockets are seen there
run 1 --libvirt --libvirt-dir "$T/qemu" -- touch "$T/started"
grep -q "both hosts seem to share that folder" "$T/run.log" || fail "a shared folder went unseen: $(cat "$T/run.log")"
expect_equal "files in the folder" "" "$(ls -A "$T/qemu")"
[ ! -e "$T/started" ] || fail "COMMAND was started without libvirt"
# who may not write there is told so, and not that there is no such folder
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups env TMPDIR=/tmp "$@"; }
if as_nobody "$ADIT" --version >"$T/said" 2>&1; then
    as_nobody "$ADIT" run ssh://h --libvirt --libvirt-dir "$T/qemu" -- true 2>"$T/run.log" && fail 'nobody has got sockets of libvirt'
    grep -q "^adit run: --libvirt: $T/qemu,.*run adit as root$" "$T/run.log" || fail "nobody is told: $(cat "$T/run.log")"
else
    skip_part '--libvirt as another user' "that user cannot run it: $(head -n 1 "$T/said")"
fi
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
! grep -hE 'Sanitizer|runtime error' "$T"/*.log || fail "a sanitizer spoke"

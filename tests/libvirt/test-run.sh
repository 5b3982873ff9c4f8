#!/usr/bin/env bash
# Limit: 90 s
# Goal: what adit run --libvirt opens, and what it does not: the other host's daemon answers under {libvirt}; connections to the
# migration's sockets arrive there in the order in which they were made, whole; a peer reaches no other path by that right, and
# leaves nothing. Without a daemon the command is not started. The same over ssh:// with a far adit that sshd starts, and with
# the sockets in another folder.
. "$(dirname "$0")/lib.sh"
. "$TESTS_LIBVIRT/../qemu/liar.sh"
. "$TESTS_LIBVIRT/../qemu/sshd.sh"
STREAMS=${ADIT%/cli/adit}/tests/integration/streams
[ -x "$STREAMS" ] || skip "streams is not built"

migrate_hosts
here=$T/src/lib/libvirt/qemu there=$T/dst/lib/libvirt/qemu
adits() { find "$here" "$there" -name 'adit-*'; }
none_left() { [ -z "$(adits)" ]; }

# run_on_src DEST...: adit run --libvirt; COMMAND asks the daemon who it is, says where the sockets are, and waits for a line
cat >"$T/command" <<EOF
virsh -c "\$1" hostname || exit 3
[ "\$1 \$2 \$3" = "\$ADIT_LIBVIRT \$ADIT_MIGRATE \$ADIT_DISKS" ] || exit 4
echo "\$2 \$3" >$T/uris
read -r word <$T/go
exit "\$word"
EOF
mkfifo "$T/go"
run_on_src() {
    rm -f "$T/uris"
    proc_start run src "$ADIT" run --libvirt "$@" -- bash "$T/command" '{libvirt}' '{migrate}' '{disks}'
    wait_until 20 "COMMAND runs" run_has_begun
    expect_equal "the host of {libvirt}" dst.test "$(head -n 1 "$T/run.log")"
}
run_has_begun() {
    proc_runs run || fail "adit run ended: $(tail -n 1 "$T/run.log")"
    [ -s "$T/uris" ]
}
# order: both sockets carry 100 connections at once, each told apart, in their order (streams looks at all of that)
order() {
    local path
    for path in $(sed 's,[^ ]*/,,g' "$T/uris"); do
        expect_equal "the mode of $path" 600 "$(stat -c %a "$here/$path")"
        timeout 30 "$STREAMS" "$there/$path" "$here/$path" 100 65536 || fail "what streams says of $path"
    done
}
ends() { # STATUS
    echo "$1" >"$T/go"
    proc_wait run 10
    expect_equal "the status of adit run" "$1" "$PROC_STATUS"
    wait_until 5 "the sockets go, on both hosts: $(adits)" none_left
}

say 'the daemon, and the order of connections'
run_on_src "tls://dst.test" --psk "$T/psk"
order
# what QEMU leaves when a migration fails goes with the session
socat UNIX-LISTEN:"$there/$(sed 's,.*/,,' "$T/uris")" /dev/null &
wait_until 5 "a socket to be left" test -S "$there/$(sed 's,.*/,,' "$T/uris")"
ends 5

say 'what the right does not open'
ADIT_DEST=tls://dst.test
liar_connect
ask() { # CLASS TARGET REGEX
    liar_mark
    liar_tell open "$1" "$2"
    liar_heard "^$3"
}
dir=var/lib/libvirt/qemu
for id in 0123456 012345678 0123456G 0123456/ ../../..; do
    ask control "libvirt/hold/$id/$dir" "reset [0-9]+ [A-Z]+ .*8 hexadecimal digits"
done
for folder in etc var/lib/libvirt "$dir/" "$dir/../qemu" "/$dir" '' run; do
    ask control "libvirt/hold/01234567/$folder" "reset [0-9]+ [A-Z]+ .*are to be in /$dir"
done
ask ram libvirt/ram/01234567 'reset [0-9]+ [A-Z]+ .*no such migration was announced'
ask control libvirt/other 'reset [0-9]+ [A-Z]+ .*no such part'
expect_equal "files in the folder" '' "$(adits)"
ask control "libvirt/hold/01234567/$dir" "line [0-9]+ ok /run/libvirt/$DAEMON_SOCKET"
expect_equal "files in the folder" "$there/adit-01234567.lock" "$(adits)"
ask control "libvirt/hold/01234567/$dir" 'reset [0-9]+ [A-Z]+ .*announced already'
for target in ram/0123456 ram/01234567/ ram/01234568 disks/../01234567 disks/01234567-ram ram/; do
    ask disk "libvirt/$target" 'reset [0-9]+ [A-Z]+ .*no such migration was announced'
done
ask control libvirt/ram/01234567 'reset [0-9]+ PROTOCOL '
ask ram libvirt/ram/01234567 "reset [0-9]+ [A-Z]+ cannot connect to unix:/$dir/adit-01234567-ram.sock"
# counted a peer, whatever session it announces them in
mkfifo "$T/second.in"
proc_start second src sh -c 'exec "$1" connect "$2" "$3" <"$4"' sh "$LIAR" "$ADIT_DEST" "$T/psk" "$T/second.in"
exec {second}>"$T/second.in"
wait_until 10 "the second session" grep -q '^session psk:' "$T/second.log"
for ((i = 1; i < 64; i++)); do printf 'open control libvirt/hold/%08x/%s\n' "$i" "$dir" >&"$second"; done
wait_until 20 "63 more are announced" eval '[ "$(adits | wc -l)" = 64 ]'
ask control "libvirt/hold/000000ff/$dir" 'reset [0-9]+ LIMIT .*64 migrations of this peer'
printf 'open control libvirt/hold/000000fe/%s\n' "$dir" >&"$second"
wait_until 10 "the second session hears it, too" grep -qE '^reset [0-9]+ LIMIT .*64 migrations of this peer' "$T/second.log"
printf 'quit\n' >&"$second"
exec {second}>&-
proc_wait second 5
liar_tell close
wait_until 5 "the lock goes with the session" none_left
liar_end

say 'adit serve ends while nothing goes over, though the command is still there'
run_on_src "tls://dst.test" --psk "$T/psk"
order
proc_kill serve-dst
proc_wait serve-dst 5
expect_equal "the status of adit serve" 0 "$PROC_STATUS"
timeout 5 sh -c "echo 0 >$T/go" || fail "the command was ended"
proc_wait run 10
wait_until 5 "the sockets go, on both hosts: $(adits)" none_left

say 'over ssh://, on the one port'
# shellcheck disable=SC2034
SSHD_PORT=$ADIT_PORT
mkdir -m 755 "$T/dst/run/sshd"
sshd_make
here=$T/src/lib/libvirt/images there=$T/dst/lib/libvirt/images
elsewhere=(--libvirt-dir /var/lib/libvirt/images)
sshd_runs --allow-libvirt "${elsewhere[@]}" --run-dir /run/adit-ssh
run_on_src "$ADIT_DEST" "${ADIT_CREDS[@]}" "${elsewhere[@]}"
expect_equal "the folder of the sockets" "$here/$(sed 's,.*/,,' "$T/uris")" "$(find "$here" -name 'adit-*-disks.sock')"
order
ends 0
proc_kill sshd
proc_wait sshd 10
migrate_serve dst

say 'no daemon there'
proc_kill "$DAEMON-dst"
proc_wait "$DAEMON-dst" 10
on_host src "$ADIT" run --libvirt tls://dst.test --psk "$T/psk" -- touch "$T/started" >"$T/run.log" 2>&1 && fail "no failure without a daemon"
cat "$T/run.log"
grep -q 'libvirt at the destination: .*start virtqemud or libvirtd' "$T/run.log" || fail "the mend is not told"
[ ! -e "$T/started" ] || fail "COMMAND was started"
none_left || fail "left: $(adits)"

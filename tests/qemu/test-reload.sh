#!/usr/bin/env bash
# Goal: a reload with a new key, and without rights, while a migration comes: it goes on to its end, and the next
# connection needs the new key, and may do only what the new file says. SIGTERM while a migration comes: nothing new is
# taken, it goes on to its end, and then adit serve ends by itself. A second SIGTERM has it undone. The peer's bandwidth is held.
. "$(dirname "$0")/lib.sh"

TALKER=$(dirname "$ADIT")/../tests/talker
[ -x "$TALKER" ] || skip 'the talker is not built'

# conf LINE...: the file, with those lines for the peer "tester"
conf() {
    printf '%s\n' '[serve]' "listen = $DST_IP:$ADIT_PORT" "psk = $T/psk-serve" "run-dir = $T/run-dst" \
        "state-dir = $T/state-dst" '[peer tester]' "$@" >"$T/adit.conf"
}
rights=('migrate = yes' "launch = $QEMU" "images = $ADIT_IMAGES")
# coming NAME [OPTION]...: that VM is on its way, its disk slowly
coming() {
    local name=$1
    shift
    move_disks "$name" 16M raw:virtio
    move_vm "$name" append='ram=4 rate=500 sectors=256 diskrate=5'
    left_mark
    adit_start "$name" "$@"
    move_phase "$name" mirror
}
# lifted: it may go as fast as it can
lifted() {
    "$ADIT" set "$("$ADIT" jobs --json | jq -r '.tasks[0].id')" --max-bandwidth 1G || fail 'adit set'
    adit_wait
}
# next_is_refused VM TEXT: adit check comes as a new connection
next_is_refused() {
    local status=0
    in_host src "$ADIT" check --qmp "${VM_QMP[$1]}" "${ADIT_CREDS[@]}" "$ADIT_DEST" >"$T/check.log" 2>&1 || status=$?
    [ "$status" != 0 ] || fail "the next connection is taken: $(cat "$T/check.log")"
    grep -q -- "$2" "$T/check.log" || fail "nothing of \"$2\" in: $(cat "$T/check.log")"
}

move_hosts
move_disks other 1M raw:virtio
move_vm other append='ram=1 disks=none'
(umask 077 && mkdir -p "$T/run-dst" && cp "$T/psk" "$T/psk-serve")
adit_images
conf "${rights[@]}"
proc_start serve dst "$ADIT" serve --config "$T/adit.conf"
wait_until 10 'adit serve to listen' adit_serves

say 'a new key, and no rights, while a VM comes'
coming a --max-bandwidth 5M
rm "$T/psk-serve"
"$ADIT" keygen -o "$T/psk-serve" tester || fail keygen
conf 'forward = unix:/nothing'
proc_kill serve HUP
wait_until 5 'the reload' grep -q 'and the credentials anew' "$T/serve.log"
phase_is a mirror || fail 'the migration was over before the reload'
next_is_refused other 'another key for the PSK identity'
lifted
move_succeeded a a-twin raw:virtio
mv "$T/psk" "$T/psk-old"
cp "$T/psk-serve" "$T/psk"
next_is_refused other 'migrate = yes in its adit.conf, .peer psk:tester.'
vm_end a-twin

say 'SIGTERM while a VM comes'
(umask 077 && "$ADIT" keygen -o "$T/psk-other" other && cat "$T/psk-other" >>"$T/psk-serve") || fail keygen
# this time it is the destination that holds the peer back
conf "${rights[@]}" 'bandwidth = 4M' '[peer other]' 'migrate = yes'
proc_kill serve HUP
wait_until 5 'the reload' eval '[ "$(grep -c "and the credentials anew" "$T/serve.log")" = 2 ]'
coming b
proc_kill serve TERM
wait_until 5 'its word' grep -q 'waits for the end of 1 migration to this host' "$T/serve.log"
next_is_refused other 'this adit is ending'
# another source, of whose job nothing is left, learns so meanwhile
answer=$(in_host src timeout 10 "$TALKER" "$ADIT_DEST" "$T/psk-other" 0123456789abcdef0123456789abcdef 'recover={"state":"finish"}' 2>&1)
[[ $answer =~ \"never\" ]] || fail "a source that asks is told: $answer"
phase_is b mirror || fail 'the migration was over before SIGTERM'
adit_wait
move_succeeded b b-twin raw:virtio
took=$(tail -n 1 "$T/migrate.json" | jq .total_ms)
[ "$took" -ge 2000 ] || fail "16 MiB at 4 MiB/s took $took ms only"
vm_end b-twin
proc_wait serve 10
expect_equal 'status of adit serve' 0 "$PROC_STATUS"
! grep -iE 'error:|undone|journal keeps' "$T/serve.log" || fail 'something is left'
expect_equal 'jobs in the journal' '' "$(find "$T/state-dst" -name '*.json' | grep -v host || true)"

say 'SIGTERM twice while a VM comes'
proc_start serve dst "$ADIT" serve --config "$T/adit.conf"
wait_until 10 'adit serve to listen' adit_serves
coming c
left_clock
proc_kill serve TERM
wait_until 5 'its word' grep -q 'waits for the end of 1 migration to this host' "$T/serve.log"
proc_kill serve TERM
adit_wait 20
move_failed c 1 'adit serve was stopped on the destination'
proc_wait serve 5
expect_equal 'status of adit serve' 0 "$PROC_STATUS"

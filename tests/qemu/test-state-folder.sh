#!/usr/bin/env bash
# On: each QEMU
# Points
# Limit: 300 s
# Goal: the state folder of either side is full, read-only or gone at the moments of the decision: nothing is lost by it, what
# needs no new room is written, a folder that has gone is made again, what cannot be written is tried again, with a pause, an
# end, and words that name the folder; then adit recover settles it. In postcopy the VM lives on, whatever its journal does.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"
. "$TESTS_QEMU/folder.sh"
. "$TESTS_QEMU/postcopy.sh"
[ "$ADIT" != "$TOP/build/release/cli/adit" ] || ADIT=$TOP/build/asan-ubsan/cli/adit
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

small_vm() {
    move_disks "$1" 8M raw:virtio
    move_vm "$1" append='ram=8 rate=500 sectors=64 diskrate=20'
}
# at POINT VM [OPTION]...: a migration that stands at that point, of a process with fresh folders
at() {
    local point=$1 vm=$2
    shift 2
    STOPPED=serve
    [[ $point != s-* ]] || STOPPED=migrate
    proc_end serve
    for side in src dst; do
        mountpoint -q "$T/state-$side" || folder_make "$T/state-$side"
    done
    if [ $STOPPED = serve ]; then
        ADIT_STOP_AT=$point adit_serve_launch
        adit_start "$vm" "$@"
    else
        adit_serve_launch
        ADIT_STOP_AT=$point adit_start "$vm" "$@"
    fi
    wait_until 60 "$STOPPED to stop at $point" proc_stopped $STOPPED
}
goes_on() { proc_kill $STOPPED CONT; }
moved() {
    adit_wait 60
    move_succeeded "$1" "$1-twin" raw:virtio
    vm_end "$1-twin"
    [ -z "$(find "$T"/state-*/journal -name '*.json')" ] || fail "a record is left: $(find "$T"/state-*/journal)"
}
# few WHAT FILE REGEX MAX: it was said, and not more often than that
few() {
    local n
    n=$(grep -ciE "$3" "$2" || true)
    [ "$n" -ge 1 ] || fail "$1 did not say '$3'"
    [ "$n" -le "$4" ] || fail "$1 said it $n times: $3"
}

move_hosts
postcopy_needed

say 'full, from FINISH on, on both sides: every record has its room already'
small_vm a
at d-finish a
folder_fault src state full
folder_fault dst state full
goes_on
moved a
folder_mended src state full
folder_mended dst state full

say 'read-only when the decision is due: what is open is written'
small_vm b
at d-finish b
folder_fault dst state read-only
sleep 0.5
goes_on
adit_wait 60
folder_mended dst state read-only
move_succeeded b b-twin raw:virtio
vm_end b-twin
rm -rf "$T/state-dst/journal"

say 'removed at CONFIRM: it is made again'
small_vm c
at d-confirm c
folder_fault dst state removed
goes_on
moved c
grep -q 'had been removed: it is made again' "$T/serve.log" || fail 'adit serve did not say that the folder had been removed'
[ -s "$T/state-dst/host-id" ] || fail "the host's id was not written again"

say 'gone, and not to be made again, at CONFIRM, for three seconds'
small_vm d
at d-confirm d
folder_fault dst state broken
goes_on
sleep 3
folder_mended dst state broken
moved d
few 'adit serve' "$T/serve.log" "error: .*$T/state-dst" 1

say "... and where the source writes that its VM ends"
small_vm e
at s-confirmed e
folder_fault src state broken
goes_on
sleep 3
expect_equal "the source's QEMU" 'postmigrate' "$(vm_status e2)"
folder_mended src state broken
moved e

say '... and for good: both end, and say which folder it is'
small_vm f
at d-confirm f --log-level info
folder_fault dst state broken
begin=$(now_ms)
goes_on
adit_wait 100
say "  adit migrate ended after $(($(now_ms) - begin)) ms"
expect_equal 'the exit status of adit migrate' 1 "$MIGRATE_STATUS"
tail -n 1 "$T/migrate.log" | grep -q "runs on the destination.*$T/state-dst.*make room.*adit recover" ||
    fail "not told: $(tail -n 1 "$T/migrate.log")"
few 'adit migrate' "$T/migrate.json" "last word was lost" 2
few 'adit serve' "$T/serve.log" "error: .*$T/state-dst" 8
lines=$(($(wc -l <"$T/serve.log") + $(wc -l <"$T/migrate.log") + $(wc -l <"$T/migrate.json")))
[ "$lines" -le 250 ] || fail "$lines lines were said"
expect_equal "the source's QEMU" 'postmigrate' "$(vm_status f2)"
# (the mend may come while it asks)
begin=$(now_ms)
! adit_recover || fail 'adit recover says that all is settled'
say "  adit recover ended after $(($(now_ms) - begin)) ms"
grep -q "still unfinished: .*runs on the destination.*$T/state-dst" "$T/recover.out" || fail 'adit recover does not name the folder'
! grep -q 'given up by its user' "$T"/*.log "$T"/*.json "$T/recover.out" || fail 'there are words that say nothing'
folder_mended dst state broken
adit_recover || fail 'adit recover does not settle it'
wait_until 5 "the end of the source's QEMU" proc_gone f
for dir in "$T"/run-dst/vms/f-*; do
    vm_adopt f-twin dst "$dir/qmp.sock" "$dir/serial0.sock" "$dir/serial.log" "$(host_processes dst | awk '/-incoming/ && /qemu/ { print $1; exit }')"
done
guest_continues f f-twin
move_checked f-twin
vm_end f-twin

say 'postcopy: full for three seconds as the devices go over'
link_rate 80mbit
postcopy_vm g
at d-postcopy g --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
folder_fault dst state full
goes_on
sleep 3
folder_mended dst state full
link_rate none
moved g

say 'postcopy: gone, and not to be made again, for three seconds just then'
link_rate 80mbit
postcopy_vm h
at d-closed h --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
folder_fault dst state broken
goes_on
sleep 3
link_rate none
folder_mended dst state broken
moved h
few 'adit serve' "$T/serve.log" 'The VM can live here only' 1
few 'adit serve' "$T/serve.log" 'the journal is written' 1

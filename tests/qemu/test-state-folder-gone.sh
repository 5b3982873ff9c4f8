#!/usr/bin/env bash
# Points
# Limit: 240 s
# Goal: the destination's state folder has gone at CONFIRM and cannot be made again: adit migrate and adit recover ask again
# with a pause and an end, in few lines, and in words that name the folder; once it can be made adit recover settles it.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"
. "$TESTS_QEMU/folder.sh"
[ "$ADIT" != "$TOP/build/release/cli/adit" ] || ADIT=$TOP/build/asan-ubsan/cli/adit
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

move_hosts
folder_vm f
folder_at d-confirm f --log-level info
folder_fault dst state broken
begin=$(now_ms)
folder_on
adit_wait 100
say "  adit migrate ended after $(($(now_ms) - begin)) ms"
expect_equal 'the exit status of adit migrate' 3 "$MIGRATE_STATUS"
tail -n 1 "$T/migrate.log" | grep -q "runs on the destination.*$T/state-dst.*make room.*adit recover" ||
    fail "not told: $(tail -n 1 "$T/migrate.log")"
folder_said 'adit migrate' "$T/migrate.json" "last word was lost" 2
folder_said 'adit serve' "$T/serve.log" "error: .*$T/state-dst" 8
lines=$(($(wc -l <"$T/serve.log") + $(wc -l <"$T/migrate.log") + $(wc -l <"$T/migrate.json")))
[ "$lines" -le 250 ] || fail "$lines lines were said"
expect_equal "the source's QEMU" 'postmigrate' "$(vm_status f2)"
# (the mend may come while it asks)
begin=$(now_ms)
! adit_recover || fail 'adit recover says that all is settled'
say "  adit recover ended after $(($(now_ms) - begin)) ms"
grep -q "still unfinished: .*runs on the destination.*$T/state-dst" "$T/recover.out" || fail 'adit recover does not name the folder'
! grep -q 'given up by its user' "$T"/*.log "$T"/*.json "$T/recover.out" || fail 'there are words that say nothing'

say 'an adit serve that is to end waits until it can write down what it knows'
proc_kill serve TERM
sleep 3
proc_runs serve || fail 'adit serve ended, and what it knows of the VM is nowhere'
folder_mended dst state broken
proc_wait serve 20
expect_equal 'the exit status of adit serve' 0 "$PROC_STATUS"
jq -s -e 'any(.[]; .state? == "decided")' "$T"/state-dst/journal/destination-*.json >/dev/null || fail 'the record is not there'
adit_serve_launch
adit_recover || fail 'adit recover does not settle it'
wait_until 5 "the end of the source's QEMU" proc_gone f
for dir in "$T"/run-dst/vms/f-*; do
    vm_adopt f-twin dst "$dir/qmp.sock" "$dir/serial0.sock" "$dir/serial.log" "$(host_processes dst | awk '/-incoming/ && /qemu/ { print $1; exit }')"
done
guest_continues f f-twin
move_checked f-twin
vm_end f-twin

#!/usr/bin/env bash
# On: each QEMU
# Points
# Limit: 300 s
# Goal: the state folder of either side is full, read-only or gone at the moments of the decision: nothing is lost by it, what
# needs no new room is written, a folder that has gone is made again, what cannot be written is tried again. In postcopy the
# VM lives on, whatever its journal does. (state-folder-gone has a folder that does not come back.)
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"
. "$TESTS_QEMU/folder.sh"
. "$TESTS_QEMU/postcopy.sh"
[ "$ADIT" != "$TOP/build/release/cli/adit" ] || ADIT=$TOP/build/asan-ubsan/cli/adit
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

move_hosts
postcopy_needed

say 'full, from FINISH on, on both sides: every record has its room already'
folder_vm a
folder_at d-finish a
folder_fault src state full
folder_fault dst state full
folder_on
folder_moved a
folder_mended src state full
folder_mended dst state full

say 'read-only when the decision is due: what is open is written'
folder_vm b
folder_at d-finish b
folder_fault dst state read-only
sleep 0.5
folder_on
adit_wait 60
folder_mended dst state read-only
move_succeeded b b-twin raw:virtio
vm_end b-twin
rm -rf "$T/state-dst/journal"

say 'removed at CONFIRM: it is made again'
folder_vm c
folder_at d-confirm c
folder_fault dst state removed
folder_on
folder_moved c
grep -q 'had been removed: it is made again' "$T/serve.log" || fail 'adit serve did not say that the folder had been removed'

say 'gone, and not to be made again, at CONFIRM, for three seconds'
folder_vm d
folder_at d-confirm d
folder_fault dst state broken
folder_on
sleep 3
folder_mended dst state broken
folder_moved d
folder_said 'adit serve' "$T/serve.log" "error: .*$T/state-dst" 1

say "... and where the source writes that its VM ends"
folder_vm e
folder_at s-confirmed e
folder_fault src state broken
folder_on
sleep 3
expect_equal "the source's QEMU" 'postmigrate' "$(vm_status e2)"
folder_mended src state broken
folder_moved e

say 'postcopy: full for three seconds as the devices go over'
link_rate 80mbit
postcopy_vm g
folder_at d-postcopy g --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
folder_fault dst state full
folder_on
sleep 3
folder_mended dst state full
link_rate none
folder_moved g

say 'postcopy: gone, and not to be made again, for three seconds just then'
link_rate 80mbit
postcopy_vm h
folder_at d-closed h --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
folder_fault dst state broken
folder_on
sleep 3
link_rate none
folder_mended dst state broken
folder_moved h
folder_said 'adit serve' "$T/serve.log" 'The VM can live here only' 1
folder_said 'adit serve' "$T/serve.log" 'the journal is written' 1

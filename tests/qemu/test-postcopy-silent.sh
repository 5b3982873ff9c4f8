#!/usr/bin/env bash
# Points
# Limit: 200 s
# Goal: postcopy broke, and the source's QEMU says nothing when it is to be taken up again: adit migrate says so and asks again
# instead of waiting for its word for ever; once that QEMU answers, the rest goes over.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/postcopy.sh"
[ "$ADIT" != "$TOP/build/release/cli/adit" ] || ADIT=$TOP/build/asan-ubsan/cli/adit
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

said() { grep -q "postcopy was interrupted ($1" "$T/migrate.json"; }

move_hosts
postcopy_needed
adit_serve_launch
postcopy_vm a
ADIT_LIMITS=mend=1500 postcopy_reach a
link_cut
wait_until 30 'adit to see the cut' said .
proc_kill a STOP
link_heal
wait_until 30 'the word that the QEMU here does not answer' said 'the QEMU here does not answer'
proc_kill a CONT
link_rate none
adit_wait 60
move_succeeded a a-twin raw:virtio
vm_end a-twin

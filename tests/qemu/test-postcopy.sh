#!/usr/bin/env bash
# On: each QEMU
# Sanitizers too
# Goal: postcopy, begun by --on-timeout, moves a guest that never converges, with its disk: it runs there while the rest of
# its RAM flows, all of it verified. What QEMU cannot do together is refused by name before anything moves.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/postcopy.sh"

second_pass() { [ "$(vm_query no2 query-migrate '.ram["dirty-sync-count"]')" -ge 2 ]; }

move_hosts
postcopy_needed
adit_serve_launch

say 'postcopy'
postcopy_vm pc
firewall_reset
left_mark
left_clock
listeners_watch_start
postcopy_reach pc
phases=$(jq -r 'select(.event == "phase").phase' "$T/migrate.json" | paste -sd' ')
link_rate none
adit_wait
listeners_watch_end
move_succeeded pc pc-twin raw:virtio
[[ $phases = *"switchover device finish postcopy" ]] || fail "the phases were: $phases"
firewall_expect_connections 1
# with a channel of its own for the pages that the guest waits for, where QEMU has it
preempt=$(vm_query pc-twin query-migrate-capabilities '[.[] | select(.capability == "postcopy-preempt" and .state)] | length')
expect_equal 'RAM streams' $((1 + preempt)) \
    "$(tail -n 1 "$T/migrate.json" | jq '[.streams[] | select(.class == "ram")] | length')"
left_nothing "^file $T/images/|$T/run-dst|^process .*$QEMU .*-incoming"
[ -z "$(find "$T/run-dst" -name 'ram*')" ] || fail 'the folder of the socket for RAM is left'
vm_end pc-twin

say 'refused before anything moves'
postcopy_vm no
left_mark
adit_migrate no --postcopy --multifd 2
left_clock
move_failed no 1 '--multifd and --postcopy together.*10\.2'
[ "$(adit_last .phase)" != perform ] || fail 'something moved'

say 'begun by adit set'
link_rate 80mbit
adit_start no --postcopy --downtime-limit 20
move_phase no ram
wait_until 30 'the second pass' second_pass
in_host src "$ADIT" set "$(basename "$(ls "$T"/state-src/journal/source-*.json)" .json | cut -d- -f2)" --postcopy >"$T/set.log" 2>&1 ||
    fail "adit set --postcopy: $(cat "$T/set.log")"
wait_until 30 'postcopy' postcopy_is_on
link_rate none
adit_wait
move_succeeded no no-twin raw:virtio

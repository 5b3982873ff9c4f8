#!/usr/bin/env bash
# On: each QEMU
# Sanitizers too
# Goal: postcopy, begun by --on-timeout, moves a guest that never converges, with its disk: it runs there while the rest of
# its RAM flows, all of it verified. What QEMU cannot do together is refused by name before anything moves.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/postcopy.sh"

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

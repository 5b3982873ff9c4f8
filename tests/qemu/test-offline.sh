#!/usr/bin/env bash
# On: each QEMU
# Goal: --offline: the guest stands still from the beginning, and runs there, or here again when it fails. A guest that
# never converges is paused at --timeout with --on-timeout suspend, and runs there, or here again. --xbzrle and
# --auto-converge reach QEMU. What does not go together is refused at once.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

stands_still() { [ "$(vm_status "${1}2")" = paused ] || [ "$(vm_status "${1}2")" = finish-migrate ]; }

move_hosts
adit_serve_launch

say 'offline, given up'
fault_vm off
fault_reach off mirror --offline
stands_still off || fail 'the guest runs in spite of --offline'
proc_kill migrate INT
left_clock
fault_ended off 1 cancelled

say 'offline'
adit_start off --offline
adit_wait
move_succeeded off off-twin raw:virtio
[ "$(adit_last .passes)" -le 3 ] || fail "$(adit_last .passes) passes over the RAM of a guest that stood still"
vm_end off-twin

say 'suspend'
fault_vm busy 8M
fault_reach busy ram --timeout 5 --on-timeout suspend --downtime-limit 20
wait_until 10 'the guest to be paused' stands_still busy
link_rate none
adit_wait
grep -q '"note".*paused' "$T/migrate.json" || fail 'nobody was told that the guest was paused'
move_succeeded busy busy-twin raw:virtio
vm_end busy-twin

say 'suspend while the disk is copied, given up'
fault_vm cut 48M
fault_reach cut mirror --timeout 1 --on-timeout suspend
wait_until 10 'the guest to be paused' stands_still cut
proc_kill migrate INT
left_clock
fault_ended cut 1 cancelled
link_rate none

say 'xbzrle and auto-converge'
adit_start cut --xbzrle --auto-converge --max-bandwidth 8M --downtime-limit 3000
caps_on() {
    local caps
    caps=" $(vm_query cut2 query-migrate-capabilities '[.[] | select(.state) | .capability] | join(" ")') "
    [[ $caps = *' xbzrle '* && $caps = *' auto-converge '* ]]
}
wait_until 30 'xbzrle and auto-converge to be on' caps_on
adit_wait
move_succeeded cut cut-twin raw:virtio

refused() {
    local want=$1
    shift
    adit_migrate cut "$@"
    expect_equal "the exit status with $*" 2 "$MIGRATE_STATUS"
    grep -q -- "$want" "$T/migrate.log" || fail "not refused with '$want': $(cat "$T/migrate.log")"
}
refused '--multifd' --compression zlib
refused 'go together' --multifd 2 --xbzrle
refused 'go together' --offline --postcopy
refused '--postcopy' --timeout 5 --on-timeout postcopy
refused '--timeout' --on-timeout suspend

#!/usr/bin/env bash
# On: each QEMU
# Limit: 240 s
# Goal: postcopy that breaks is taken up again, and nothing is lost: the connection goes away twice, and adit migrate goes
# on by itself; adit migrate is killed, and adit recover goes on; the adit there is killed and started again, too.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/postcopy.sh"

# the line is dead for a moment, in a way that both sides see: connections are reset
line_reset() {
    in_host dst ss -K "sport = :$ADIT_PORT" >/dev/null 2>&1 || true
    in_host src ss -K "dport = :$ADIT_PORT" >/dev/null 2>&1 || true
}
source_is() { [ "$(vm_query "${1}2" query-migrate .status)" = "$2" ]; }
sees_cuts() { [ "$(notes 'postcopy was interrupted')" -ge "$1" ]; }
goes_on() { source_is cut postcopy-active || proc_gone migrate; }
notes() { grep -c "$1" "$T/migrate.json" || true; }

move_hosts
postcopy_needed
adit_serve_launch

say 'cut twice'
postcopy_vm cut
postcopy_reach cut
link_cut
wait_until 30 'adit to see the cut' sees_cuts 1
link_heal
wait_until 20 'postcopy to go on' goes_on
sleep 0.5
source_is cut postcopy-active || fail 'postcopy was over too soon for a second cut'
line_reset
wait_until 10 'adit to see the second cut' sees_cuts 2
wait_until 20 'postcopy to go on' goes_on
link_rate none
adit_wait 60
move_succeeded cut cut-twin raw:virtio
expect_equal 'interruptions that were told of' 2 "$(notes 'postcopy was interrupted')"
vm_end cut-twin

say 'adit migrate is killed'
postcopy_vm killed
postcopy_reach killed
proc_kill migrate KILL
adit_wait 5
wait_until 10 'the source QEMU to see it' source_is killed postcopy-paused
postcopy_recovered killed

say 'adit migrate and adit serve are killed'
postcopy_vm both
postcopy_reach both
proc_kill serve KILL
proc_kill migrate KILL
adit_wait 5
wait_until 10 'the source QEMU to see it' source_is both postcopy-paused
proc_wait serve 5
adit_serve_launch
postcopy_recovered both

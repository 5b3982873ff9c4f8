#!/usr/bin/env bash
# On: each QEMU
# Alone
# Goal: --max-bandwidth holds for RAM and disks together, as the network counts it, also when it is halved and doubled in
# flight; --downtime-limit is kept to and told; a guest that writes faster than the line carries is given up at --timeout,
# also at one that was set in flight, and runs on.
. "$(dirname "$0")/lib.sh"

crossed() { firewall_count dst passed_in bytes; }

move_hosts
adit_serve_launch

say '--max-bandwidth 8M over two disks and RAM'
move_disks capped 24M raw:virtio raw:virtio
move_vm capped append='ram=16 rate=200 sectors=1024 diskrate=20'
firewall_reset
# (4294968 s are more milliseconds than 32 bits hold)
adit_start capped --max-bandwidth 8M --timeout 4294968
move_phase capped mirror
# the rate between two looks while both disks are copied: 8 MiB/s of contents; the wire has its headers on top
from=$(crossed) begin=$(now_ms)
sleep 2
phase_is capped mirror || fail 'the disks were copied too soon'
rate=$((($(crossed) - from) * 1000 / ($(now_ms) - begin)))
want=8388608
say "  measured while mirroring: $rate bytes a second, asked for $want"
[ "$rate" -le $((want * 110 / 100)) ] || fail "more than --max-bandwidth: $rate bytes a second"
[ "$rate" -ge $((want * 90 / 100)) ] || fail "much less than --max-bandwidth: $rate bytes a second"
adit_wait
took=$(($(now_ms) - begin))
move_succeeded capped capped-twin raw:virtio raw:virtio
rate=$((($(crossed) - from) * 1000 / took))
say "  measured to the end: $rate bytes a second"
[ "$rate" -le $((want * 110 / 100)) ] || fail "more than --max-bandwidth in the end: $rate bytes a second"
vm_end capped-twin

say 'halved and doubled in flight'
job_id() { find "$T/state-src/journal" -name 'source-*.json' -printf '%f\n' | sed 's/^source-//; s/\.json$//'; }
set_job() { in_host src "$ADIT" set "$(job_id)" "$@" >"$T/set.log" 2>&1 || fail "adit set $*: $(cat "$T/set.log")"; }
# rate_is BYTES: so much crosses now, within a tenth
rate_is() {
    local from begin rate
    sleep 0.3
    from=$(crossed) begin=$(now_ms)
    sleep 1.5
    rate=$((($(crossed) - from) * 1000 / ($(now_ms) - begin)))
    say "  asked for $1, measured $rate bytes a second"
    [ "$rate" -le $(($1 * 110 / 100)) ] && [ "$rate" -ge $(($1 * 90 / 100)) ] || fail "$rate bytes a second, asked for $1"
}
move_disks flight 96M raw:virtio
move_vm flight append='ram=16 rate=200 sectors=1024 diskrate=20'
adit_start flight --max-bandwidth 8M
move_phase flight mirror
rate_is 8388608
set_job --max-bandwidth 4M
rate_is 4194304
# all of it or nothing: of what is refused in part nothing changes
limits() { in_host src "$ADIT" status "$(job_id)" --json | jq -c '.limits'; }
refused_set() {
    local before
    before=$(limits)
    in_host src "$ADIT" set "$(job_id)" "$@" >"$T/set.log" 2>&1 && fail "adit set $* was taken"
    grep -q -- "$wanted" "$T/set.log" || fail "adit set $*: $(cat "$T/set.log")"
    expect_equal "the limits after adit set $*" "$before" "$(limits)"
}
wanted=--postcopy refused_set --max-bandwidth 1M --downtime-limit 7 --timeout 5000000 --postcopy
wanted=--postcopy refused_set --max-bandwidth 1M --timeout 9999999 --on-timeout postcopy
wanted=--timeout refused_set --max-bandwidth 1M --timeout none --on-timeout suspend
wanted=10000000 refused_set --max-bandwidth 1M --timeout 10000001
rate_is 4194304
set_job --timeout 10000000 --downtime-limit 2000000
set_job --max-bandwidth 16M
rate_is 16777216
phase_is flight mirror || fail 'the disk was copied too soon'
set_job --max-bandwidth none --downtime-limit 3000
adit_wait
move_succeeded flight flight-twin raw:virtio
vm_end flight-twin

say '--downtime-limit'
move_disks downtime 8M raw:virtio
# with a second of downtime allowed it ends although the guest never stops writing
move_vm downtime append='ram=16 rate=1500 sectors=256 diskrate=20'
link_rate 100mbit
adit_migrate downtime --downtime-limit 1000 --timeout 60
move_succeeded downtime downtime-twin raw:virtio
link_rate none
vm_end downtime-twin

say '--timeout'
move_disks busy 8M raw:virtio
move_vm busy append='ram=16 rate=max sectors=256 diskrate=20'
link_rate 40mbit
left_mark
adit_start busy --timeout 100 --downtime-limit 50
begin=$(now_ms)
move_phase busy ram
set_job --timeout 8
wait_until 12 'adit giving up' proc_gone migrate
took=$(($(now_ms) - begin))
[ "$took" -ge 6000 ] || fail "given up after $took ms already"
left_clock
adit_wait 1
move_failed busy 1 'timeout|within|8 s'
guest_quiet busy
guest_still busy
say "  guest on src: $(guest_verify busy)"
link_rate none
guest_go busy
adit_migrate busy --downtime-limit 5000
move_succeeded busy busy-twin raw:virtio

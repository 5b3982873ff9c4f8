#!/usr/bin/env bash
# On: each QEMU
# Limit: 240 s
# Goal: a guest that writes to its disk faster than the line carries is not copied in silence: the disk is named, with the mend.
# One that writes in bursts, for whose end the switchover waits, is whole.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch

say 'faster than the line'
move_disks endless 8M raw:virtio
# each write of 4 KiB has 64 KiB copied anew: 3.9 MB/s, over a line of 2.5
move_vm endless append='ram=1 rate=20 sectors=1024 diskrate=60'
link_rate 20mbit
adit_start endless
told() { proc_runs migrate || fail 'adit migrate ended'; grep -q '"note".*disk disk0 does not converge' "$T/migrate.json"; }
wait_until 40 'a word that the disk does not converge' told
jq -r 'select(.event == "note").text' "$T/migrate.json" | sed 's/^/  said: /'
expect_equal 'the phase' disks "$(jq -r 'select(.event == "phase").phase' "$T/migrate.json" | tail -n 1)"
guest_quiet endless
adit_wait
move_succeeded endless endless-twin raw:virtio
expect_equal 'words of it' 1 "$(grep -c 'does not converge' "$T/migrate.json")"
vm_end endless-twin

say 'bursts'
# as many writes as it can in 0.15 s of each 2 s: for about a second the disk is behind then
bursts() {
    trap - ERR EXIT
    while proc_runs bursty; do
        printf r | socat -u - "UNIX-CONNECT:${VM_SERIAL[bursty]}"
        sleep 0.15
        printf q | socat -u - "UNIX-CONNECT:${VM_SERIAL[bursty]}"
        sleep 1.8
    done >/dev/null 2>&1
}
move_disks bursty 16M raw:virtio
move_vm bursty append='ram=4 rate=50 sectors=2048 diskrate=max'
guest_quiet bursty
link_rate 20mbit
adit_start bursty --downtime-limit 400
bursts &
burst=$!
adit_wait
kill $burst 2>/dev/null || true
link_rate none
move_succeeded bursty bursty-twin raw:virtio
# (no time is asserted: a burst that begins in the instant before the guest is stopped is not seen coming)
say "  limit 400 ms, pause $(adit_last .downtime_ms) ms"

#!/usr/bin/env bash
# On: each QEMU
# Limit: 400 s
# Alone
# Goal: --downtime-limit holds beside a disk that the guest is busy with, in bursts and in big writes: its writes are paced
# where the line does not carry them, no longer than a guest bears, and no drive that is not copied is with them; and the
# limits are as before in every end. A disk that does not converge all the same is named, with the mend.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
LIMIT=400
options='ram=4 rate=50 sectors=24576 spread=0 diskrate=37'
# the limits of a VM's disks, and their groups
limits() { vm_query "$1" query-block '[.[] | select(.inserted) | .inserted | [.bps, .bps_rd, .bps_wr, .iops, .iops_rd, .iops_wr, .bps_wr_max, .group]] | tojson'; }
# paced VM: its writes are held to something now
paced() {
    proc_runs migrate || fail "adit migrate ended: $(tail -n 1 "$T/migrate.log")"
    [ "$(vm_query "${1}2" query-block '[.[] | .inserted // empty | .bps_wr] | max')" -gt 0 ]
}

# pause_holds VM: the guest stood still for no longer than the limit, three round trips, and what QEMU and adit need for a
# switchover on this machine, where the processor is emulated and shared: as long as the same VM stands still that writes
# nothing at all. In HELD, yes or no.
pause_holds() {
    local pause
    pause=$(adit_last .pause_ms)
    say "  $1: limit $LIMIT ms, pause $pause ms; three round trips $((3 * RTT)) ms, a calm one's pause $CALM ms"
    HELD=yes
    [ "$pause" -le $((LIMIT + 3 * RTT + CALM)) ] || HELD=no
}

say 'a calm one'
move_disks calm 16M raw:virtio
move_vm calm append="$options"
guest_quiet calm
guest_still calm
in_host src "$ADIT" check --qmp "${VM_QMP[calm]}" "${ADIT_CREDS[@]}" --json --measure-dirty 0 --downtime-limit $LIMIT "$ADIT_DEST" >"$T/check.json"
RTT=$(jq 'select(.event == "checked") | (.rtt_us // 1000) / 1000 | ceil' "$T/check.json")
adit_migrate calm --downtime-limit $LIMIT
move_succeeded calm calm-twin raw:virtio
CALM=$(adit_last .pause_ms)
vm_end calm-twin

# as many writes as it can in 0.15 s of each 2 s
bursts() {
    trap - ERR EXIT
    while proc_runs "$1"; do
        printf r | socat -u - "UNIX-CONNECT:${VM_SERIAL[$1]}"
        sleep 0.15
        printf q | socat -u - "UNIX-CONNECT:${VM_SERIAL[$1]}"
        sleep 1.8
    done >/dev/null 2>&1
}

# moves VM LINE OPTIONS: a VM with these options for its guest over a line of that rate; $BEFORE VM2 is called before.
# A processor that others were given in that very moment looks like a limit that does not hold: one that does not holds
# neither the second time.
moves() {
    moves_once "$@"
    [ $HELD = no ] || return 0
    say '  ... and once more'
    moves_once "$1-again" "${@:2}"
    [ $HELD = yes ] || fail "the guest of $1 stood still for longer than the limit, twice"
}
moves_once() {
    local vm=$1 was
    move_disks "$vm" 16M raw:virtio
    move_vm "$vm" append="$3"
    ${BEFORE:-true} "${vm}2"
    was=$(limits "${vm}2")
    link_rate "$2"
    adit_start "$vm" --downtime-limit $LIMIT
    if [[ $vm == burst* ]]; then bursts "$vm" & fi
    adit_wait 60
    link_rate none
    move_succeeded "$vm" "$vm-twin" raw:virtio
    pause_holds "$vm"
    expect_equal "the limits of $vm there" "$was" "$(limits "$vm-twin")"
    vm_end "$vm-twin"
}
say 'bursts of small writes'
moves burst 20mbit 'ram=4 rate=50 sectors=2048 diskrate=max'
say 'bursts of big ones'
moves burst3 100mbit "$options bulk=3072 diskrate=max"
say '37 writes of 3 MiB a second'
moves big3 200mbit "$options bulk=3072"
say '37 writes of 4 MiB a second, to a disk with limits of its own'
own() { vm_qmp "$1" '{"execute":"block_set_io_throttle","arguments":{"id":"/machine/peripheral/'"${2:-dev0}"'/virtio-backend","bps":900000000,"bps_rd":0,"bps_wr":0,"iops":0,"iops_rd":0,"iops_wr":90000,"group":"own"}}' | jq -e 'has("return")' >/dev/null || fail 'no limits'; }
BEFORE=own moves big4 200mbit "$options bulk=4096"

say 'more at once than the limit allows: that is said, and it is not moved until it fits'
move_disks endless 16M raw:virtio
# one that shares its limits, and is not copied
disk_make "$T/disks/still.raw" raw 1M
cp "$T/disks/still.raw" "$ADIT_IMAGES/"
MOVE_DISKS+=("disk=raw:virtio:$T/disks/still.raw:ro")
move_vm endless append="$options bulk=8192"
own endless2
own endless2 dev1
was=$(limits endless2)
link_rate 50mbit
adit_start endless --downtime-limit $LIMIT
told() { proc_runs migrate || fail 'adit migrate ended'; grep -q '"note".*disk disk0 does not converge' "$T/migrate.json"; }
wait_until 60 'a word that the disk does not converge' told
jq -r 'select(.event == "note").text' "$T/migrate.json" | sed 's/^/  said: /'
expect_equal 'the phase' disks "$(jq -r 'select(.event == "phase").phase' "$T/migrate.json" | tail -n 1)"
paced endless || fail 'its writes are not paced'
[ "$(vm_query endless2 query-block '[.[] | .inserted // empty | .bps_rd] | max')" = 900000000 ] || fail "its reads are held to something else: $(limits endless2)"
still() { vm_query "$1" query-block '[.[] | select(.qdev == "/machine/peripheral/dev1/virtio-backend").inserted | .bps, .bps_wr, .iops_wr, .group] | tojson'; }
expect_equal 'the limits of the drive that is not copied' '[900000000,0,90000,"own"]' "$(still endless2)"
# (8 MiB at 640 KiB a second are 13 s)
raised() { proc_runs migrate || fail 'adit migrate ended'; [ "$(vm_query endless2 query-block '[.[] | .inserted // empty | .bps_wr] | max')" -ge $((4 * 640 * 1024)) ]; }
wait_until 60 'the guest, which waits long for a write, to be let write more' raised

say 'cancelled: the limits are as they were'
proc_kill migrate INT
adit_wait 20
expect_equal 'the limits' "$was" "$(limits endless2)"

say 'killed, and recovered: the limits are as they were'
adit_start endless --downtime-limit $LIMIT
wait_until 60 'the pace' paced endless
adit_record "$(find "$T/state-src/journal" -name '*.json' | head -n 1)" .limits.disks | sed 's/^/  in the journal: /'
proc_kill migrate KILL
adit_wait 5
paced_still() { [ "$(limits endless2)" != "$was" ]; }
paced_still || fail 'nothing is left to be put back'
adit_recover || fail 'adit recover failed'
expect_equal 'the limits' "$was" "$(limits endless2)"

say 'killed, and an adit serve on its host finds it: the limits are as they were'
adit_start endless --downtime-limit $LIMIT
wait_until 60 'the pace' paced endless
proc_kill migrate KILL
adit_wait 5
paced_still || fail 'nothing is left to be put back'
adit_caretaker
expect_equal 'the limits' "$was" "$(limits endless2)"

say 'and with a guest that rests it moves'
guest_quiet endless
link_rate none
adit_migrate endless --downtime-limit $LIMIT
move_succeeded endless endless-twin raw:virtio
! grep -q 'does not converge' "$T/migrate.json" || fail 'it is said not to converge'
expect_equal 'the limits there' "$was" "$(limits endless-twin)"

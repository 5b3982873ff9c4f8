#!/usr/bin/env bash
# On: each QEMU
# Alone
# Limit: 300 s
# Goal: the guest does not stand still while the copies of several disks begin, on a slow line and on a long one: over the whole
# migration its longest gap is the pause of the switchover and little more, and no command that adit sends to QEMU meanwhile
# waits for more than a round trip and one request. A small write of the guest's costs a slow line little.
#
# MANY_SIZE is each disk's. MANY_DISKS="N:RATE:MS ..." tries other cases: so many disks, a rate in tc's words or "none", so many ms each way; "all": the
# whole table of docs/design.md.
. "$(dirname "$0")/lib.sh"

cases='2:10mbit:0 8:10mbit:0 8:none:0 4:none:10 2:none:60'
[ "${MANY_DISKS:-}" != all ] ||
    cases=$(for line in 10mbit:0 100mbit:0 none:0 none:10; do printf "%s:$line " 1 2 4 8; done)
[ -z "${MANY_DISKS:-}" ] || [ "$MANY_DISKS" = all ] || cases=$MANY_DISKS

version=$("$QEMU" --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
# one request of a mirror's, 1 MiB, at that rate
request_ms() {
    case $1 in
    *mbit) echo $((8389 / ${1%mbit})) ;;
    none) echo 0 ;;
    esac
}

# qmp_times: a line for each command that was sent to QEMU while the guest ran: the longest time in ms that one took, and its
# name. (Questions are left out: they wait behind others, and for nothing themselves.)
qmp_times() {
    awk '/QMP: event STOP/ { exit }
        / QMP: [^ ]+ took / && !/query-|qom-/ { if ($(NF - 1) > most[$(NF - 3)] + 0) most[$(NF - 3)] = $(NF - 1) }
        END { for (name in most) printf "%.0f %s\n", most[name], name }' "$T/$MIGRATE.log" | sort -rn
}

# guest_wrote VM: the sectors that its guest has written to its disks so far, all together
guest_wrote() { guest_find "$1" '^HB' | grep -o ' disk[0-9]*=[0-9]*' | awk -F= '{ sum += $2 } END { print sum + 0 }'; }

# copied_little DISKS KIB: a small write, of which the guest made so many KiB, cost a slow line that is short little more than
# itself. (How much is copied at least goes by the round trip, which is long where the machine was busy as it was measured.)
copied_little() {
    local anew
    anew=$((($(jq -s '[.[].disk_total_bytes // empty] | last // 0' "$T/$MIGRATE.json") - $1 * $(numfmt --from=iec "${MANY_SIZE:-4M}")) / 1024))
    say "  $2 KiB written meanwhile, $anew KiB copied anew"
    [ "$anew" -ge 0 ] || fail 'adit migrate did not say how much there was to copy'
    [ "$anew" -le $((2 * $2 + 32 * $1 + 64)) ] && return 0
    said="$1 disks: $anew KiB were copied anew for $2 KiB written"
    return 1
}

# try DISKS RATE MS: moves such a VM; true if the guest's gaps were short enough. What was not is in said.
try() {
    local disks=$1 rate=$2 ms=$3 vm=m$1-$2-$3-$try kinds=() i gap at before pause more=150 waits took command
    for ((i = 0; i < disks; i++)); do
        kinds+=(raw:virtio)
    done
    move_disks "$vm" "${MANY_SIZE:-4M}" "${kinds[@]}"
    move_vm "$vm" append='ram=1 rate=50 sectors=64 spread=0 diskrate=1'
    link_rate "$rate"
    wrote=$(guest_wrote "$vm")
    adit_migrate "$vm" --log-level debug
    link_rate none
    move_succeeded "$vm" "$vm-twin" "${kinds[@]}"
    wrote=$((($(guest_wrote "$vm-twin") - wrote) / 2))
    vm_end "$vm-twin"
    rm -f "$T/disks/$vm"-* "$ADIT_IMAGES/$vm"-*
    read -r gap at before <<<"$(beats_gap "$vm" "$vm-twin")"
    pause=$(adit_last .pause_ms)
    [ "$version" -lt 10 ] || more=$((150 + 4 * ms + $(request_ms "$rate")))
    say "gap: QEMU $version disks=$disks rate=$rate rtt=$((2 * ms)) pause=$pause gap=$gap at=$at before=$before bar=$more stall=$(adit_last .longest_stall_ms) total=$(adit_last .total_ms)"
    say "  commands: $(qmp_times | awk '{ printf "%s%s %s ms", (NR > 1 ? ", " : ""), $2, $1 }')"
    read -r took command <<<"$(qmp_times | head -n 1)"
    waits=$((2 * ms + $(request_ms "$rate")))
    said="$disks disks, $rate, $((2 * ms)) ms of round trip: the guest stood still for $gap ms, $at ms after the start, and for $before ms before the switchover; its pause was $pause ms; $command took $took ms"
    [ "$rate:$ms" != 10mbit:0 ] || copied_little "$disks" "$wrote" || return 1
    # (the guest says nothing in the pause: it is no longer than that gap, give or take when both were stamped)
    [ "$gap" -le $((pause + 2 * more)) ] && [ "$took" -le $((2 * waits + 100)) ] && [ "$before" -le $((2 * more)) ] &&
        [ "$pause" -le $((gap + 50)) ]
}

move_hosts
adit_serve_launch
long=0
for case in $cases; do
    IFS=: read -r disks rate ms <<<"$case"
    if [ "$ms" != "$long" ]; then
        proc_end serve
        link_long "$ms"
        adit_serve_launch
        long=$ms
    fi
    # a machine that was busy is given another chance: what stands still for adit's sake does so each time
    for try in 1 2 3; do
        ! try "$disks" "$rate" "$ms" || continue 2
    done
    fail "$said"
done

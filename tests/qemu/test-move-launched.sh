#!/usr/bin/env bash
# On: each QEMU
# Sanitizers too
# Goal: a running VM moves with all its disks, and the destination launches its twin: one raw disk; a raw and a qcow2
# disk; four, on virtio and on IDE. Nothing is lost, nothing is done twice, QEMU listens nowhere, one TCP connection
# crosses, and nothing is left behind but the VM.
. "$(dirname "$0")/lib.sh"

# launched NAME KIND...
launched() {
    local name=$1
    shift
    say "$# disk(s): $*"
    move_disks "$name" 16M "$@"
    move_vm "$name" append='ram=16 rate=4000 sectors=1024 diskrate=40'
    firewall_reset
    left_mark
    left_clock
    listeners_watch_start
    adit_migrate "$name"
    listeners_watch_end
    move_succeeded "$name" "$name-twin" "$@"
    firewall_expect_connections 1
    # on dst: the images, and the twin with its own folder
    left_nothing "^file $T/images/|$T/run-dst|^process .*$QEMU .*-incoming"
    seen "$name" "$name-twin" $#
    vm_end "$name-twin"
}

# seen NAME TWIN DISKS: what adit vms and adit console on dst say of it
seen() {
    local lines
    in_host dst "$ADIT" vms --run-dir "$T/run-dst" >"$T/vms.out" || fail 'adit vms'
    grep -qE "^$1 +[0-9]+ +running +[-0-9]+ [:0-9]+  $T/run-dst/vms/" "$T/vms.out" || fail "adit vms: $(cat "$T/vms.out")"
    in_host dst "$ADIT" vms "$1" --run-dir "$T/run-dst" >"$T/vms.out" || fail "adit vms $1"
    expect_equal 'the disks that adit vms tells of' "$3" "$(grep -cE "^disk  .* $ADIT_IMAGES/$1-[0-9]" "$T/vms.out")"
    in_host dst "$ADIT" vms "$1" --run-dir "$T/run-dst" --json |
        jq -e --arg dir "$T/run-dst/vms/$1-" '(.dir | startswith($dir)) and .look.status == "running" and
            ([.look.chardevs[] | select(.id == "serial0" and (.open | not))] | length) == 1' >"$T/jq.log" ||
        fail "adit vms --json: $(cat "$T/vms.out")"
    lines=$(guest_lines "$2")
    printf v | in_host dst timeout 20 "$ADIT" console "$1" --run-dir "$T/run-dst" >"$T/console.out" 2>"$T/console.log" &
    guest_wait "$2" '^VERIFY ok' 20 "$lines" >/dev/null
    wait_until 5 'the answer on the console' grep -qa '^VERIFY ok' "$T/console.out"
    kill $! && wait $! || :
    [ ! -s "$T/console.log" ] || fail "adit console: $(cat "$T/console.log")"
    ! in_host dst "$ADIT" console "$1" qmp --run-dir "$T/run-dst" 2>"$T/console.log" || fail 'adit console of a socket that the VM has not'
    expect_equal 'what is said of a socket that it has not' "adit console: VM $1 has no socket \"qmp\"; adit vms $1 lists what it has" "$(cat "$T/console.log")"
    rm "$T"/vms.out "$T"/console.*
}

move_hosts
adit_serve_launch
launched one raw:virtio
launched two raw:virtio qcow2:virtio
launched four raw:ide qcow2:virtio qcow2:ide raw:virtio
firewall_show

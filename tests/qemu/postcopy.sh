# Postcopy: a guest that writes faster than the line carries, and a migration of it that has come to postcopy, with
# seconds' worth of RAM still on the source. Sourced by the tests that need it.
# shellcheck shell=bash

# the twin of a user who may not use userfaultfd cannot do it
postcopy_needed() {
    [ "$(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null)" = 1 ] || [ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 1 ] ||
        skip 'userfaultfd is for root alone here (vm.unprivileged_userfaultfd)'
}

# postcopy_vm NAME [OPTION [FORMAT:BUS]]: one more for the guest, or in place of its own; its disk
postcopy_vm() {
    move_disks "$1" 8M "${3:-raw:virtio}"
    move_vm "$1" mem=96 append="${2:+$2 }ram=64 rate=max sectors=256 diskrate=20"
}

# postcopy_reach VM [OPTION]...: a migration of VM that is in postcopy
postcopy_reach() {
    local vm=$1
    shift
    link_rate 80mbit
    adit_start "$vm" --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20 "$@"
    wait_until 60 'postcopy' postcopy_is_on
}
postcopy_is_on() {
    proc_runs "$MIGRATE" || fail "adit migrate ended early: $(tail -n 1 "$T/$MIGRATE.log")"
    grep -q '"event":"phase","phase":"postcopy"' "$T/$MIGRATE.json"
}

# postcopy_recovered VM: adit recover takes it to its end
postcopy_recovered() {
    local job qmp dir
    job=$(basename "$(ls "$T"/state-src/journal/source-*.json)" .json)
    dir=$(adit_record "$T/state-src/journal/$job.json" .prepared.vm.dir)
    vm_adopt "$1-twin" dst "$dir/qmp.sock" "$dir/serial0.sock" "$dir/serial.log" \
        "$(adit_record "$T/state-src/journal/$job.json" .prepared.vm.pid)"
    link_rate none
    adit_recover || fail 'adit recover failed'
    wait_until 5 "the end of the source's QEMU" proc_gone "$1"
    wait_until 20 'the guest to run there' vm_is "$1-twin" running
    guest_continues "$1" "$1-twin"
    move_checked "$1-twin"
    vm_end "$1-twin"
}

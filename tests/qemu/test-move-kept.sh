#!/usr/bin/env bash
# On: each QEMU
# Goal: --persistent. The destination keeps a script that starts the VM again, and it does, with the disk that came; nothing
# of it is left of a migration that failed, and what was kept before stays then.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

move_hosts
adit_serve_launch
name="it's, a VM"
move_disks a 16M raw:virtio
move_vm a guest="$name" append='ram=16 rate=3000 sectors=1024 diskrate=20'
mkdir -p -m 700 "$T/state-dst/vms"
echo before >"$T/state-dst/vms/$name.sh"
say 'cancelled'
fault_reach a mirror --persistent --max-bandwidth 2M
[ "$(find "$T/state-dst/vms" -type f | wc -l)" = 3 ] || fail "nothing is kept yet: $(ls -A "$T/state-dst/vms")"
left_clock
kill -INT "$(pgrep -f 'adit migrate --qmp' -n)"
fault_ended a 1 'cancel'
expect_equal "the script that was there" before "$(cat "$T/state-dst/vms/$name.sh")"
link_rate none

echo '{"adit": 1, "peer": "other"}' >"$T/state-dst/vms/$name.json"
move_refused 'one of that name that another peer has brought' a 1 'keeps a VM named' -- --persistent
rm "$T/state-dst/vms/$name.json"
adit_migrate a --persistent
move_succeeded a twin raw:virtio
kept=$(tail -n 1 "$T/migrate.json" | jq -r .destination.kept)
expect_equal "the script" "$T/state-dst/vms/$name.sh" "$kept"
expect_equal "its mode" 700 "$(stat -c %a "$kept")"
jq -e '.argv | index("-incoming") == null and index("-S") == null and length > 10' "${kept%.sh}.json" >/dev/null ||
    fail "no words to start it with: $(cat "${kept%.sh}.json")"
jq -e --arg image "$T/images/a-0.raw" '.images == [$image]' "${kept%.sh}.json" >/dev/null || fail "its image is not named"
expect_equal "files" 2 "$(find "$T/state-dst/vms" -type f | wc -l)"
dir=$(jq -r .dir "${kept%.sh}.json")
# once HOW: its script starts no second one, and leaves the first its sockets
once() {
    local is=0
    in_host dst timeout 10 "$kept" >"$T/start.log" 2>&1 || is=$?
    expect_equal "what the script says while it runs ($1)" "VM $name runs already, or is being started: its monitor is $dir/qmp.sock" "$(cat "$T/start.log")"
    expect_equal 'its exit status' 1 "$is"
}
once 'as it arrived'
vm_qmp twin '{"execute":"quit"}' >/dev/null
wait_until 5 "the end of the VM" proc_gone twin
wait_until 5 "the end of its folder" eval '[ ! -e "$dir" ]'

say 'started again'
mkdir -p "$T/again"
proc_start again dst "$kept"
VM_HOST[again]=dst VM_QMP[again]=$dir/qmp.sock VM_SERIAL[again]=$dir/serial0.sock VM_LOG[again]=$dir/serial.log VM_PROC[again]=again
wait_until 10 "its monitor" vm_has_monitor again
guest_ready again
guest_beats_on again
expect_equal "its name" "$name" "$(vm_query again query-name .name)"
expect_equal "the folder's mode" 700 "$(stat -c %a "$dir")"
! in_host dst timeout 10 "$ADIT" start --state-dir "$T/state-dst" -- "$name" >/dev/null 2>"$T/start.log" || fail 'it was started twice'
grep -qF "runs already: its monitor in $dir answers" "$T/start.log" || fail "adit start says: $(cat "$T/start.log")"
once 'from its script'
guest_beats_on again
vm_end again

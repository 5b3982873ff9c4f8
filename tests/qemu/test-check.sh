#!/usr/bin/env bash
# On: each QEMU
# Limit: 300 s
# Goal: adit check tells beforehand what a migration would meet: every check is there, each one that can be provoked
# here is, by its name and level; nothing is made or changed on either side; and what it calls good then succeeds.
. "$(dirname "$0")/lib.sh"

# check_vm VM STATUS [OPTION...]: adit check --json, its lines in $T/check.json; both sides stay as they were
check_vm() {
    local vm=$1 status=$2 is=0
    shift 2
    left_mark
    in_host src "$ADIT" check --qmp "${VM_QMP[$vm]}" "${ADIT_CREDS[@]}" --json --measure-dirty "${MEASURE:-0}" "$@" \
        "$ADIT_DEST" >"$T/check.json" 2>"$T/check.log" || is=$?
    expect_equal "the exit status of adit check $*: $(cat "$T/check.log")$(found error)" "$status" "$is"
    left_clock
    left_nothing
    jq -e -s '(map(select(.event == "finding")) | length > 0 and all(has("check") and has("level") and has("text"))) and
        (last | .event == "checked" and .passed == (.errors == 0)) and
        (last.errors == (map(select(.level == "error")) | length))' "$T/check.json" >"$T/jq.log" 2>&1 ||
        fail "the lines of adit check --json are not as they should be: $(tail -n 2 "$T/check.json")"
}
# found LEVEL [CHECK]: the findings of that level, "check: text: mend"
found() {
    jq -r --arg level "$1" --arg check "${2:-}" 'select(.level == $level and ($check == "" or .check == $check)) |
        "\(.check): \(.text): \(.mend // "")"' "$T/check.json" 2>/dev/null
}
# has LEVEL CHECK REGEX
has() {
    found "$1" "$2" | grep -qiE -- "$3" || fail "no $1 of $2 like '$3', but: $(jq -r '"\(.level) \(.check): \(.text)"' "$T/check.json" |
        grep -E "^(warning|error)| $2:" | paste -sd'|')"
    say "  $1 $2: $(found "$1" "$2" | grep -iE -m 1 -- "$3" | cut -d: -f2- | cut -c1-150)"
}
# only LEVEL...: no errors but of these checks
only() {
    local other
    other=$(found error | cut -d: -f1 | grep -vxE "$(paste -sd'|' <<<"$(printf '%s\n' none "$@")")" || true)
    [ -z "$other" ] || fail "an error of $other: $(found error)"
}
no_block_jobs() { [ "$(vm_query "$1" query-block-jobs length)" = 0 ]; }
serving() {
    proc_end serve
    adit_serve "$@"
}

move_hosts
adit_serve_launch
move_disks a 16M raw:virtio qcow2:virtio
move_vm a append='ram=8 rate=1000 sectors=256 diskrate=20'
true_qmp=${VM_QMP[a]}

say 'a VM that can be moved'
check_vm a 0
for check in monitor state command-line block-jobs blockers host-devices disks bitmaps capabilities connection right-migrate \
    right-launch right-images names launch qemu-version architecture accelerator machine cpu memory images disk-space; do
    [ -n "$(found ok "$check")$(found warning "$check")" ] || fail "nothing about $check"
done
only
say "  $(jq -r -s 'last | "\(.ok) ok, \(.warnings) warnings"' "$T/check.json")"

say 'for people'
in_host src "$ADIT" check --qmp "${VM_QMP[a]}" "${ADIT_CREDS[@]}" --measure-dirty 0 "$ADIT_DEST" >"$T/check.txt"
! grep -qvE '^(ok|warning|error) {1,6} +[a-z-]+ +[^ ]|^$|^0 errors, [0-9]+ warnings?: ' "$T/check.txt" ||
    fail "a line is not aligned: $(grep -vE '^(ok|warning|error) ' "$T/check.txt")"

say 'rights'
serving --allow-forward 'unix:/nothing'
check_vm a 1
has error right-migrate '--allow-migrate'
serving --allow-migrate
check_vm a 1
has error right-launch '--allow-launch'
serving --allow-migrate --allow-launch "$(command -v socat)"
check_vm a 1
has error right-launch "${QEMU##*/}"
ADIT_IMAGES='' serving --allow-migrate --allow-launch "$QEMU"
check_vm a 1
has error right-images '--images'
proc_end serve
check_vm a 1
has error connection 'nobody|refused|reach|connect'
only connection
serving --allow-migrate --allow-launch "$QEMU"

say 'what is on the destination'
qemu-img create -q -f raw "$T/images/a-0.raw" 8M
check_vm a 1
has error images 'a-0.raw.*too small'
rm "$T/images/a-0.raw"
qemu-img create -q -f qcow2 "$T/images/a-1.qcow2" 16M
check_vm a 1
has error images 'a-1.qcow2.*there already'
vm_start user dst disk="qcow2:virtio:$T/images/a-1.qcow2" append='ram=1 disks=none'
check_vm a 1
has error images 'a-1.qcow2.*in use'
vm_end user
rm "$T/images/a-1.qcow2"
check_vm a 1 --copy-storage none
has error images 'a-0.raw.*missing'
mount -t tmpfs -o size=28m,mode=755 none "$T/images"
adit_images
check_vm a 0
has warning disk-space 'may grow'
head -c 20M /dev/zero >"$T/images/else" 2>/dev/null || true
check_vm a 1
has error disk-space 'no space.*free'
umount "$T/images"

say 'QEMU of another version'
other=$(qemus_list | awk -v mine="$QEMU" '$2 != mine { print $2; exit }')
if [ -n "$other" ]; then
    serving --allow-migrate --allow-launch "$other"
    # (which of the two is the system's depends on its release)
    older=$(qemus_list | sort -V | awk 'NR == 1 { print $2 }')
    check_vm a "$([ "$other" = "$older" ] && echo 1 || echo 0)"
    if [ "$other" = "$older" ]; then
        has warning qemu-version 'older'
        has error machine 'pc-i440fx.*not known'
        only machine
        move_refused 'adit migrate says it too' a 1 'pc-i440fx.*not known'
    else
        has ok qemu-version 'on the destination'
    fi
    serving --allow-migrate --allow-launch "$QEMU"
else
    say '  (there is only one)'
fi

say 'what the VM does'
MEASURE=1 check_vm a 0 --max-bandwidth 100M
has ok dirty-rate 'writes'
has ok convergence 'converges'
has ok duration 'about'
# the bitmaps that QEMU stores in the image are the image's, the others are lost
vm_qmp a2 '{"execute":"block-dirty-bitmap-add","arguments":{"node":"disk1","name":"since-monday"}}' >/dev/null
check_vm a 0
has warning bitmaps 'since-monday.*disk1'
vm_qmp a2 '{"execute":"block-dirty-bitmap-remove","arguments":{"node":"disk1","name":"since-monday"}}' >/dev/null
vm_qmp a2 "{\"execute\":\"drive-backup\",\"arguments\":{\"job-id\":\"nightly\",\"device\":\"disk0\",\"sync\":\"full\",\"target\":\"$T/backup.raw\",\"format\":\"raw\",\"speed\":1}}" >/dev/null
check_vm a 1
has error block-jobs nightly
# adit migrate refuses in the same words
adit_migrate a
expect_equal 'the exit status of adit migrate' 1 "$MIGRATE_STATUS"
said_one_line nightly block-job-cancel
vm_qmp a2 '{"execute":"block-job-cancel","arguments":{"device":"nightly","force":true}}' >/dev/null
wait_until 5 'the end of the backup' no_block_jobs a2
rm -f "$T/backup.raw"
vm_qmp a2 '{"execute":"stop"}' >/dev/null
MEASURE=1 check_vm a 0
has ok state 'paused'
has ok dirty-rate 'stands still'
vm_qmp a2 '{"execute":"cont"}' >/dev/null

say 'a monitor that is none'
VM_QMP[a]=$T/nothing.sock
check_vm a 1
has error monitor nothing.sock
has ok connection psk:tester
VM_QMP[a]=$true_qmp

say 'what was good moves, and is a name in use then'
check_vm a 0
only
adit_migrate a
move_succeeded a twin raw:virtio qcow2:virtio
rm -r "${T:?}/a"
move_disks a 16M raw:virtio
move_vm a append='ram=8 rate=1000'
check_vm a 1
has error names '"a" runs on the destination already.*--rename'
check_vm a 1 --rename b
only images
vm_start namesake dst append='ram=1' arg=-name arg=guest=b
check_vm a 1 --rename b
has warning names 'did not launch'
vm_end namesake
vm_end a
vm_end twin
rm -f "$T"/images/a-*

say 'devices that cannot move'
MOVE_DISKS=()
truncate -s 1M "$T/shared.mem"
move_vm odd append='ram=1 rate=100' arg=-object arg="memory-backend-file,id=m1,size=1M,mem-path=$T/shared.mem,share=on" \
    arg=-device arg=ivshmem-plain,memdev=m1,master=off,id=shm0
check_vm odd 1
has warning host-devices 'shm0.*ivshmem'
has error blockers 'ivshmem'
has error launch 'memory-backend-file'
vm_end odd
rm -r "${T:?}/odd"

say 'a guest that writes faster than the path'
move_vm busy mem=96 append='ram=64 rate=max'
MEASURE=1 check_vm busy 1 --max-bandwidth 1M --downtime-limit 1
has error convergence 'does not converge'
MEASURE=1 check_vm busy 0 --max-bandwidth 1M --downtime-limit 1 --auto-converge
has warning convergence 'does not converge'
vm_end busy
rm -r "${T:?}/busy"

say 'a QEMU that waits'
move_disks c 16M raw:virtio
move_vm c append='ram=8 rate=1000'
check_vm c 1 --dest-qmp "/elsewhere/qmp.sock"
has error right-dest-qmp '--allow-dest-qmp'
check_vm c 1 --dest-qmp "$T/c-twin/qmp.sock"
has error waiting 'c-twin'
MOVE_TWIN=(mem=48)
move_twin c-twin 8M raw:virtio
check_vm c 1 --dest-qmp "${VM_QMP[c-twin]}"
has error waiting 'MiB of RAM'
has error drives 'too small'
vm_end c-twin
MOVE_TWIN=(arg=-cpu arg=qemu32)
move_twin c-twin 16M raw:virtio
check_vm c 0 --dest-qmp "${VM_QMP[c-twin]}"
has warning cpu 'qemu32'
vm_end c-twin
MOVE_TWIN=()
vm_start other dst append='ram=1'
check_vm c 1 --dest-qmp "${VM_QMP[other]}"
has error waiting 'does not wait.*incoming defer'
vm_is other running || fail 'the VM that was asked does not run any more'
vm_end other
move_twin c-twin 16M raw:virtio
check_vm c 0 --dest-qmp "${VM_QMP[c-twin]}"
has ok drives disk0
vm_is c-twin inmigrate || fail 'the QEMU that waits does not wait any more'
adit_migrate c --dest-qmp "${VM_QMP[c-twin]}"
move_succeeded c c-twin raw:virtio

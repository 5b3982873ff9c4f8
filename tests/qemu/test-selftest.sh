#!/usr/bin/env bash
# On: each QEMU
# Goal: what the other tests lean on is sound. On each QEMU: the guest runs on through a plain migration with NBD
# mirrors (no adit), finds nothing bad, and the disks are the same; and it does notice a spoilt sector, a spoilt
# page and a page that is out of date. It takes virtio disks with any length of queue, and one that it passes over is no
# disk that was looked at. The watcher notices when two run, however shortly.
. "$(dirname "$0")/lib.sh"

# mirror_and_migrate: A to B by QEMU's own means, over unix sockets, in the order that is clean on all versions
mirror_and_migrate() {
    local i n=$1
    vm_qmp b '{"execute":"nbd-server-start","arguments":{"addr":{"type":"unix","data":{"path":"'"$T"'/nbd.sock"}}}}' \
        "$(capabilities)" '{"execute":"migrate-incoming","arguments":{"uri":"unix:'"$T"'/ram.sock"}}' >/dev/null
    for ((i = 0; i < n; i++)); do
        vm_qmp b '{"execute":"block-export-add","arguments":{"type":"nbd","id":"e'$i'","node-name":"disk'$i'","name":"disk'$i'","writable":true}}' >/dev/null
        vm_qmp a '{"execute":"blockdev-add","arguments":{"node-name":"t'$i'","driver":"nbd","server":{"type":"unix","path":"'"$T"'/nbd.sock"},"export":"disk'$i'"}}' \
            '{"execute":"blockdev-mirror","arguments":{"job-id":"m'$i'","device":"disk'$i'","target":"t'$i'","sync":"full"}}' >/dev/null
    done
    wait_until 60 "the mirrors" mirrors_ready
    vm_qmp a "$(capabilities)" '{"execute":"migrate","arguments":{"uri":"unix:'"$T"'/ram.sock"}}' >/dev/null
    wait_until 60 "pre-switchover" vm_migration_is a pre-switchover
    for ((i = 0; i < n; i++)); do
        "$QMP_CLIENT" -e BLOCK_JOB_COMPLETED "${VM_QMP[a]}" '{"execute":"block-job-cancel","arguments":{"device":"m'$i'"}}' |
            tail -n 1 | jq -e '.data.error == null' >/dev/null || fail "the mirror of disk $i ended with an error"
    done
    vm_qmp b '{"execute":"nbd-server-stop"}' >/dev/null
    vm_qmp a '{"execute":"migrate-continue","arguments":{"state":"pre-switchover"}}' >/dev/null
    wait_until 60 "completed" vm_migration_is a completed
    wait_until 20 "the arrival" vm_is b paused
    vm_qmp b '{"execute":"cont"}' >/dev/null
}
capabilities() {
    echo '{"execute":"migrate-set-capabilities","arguments":{"capabilities":[{"capability":"events","state":true},{"capability":"return-path","state":true},{"capability":"pause-before-switchover","state":true}]}}'
}
mirrors_ready() { [ "$(vm_query a query-block-jobs '[.[] | select(.status != "ready")] | length')" = 0 ]; }

test_migration() {
    local i name kinds=(raw:ide qcow2:virtio qcow2:ide raw:virtio) disks_a=() disks_b=()
    for i in 0 1 2 3; do
        disk_make "$T/a$i" "${kinds[i]%:*}" 16M
        qemu-img create -q -f "${kinds[i]%:*}" "$T/b$i" 16M
        disks_a+=("disk=${kinds[i]}:$T/a$i") disks_b+=("disk=${kinds[i]}:$T/b$i")
    done
    vm_start a src "${disks_a[@]}" append='ram=16 rate=6000 diskrate=40 sectors=1024'
    vm_start b dst "${disks_b[@]}" append='ram=16 rate=6000 diskrate=40 sectors=1024' incoming=1
    guest_ready a
    guest_reaches a pass 2 20
    mirror_and_migrate 4
    guest_continues a b
    guest_beats_on b
    guest_quiet b
    guest_still b
    say "  guest after the migration: $(guest_verify b)"
    for i in 0 1 2 3; do
        name=${kinds[i]%:*}
        disk_same_but_guest "$name" "$T/a$i" "$name" "$T/b$i" "$i" "$(guest_find a '^READY')"
    done
    vm_end b
    # the disks are told apart by what compares them
    disk_spoil "$T/b3" 9
    expect_failure "a spoilt disk compares as the same" disk_same raw "$T/a3" raw "$T/b3"
    expect_failure "a spoilt sector outside the guest's own is not seen" \
        disk_same_but_guest raw "$T/a3" raw "$T/b3" 3 "$(guest_find a '^READY')"
    vm_end a
}

# says_bad VM REGEX: it finds such a thing within some seconds, and tells of it for ever
says_bad() {
    local said
    wait_until 20 "the guest noticing" guest_said "$1" "^BAD $2"
    wait_until 5 "the heartbeat telling" guest_said "$1" "^HB .*BAD $2"
    said=$(guest_find "$1" "^BAD $2")
    expect_failure "guest_good overlooks: $said" guest_good "$1"
    say "  noticed: $said"
    vm_end "$1"
    rm -f "$T/$1/serial.log"
}

test_notices() {
    local ram=$T/ram page=$((2048 * 1024 / 4096 + 77))
    local backed=(arg=-object arg="memory-backend-file,id=ram,size=32M,mem-path=$ram,share=on" machine=pc,memory-backend=ram)
    disk_make "$T/d0" raw 16M
    for bus in ide virtio; do
        vm_start d src disk="raw:$bus:$T/d0" append='ram=1 sectors=256 diskrate=50'
        guest_ready d
        guest_reaches d disk0 300 20
        disk_spoil "$T/d0" "$(($(guest_find d ^READY | sed -E 's/.*:([0-9]+)$/\1/') * 20))"
        says_bad d 'disk=0 lba='
    done
    vm_start p src "${backed[@]}" append='ram=4 rate=2000'
    guest_ready p
    guest_reaches p pass 1 20
    printf x | dd of="$ram" bs=1 seek=$((page * 4096 + 2000)) conv=notrunc status=none
    says_bad p 'page=77 word=500'
    vm_start s src "${backed[@]}" append='ram=4 rate=2000'
    guest_ready s
    guest_reaches s pass 1 20
    dd if="$ram" bs=4096 skip=$page count=1 of="$T/old" status=none
    guest_reaches s pass 3 20
    dd if="$T/old" of="$ram" bs=4096 seek=$page conv=notrunc status=none
    says_bad s 'page=77 word=1 '
}

# test_queues: newer QEMUs than the one here have longer queues
test_queues() {
    local entries said
    for entries in 64 1024; do
        disk_make "$T/q0" raw 8M
        disk_make "$T/q1" qcow2 8M
        vm_start q src disk="raw:virtio:$T/q0" disk="qcow2:virtio:$T/q1" append='ram=1 sectors=256 diskrate=max' \
            arg=-global arg=virtio-blk-pci.queue-size=$entries
        guest_ready q
        # more requests than the queue is long
        guest_reaches q disk0 $((entries * 5)) 60
        guest_quiet q
        guest_still q
        said=$(guest_verify q)
        [[ $said =~ \ disks=2\ disk0=256\ disk1=256$ ]] || fail "it looked at other disks: $said"
        say "  a queue of $entries: $said"
        [ "$entries" != 1024 ] || { disk_spoil "$T/q0" 0 && guest_go q && says_bad q 'disk=0 lba='; }
        vm_end q
        rm -f "$T/q/serial.log"
    done
    # one that the guest has no driver for
    vm_start q src disk="raw:virtio:$T/q0" append='ram=1' arg=-global arg=virtio-blk-pci.disable-legacy=on
    wait_until 20 'the guest' guest_said q '^READY.*[0-9]$'
    expect_failure 'a guest is ready without its disk' guest_ready q
    expect_failure 'a guest is whole without its disk' guest_verify q
    say "  noticed: ${EXPECTED_FAILURE##*FAIL: }"
    vm_end q
}

# watched STATUS: what the watcher ended with
watched() {
    proc_kill watch TERM
    proc_wait watch 5
    expect_equal "the watcher's exit status ($(paste -sd, "$T/watch.log"))" "$1" "$PROC_STATUS"
}
test_watch() {
    local vm
    for vm in x y; do
        vm_start $vm src append='ram=1' arg=-S monitors=2
    done
    watch() { proc_start watch - "$WATCH" -i "$1" source="$T/x/qmp2.sock" destination="$T/y/qmp[2].sock" && sleep 0.2; }
    vm_qmp x '{"execute":"cont"}' >/dev/null
    watch 20
    vm_qmp x '{"execute":"stop"}' >/dev/null
    vm_qmp y '{"execute":"cont"}' >/dev/null
    sleep 0.1
    watched 0
    # between two looks, by QEMU's own times
    watch 60000
    vm_qmp x '{"execute":"cont"}' '{"execute":"stop"}' >/dev/null
    sleep 0.1
    watched 3
    vm_qmp x '{"execute":"cont"}' >/dev/null
    watch 20
    watched 3
    say "  noticed: $(grep -m 1 'TWO RUN' "$T/watch.log")"
    vm_end x
    vm_end y
}

hosts_make
firewall_make
listeners_watch_start
test_migration
listeners_watch_end
test_notices
test_queues
test_watch
firewall_expect_connections 0
expect_equal "QEMU processes left" "" "$(proc_list qemu-system)"

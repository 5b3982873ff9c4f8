#!/usr/bin/env bash
# On: each QEMU
# Goal: what was plugged into a VM since its start, and out of it, is so in its twin: disks with nodes of their own, a
# controller with a disk on it, a NIC, a DIMM with its memory, a CPU, a USB device, each in its place, and what the disks hold;
# and so it is back where it came from, with QEMU as another user there and here. What has no name stays a refusal.
. "$(dirname "$0")/lib.sh"

qmp_ok() { vm_qmp one "$1" >"$T/qmp.json" || fail "QEMU refuses $1: $(cat "$T/qmp.json")"; }
plug() { qmp_ok "{\"execute\":\"device_add\",\"arguments\":{$1}}"; }
node() { qmp_ok "{\"execute\":\"blockdev-add\",\"arguments\":{$1}}"; }

# inventory VM: what it has, and where, without the names of files' folders
inventory() {
    vm_query "$1" query-pci '.[].devices[] | [.slot, .function, .class_info.class, .id.device, .qdev_id] | @json'
    vm_query "$1" query-block '.[] | select(.inserted) | [.qdev, .inserted["node-name"], .inserted.drv, (.inserted.file | sub(".*/"; "")), .inserted.cache] | @json' | sort
    vm_query "$1" query-memory-devices '.[] | [.type, .data.id, .data.slot, .data.addr, .data.size, .data.memdev] | @json'
    vm_query "$1" query-hotpluggable-cpus '.[] | select(."qom-path") | .props | @json'
    vm_qmp "$1" '{"execute":"human-monitor-command","arguments":{"command-line":"info usb"}}' | jq -r .return | sed 's/Device [0-9.]*,//'
    peripheral "$1" | sort
}
# peripheral VM: names and types of its devices
peripheral() {
    vm_qmp "$1" '{"execute":"qom-list","arguments":{"path":"/machine/peripheral"}}' | jq -r '.return[] | "\(.name) \(.type)"'
}

# same AS VM HOST: that one, there, has what is in $T/inventory.AS; its tap is in the bridge, its disks are what they were
same() {
    local image here=$T/disks there=$T/images
    [ "$3" = dst ] || here=$T/images there=$T/disks
    inventory "$2" >"$T/inventory.twin"
    diff "$T/inventory.$1" "$T/inventory.twin" >"$T/diff" || fail "the twin differs: $(cat "$T/diff")"
    for image in plain.raw scsi.raw far.raw; do
        cmp "$here/$image" "$there/$image" || fail "$image is not what it was"
    done
    qemu-img compare -q -U "$here/cow.qcow2" "$there/cow.qcow2" || fail 'cow.qcow2 is not what it was'
    in_host "$3" ip -o link show type tun | grep -q 'adit.*master lan0' || fail "the NIC that was plugged in is in no bridge on $3"
    vm_qmp "$2" '{"execute":"human-monitor-command","arguments":{"command-line":"info network"}}' | jq -r .return |
        grep -q 'slirp: index=0,type=user' || fail 'the user network that was plugged in is not there'
    expect_equal 'the user of its QEMU' "$LAUNCH_UID" "$(stat -c %u "/proc/${PROC_PID[$2]}")"
}

adit_launch_user
move_hosts both
for host in src dst; do
    in_host $host ip link add lan0 type bridge && in_host $host ip link set lan0 up || fail "a bridge on $host"
done
in_host src ip tuntap add dev late0 mode tap vnet_hdr
in_host src ip link set late0 master lan0 up
adit_serve_launch --allow-networks lan0 ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
adit_serve_back --allow-networks lan0 ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
move_disks one 16M raw:virtio
for image in old plain scsi far; do
    qemu-img create -q -f raw "$T/disks/$image.raw" 4M
    qemu-io -f raw -c "write -q -P 0x5${#image} 1M 1M" "$T/disks/$image.raw"
done
qemu-img create -q -f qcow2 "$T/disks/cow.qcow2" 8M
qemu-io -f qcow2 -c 'write -q -P 0x77 3M 1M' "$T/disks/cow.qcow2"
move_vm one mem=32,maxmem=512M,slots=4 append='ram=16 rate=2000 sectors=1024 diskrate=40' arg=-smp arg=1,sockets=3,maxcpus=3 \
    arg=-device arg=virtio-scsi-pci,id=s0 arg=-device arg=qemu-xhci,id=xhci \
    arg=-drive arg="if=none,id=old,file=$T/disks/old.raw,format=raw" arg=-device arg=scsi-hd,drive=old,id=old0 \
    arg=-device arg=usb-tablet,id=tab0 arg=-device arg=usb-kbd,id=kbd0 arg=-device arg='{"driver":"usb-mouse","id":"mouse0"}'

say 'plugged out and in'
qmp_ok '{"execute":"device_del","arguments":{"id":"old0"}}'
wait_until 5 'the end of old0' eval '! peripheral one | grep -q "^old0 "'
qmp_ok '{"execute":"device_del","arguments":{"id":"tab0"}}'
wait_until 5 'the end of tab0' eval '! peripheral one | grep -q "^tab0 "'
node "\"driver\":\"raw\",\"node-name\":\"plain\",\"file\":{\"driver\":\"file\",\"filename\":\"$T/disks/plain.raw\"}"
plug '"driver":"virtio-blk-pci","drive":"plain","id":"plain0","serial":"hot","bus":"pci.0","addr":"0x11"'
node "\"driver\":\"file\",\"node-name\":\"cow-file\",\"filename\":\"$T/disks/cow.qcow2\",\"cache\":{\"no-flush\":true}"
node '"driver":"qcow2","node-name":"cow","file":"cow-file","cache":{"no-flush":true}'
plug '"driver":"scsi-hd","drive":"cow","id":"cow0","bus":"s0.0","lun":5'
node "\"driver\":\"raw\",\"node-name\":\"scsi\",\"file\":{\"driver\":\"file\",\"filename\":\"$T/disks/scsi.raw\"}"
plug '"driver":"usb-storage","drive":"scsi","id":"stick","bus":"xhci.0"'
node "\"driver\":\"raw\",\"node-name\":\"far\",\"file\":{\"driver\":\"file\",\"filename\":\"$T/disks/far.raw\"}"
plug '"driver":"virtio-scsi-pci","id":"s1"'
plug '"driver":"scsi-hd","drive":"far","id":"far0","bus":"s1.0"'
plug '"driver":"virtio-net-pci","id":"nic1","mac":"52:54:00:aa:bb:cc"'
qmp_ok '{"execute":"netdev_add","arguments":{"type":"tap","id":"late","ifname":"late0","script":"no","downscript":"no"}}'
plug '"driver":"virtio-net-pci","id":"nic2","mac":"52:54:00:aa:bb:cd","netdev":"late"'
qmp_ok '{"execute":"netdev_add","arguments":{"type":"user","id":"slirp"}}'
plug '"driver":"e1000","id":"nic3","mac":"52:54:00:aa:bb:ce","netdev":"slirp"'
qmp_ok '{"execute":"object-add","arguments":{"qom-type":"memory-backend-ram","id":"more","size":67108864}}'
plug '"driver":"pc-dimm","id":"dimm1","memdev":"more"'
plug '"driver":"qemu64-x86_64-cpu","id":"cpu2","socket-id":2,"core-id":0,"thread-id":0'
inventory one >"$T/inventory.one"

adit_migrate one
move_succeeded one one-twin raw:virtio
[ "$(grep -c . "$T/inventory.one")" -gt 25 ] || fail "nothing was compared: $(cat "$T/inventory.one")"
same one one-twin dst
[ ! -e "$T/images/old.raw" ] || fail 'the disk that was plugged out has been copied'

say 'and back'
# (the images of before are there still: what was in them must not be)
for image in one-0 plain scsi far; do
    qemu-io -f raw -c 'write -q -P 0xee 0 4M' "$T/disks/$image.raw"
done
adit_turn dst
vm_keep_log one-twin
adit_migrate one-twin
move_succeeded one-twin one-back
same one one-back src
disk_same_but_guest raw "$T/images/one-0.raw" raw "$T/disks/one-0.raw" 0 "$(guest_find one '^READY')"
wait_until 5 'the end of the tap on dst' eval '[ -z "$(in_host dst ip -o link show type tun)" ]'
vm_end one-back
adit_turn src

say 'what has no name'
move_disks two 8M raw:virtio
move_vm two append='ram=8 rate=1000 sectors=64 diskrate=20'
vm_qmp two '{"execute":"device_add","arguments":{"driver":"virtio-net-pci"}}' >"$T/qmp.json"
adit_migrate two
expect_equal 'the exit status of adit migrate' 1 "$MIGRATE_STATUS"
tail -n 1 "$T/migrate.log" | grep -q 'device virtio-net-pci was plugged in after' || fail "what adit says: $(tail -n 1 "$T/migrate.log")"
move_runs_on two

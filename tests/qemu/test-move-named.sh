#!/usr/bin/env bash
# On: each QEMU
# Goal: names. --rename gives the VM its name on the destination, launched or attached; a name that a VM there has is
# refused, also by another adit serve; --disks takes a disk by any of its names, and says which there are.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
options='append=ram=8 rate=1000 sectors=512 diskrate=20'

say '--rename, launched'
move_disks a 8M raw:virtio
move_vm a guest=web "$options"
adit_migrate a --rename 'web, two'
move_succeeded a a-twin raw:virtio
expect_equal "the name on the destination" 'web, two' "$(vm_query a-twin query-name .name)"
case ${VM_QMP[a-twin]} in
*/vms/web__two-*/qmp.sock) ;;
*) fail "the private folder is not named so: ${VM_QMP[a-twin]}" ;;
esac

move_disks b 8M raw:virtio raw:ide
move_vm b guest='web, two' "$options"
move_refused 'a name that a VM has there' b 1 'web, two' '--rename'
proc_end serve
adit_serve_launch
move_refused 'and that another adit serve has started' b 1 'web, two' '--rename'
proc_end a-twin
expect_equal "the status of a renaming with a /" 2 "$(adit_migrate b --rename a/b; echo "$MIGRATE_STATUS")"
# one that waits there says its name itself
MOVE_TWIN=(guest=other "$options")
move_twin b-twin 8M raw:virtio raw:ide
move_refused 'another name than that of the QEMU that waits' b 1 '"other"' 'new' \
    -- --rename new --dest-qmp "${VM_QMP[b-twin]}"

say '--disks: an unknown one'
adit_migrate b --disks disk0,nope
expect_equal "the exit status" 2 "$MIGRATE_STATUS"
said_one_line 'nope' 'disk0' 'dev0' 'disk1' 'dev1'
guest_beats_on b 4

say '--disks by device id, and by file name'
ln -f "$T/disks/b-0.raw" "$T/dst/b-twin-0.raw"
move_refused 'the very image that the source uses' b 1 'very image' -- --dest-qmp "${VM_QMP[b-twin]}"
proc_end b-twin
move_twin b-twin 8M raw:virtio raw:ide
adit_migrate b --disks dev0,b-1.raw --rename other --dest-qmp "${VM_QMP[b-twin]}"
move_succeeded b b-twin raw:virtio raw:ide
vm_end b-twin

#!/usr/bin/env bash
# On: each QEMU
# Goal: Ctrl-C and SIGTERM cancel adit migrate in both phases: one line, status 1, the VM runs on, the destination is as it
# was before, also one that waits with --dest-qmp: it still waits, and can be migrated to.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

# cancelled PHASE SIGNAL [OPTION]...
cancelled() {
    local phase=$1 signal=$2
    shift 2
    say "SIG$signal, phase $phase $*"
    fault_reach a "$phase" "$@"
    proc_kill migrate "$signal"
    left_clock
    fault_ended a 1 'cancel|interrupt|signal'
}

move_hosts
adit_serve_launch --overwrite-images
fault_vm a
# an image that was there stays
qemu-img create -q -f raw "$T/images/a-0.raw" 64M
cancelled mirror INT
rm "$T/images/a-0.raw"
cancelled mirror TERM
cancelled ram INT
cancelled ram TERM

MOVE_TWIN=(append='ram=16 rate=3000 sectors=1024 diskrate=20')
move_twin waiting 64M raw:virtio
cancelled mirror INT --dest-qmp "${VM_QMP[waiting]}"
expect_equal 'the state of the QEMU that waits' inmigrate "$(vm_status waiting)"
expect_equal 'exports left in it' 0 "$(vm_query waiting query-block-exports length)"
fault_retry a waiting --dest-qmp "${VM_QMP[waiting]}"

#!/usr/bin/env bash
# Goal: a VM that cannot be moved as it is is told apart before anything happens, with the option that is in the way by
# its name; a monitor that is missing, busy or none at all, likewise; options that cannot go together end with 2.
. "$(dirname "$0")/lib.sh"

# device WHAT REGEX WORD...: a VM with such words on its command line
device() {
    local what=$1 regex=$2 words=() word
    shift 2
    for word; do
        words+=("arg=$word")
    done
    MOVE_DISKS=()
    move_vm odd append='ram=1 rate=100' "${words[@]}"
    move_refused "$what" odd 1 "$regex"
    vm_end odd
    rm -rf "${T:?}/odd"
}

# misused WHAT REGEX WORD...: adit migrate with just these words
misused() {
    local what=$1 regex=$2
    shift 2
    say "$what:"
    : >"$T/misuse.json"
    MIGRATE=misuse
    proc_start misuse src "$ADIT" migrate "$@"
    adit_wait 10
    expect_equal 'the exit status' 2 "$MIGRATE_STATUS"
    said_one_line "$regex"
    MIGRATE=migrate
}

move_hosts
adit_serve_launch
in_host src ip tuntap add dev tap0 mode tap 2>/dev/null || say 'note: no tap device can be made here'
! in_host src ip link show tap0 >/dev/null 2>&1 ||
    device 'a tap device' 'netdev.*tap|tap.*netdev' -netdev tap,id=n0,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=n0
mkdir "$T/folder"
device 'a shared folder' 'virtfs|fsdev' -virtfs "local,path=$T/folder,mount_tag=t,security_model=none"
device 'a memory file of the host' 'memory-backend-file' -object "memory-backend-file,id=m1,size=1M,mem-path=$T/folder/mem,share=on"
device "a device of the host as a chardev" 'chardev|/dev/' -chardev serial,id=c1,path=/dev/ptmx -device isa-serial,chardev=c1,index=1
device 'an unknown firmware file' 'option-rom' -option-rom "$GUEST_ELF"

move_disks a 8M raw:virtio
move_vm a append='ram=8 rate=1000 sectors=256 diskrate=20'
true_qmp=${VM_QMP[a]}
monitor() {
    local what=$1
    VM_QMP[a]=$2
    shift 2
    say "$what:"
    left_mark
    adit_start a
    adit_wait 20
    expect_equal 'the exit status' 1 "$MIGRATE_STATUS"
    VM_QMP[a]=$true_qmp
    said_one_line "$@"
    left_clock
    move_runs_on a2
    left_nothing
}
monitor 'no monitor there' "$T/nothing.sock" nothing.sock
monitor 'a socket that is no monitor' "${VM_SERIAL[a]}" serial.sock 'monitor|QMP'
proc_start holder - socat -u "UNIX-CONNECT:$true_qmp" "CREATE:$T/holder.log"
wait_until 5 'the holder of the monitor' grep -q QMP "$T/holder.log"
monitor 'a monitor that somebody else has' "$true_qmp" qmp.sock 'busy|another|answer'
proc_end holder
printf 'hello\n' >"$T/file"
monitor 'a file instead of a socket' "$T/file" "$T/file"

psk=(--psk "$T/psk") qmp=(--qmp "$true_qmp")
misused 'no destination' 'dest' "${qmp[@]}" "${psk[@]}"
misused 'no monitor' '--qmp' "${psk[@]}" "$ADIT_DEST"
misused 'no credentials' '--psk' "${qmp[@]}" "$ADIT_DEST"
misused 'two kinds of credentials' '--psk.*--tls-creds|--tls-creds.*--psk' "${qmp[@]}" "${psk[@]}" --tls-creds "$T" "$ADIT_DEST"
misused '--insecure with TLS' '--insecure' "${qmp[@]}" --insecure "$ADIT_DEST"
misused 'plain without --insecure' '--insecure' "${qmp[@]}" "tcp://$DST_IP"
misused 'another scheme' 'gopher' "${qmp[@]}" "${psk[@]}" "gopher://$DST_IP"
misused 'a rate that is none' 'max-bandwidth|quick' "${qmp[@]}" "${psk[@]}" --max-bandwidth quick "$ADIT_DEST"
misused 'a downtime that is none' 'downtime-limit|soon' "${qmp[@]}" "${psk[@]}" --downtime-limit soon "$ADIT_DEST"
misused 'an unknown option' '--fast' "${qmp[@]}" "${psk[@]}" --fast "$ADIT_DEST"

say 'a disk that is not there:'
adit_start a --disks nodisk
adit_wait 10
[ "$MIGRATE_STATUS" != 0 ] || fail 'it was not refused'
said_one_line nodisk
guest_quiet a
guest_still a
say "  guest on src: $(guest_verify a)"
guest_go a
adit_migrate a
move_succeeded a twin raw:virtio

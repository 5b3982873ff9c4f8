# Folders of adit's that become full, read-only, or vanish, at a moment that the test names. Each is a small file system of
# its own in the test's mounts, so that nothing else is. Sourced by the tests that need it.
# shellcheck shell=bash

# folder_of HOST state|run|images: where that folder of adit's is
folder_of() {
    case $2.$1 in
    state.*) printf '%s\n' "$T/state-$1" ;;
    run.dst) printf '%s\n' "$T/run-dst" ;;
    run.src) printf '%s\n' /run ;; # (/run/adit-JOB is made anew for each job)
    images.dst) printf '%s\n' "$ADIT_IMAGES" ;;
    *) fail "folder_of: $1 has no folder $2" ;;
    esac
}

# folder_make PATH [SIZE]: a file system of that size (1m), before any adit runs
folder_make() {
    mkdir -p "$1"
    mount -t tmpfs -o "size=${2:-1m},mode=700" none "$1"
}

# folder_fill PATH: somebody has taken all the room, for bytes and for names; folder_empty PATH: and has given it back
folder_fill() {
    head -c 1G /dev/zero >"$1/.somebody-else's" 2>/dev/null || true
    [ "$(df --output=avail "$1" | tail -n 1)" -eq 0 ] || fail "$1 is not full"
}
folder_empty() { rm -f "$1/.somebody-else's"; }

# folder_read_only PATH: nothing can be made, opened for writing, or removed in it; what is open stays so, as where a file
# system turns read-only. folder_writable PATH: as before
folder_read_only() {
    mount --bind "$1" "$1"
    mount -o remount,bind,ro "$1"
}
folder_writable() { umount -l "$1"; }

# folder_remove PATH: it is gone with all that is in it. folder_break PATH: likewise, and it cannot be made again, as somebody has
# a file there; folder_mend PATH: that one is gone.
folder_remove() {
    find "$1" -mindepth 1 -delete
    ! mountpoint -q "$1" || umount -l "$1"
    rm -rf "$1" # (and what lay below that)
}
folder_break() {
    folder_remove "$1"
    touch "$1"
}
folder_mend() { rm "$1"; }

# folder_fault HOST WHAT full|read-only|removed|broken, and folder_mended, which takes the same words
folder_fault() {
    local path
    path=$(folder_of "$1" "$2")
    case $3 in
    full) folder_fill "$path" ;;
    read-only) folder_read_only "$path" ;;
    removed) folder_remove "$path" ;;
    broken) folder_break "$path" ;;
    *) fail "folder_fault: $3 is not known" ;;
    esac
    say "  the $2 folder of $1: $3"
}
folder_mended() {
    local path
    path=$(folder_of "$1" "$2")
    case $3 in
    full) folder_empty "$path" ;;
    read-only) folder_writable "$path" ;;
    removed) ;;
    broken) folder_mend "$path" ;;
    esac
    say "  the $2 folder of $1 is as it was"
}

# folder_vm VM: small, and at work
folder_vm() {
    move_disks "$1" 8M raw:virtio
    move_vm "$1" append='ram=8 rate=500 sectors=64 diskrate=20'
}
# folder_at POINT VM [OPTION]...: a migration that stands at that point, of a process with state folders of their own
folder_at() {
    local point=$1 vm=$2
    shift 2
    STOPPED=serve
    [[ $point != s-* ]] || STOPPED=migrate
    proc_end serve
    for side in src dst; do
        mountpoint -q "$T/state-$side" || folder_make "$T/state-$side"
    done
    if [ $STOPPED = serve ]; then
        ADIT_STOP_AT=$point adit_serve_launch
        adit_start "$vm" "$@"
    else
        adit_serve_launch
        ADIT_STOP_AT=$point adit_start "$vm" "$@"
    fi
    wait_until 60 "$STOPPED to stop at $point" proc_stopped $STOPPED
}
# folder_on: the one that was stopped goes on
folder_on() { proc_kill $STOPPED CONT; }
# folder_moved VM: it has, and nothing is left in the journals
folder_moved() {
    adit_wait 60
    move_succeeded "$1" "$1-twin" raw:virtio
    vm_end "$1-twin"
    [ -z "$(find "$T"/state-*/journal -name '*.json')" ] || fail "a record is left: $(find "$T"/state-*/journal)"
}
# folder_said WHAT FILE REGEX MAX: it was said, and not more often than that
folder_said() {
    local n
    n=$(grep -ciE "$3" "$2" || true)
    [ "$n" -ge 1 ] || fail "$1 did not say '$3'"
    [ "$n" -le "$4" ] || fail "$1 said it $n times: $3"
}

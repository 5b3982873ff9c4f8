# Folders of either side that are full, read-only or removed in the middle of a migration. Sourced by kill.sh.
# shellcheck shell=bash disable=SC2034

# the row of a cell names the folder
declare -A KILL_FOLDERS=([source-state]=$T/state-src [destination-state]=$T/state-dst [source-run]=/run/adit
    [destination-run]=$T/run-dst [destination-images]=$ADIT_IMAGES)
# how long it stays so; one that was removed is not put back
KILL_FOLDER_S=4

# kill_folder_make ROW FAULT: before anything is there, a file system of its own where it is to become full: room for what
# a migration needs and little more
kill_folder_make() {
    local size=256k
    KILL_FOLDER=${KILL_FOLDERS[$1]:-}
    [ -n "$KILL_FOLDER" ] && [ "$2" = full ] || return 0
    [ "$1" != destination-images ] || size=18m
    mkdir -p "$KILL_FOLDER"
    mount -t tmpfs -o "size=$size,nr_inodes=64,mode=$(stat -c %a "$KILL_FOLDER")" none "$KILL_FOLDER" ||
        fail "no file system can be mounted at $KILL_FOLDER"
    [ "$1" != destination-images ] || adit_images
    [ "$1" != destination-run ] || mkdir -m 700 "$KILL_FOLDER/vms"
}

# kill_folder_fault FAULT
kill_folder_fault() {
    local i
    case $1 in
    full)
        mkdir -p "$KILL_FOLDER"
        dd if=/dev/zero of="$KILL_FOLDER/filler" bs=4k status=none 2>/dev/null || true
        # neither bytes nor names
        for ((i = 0; i < 64; i++)); do
            { : >"$KILL_FOLDER/filler.$i"; } 2>/dev/null || break
        done
        [ "$(($(df --output=avail -B1 "$KILL_FOLDER" | tail -n 1)))" = 0 ] || fail "$KILL_FOLDER is not full"
        ;;
    read-only)
        # (what is open by now stays writable, as it does where somebody else's mount is in the way)
        mount --bind "$KILL_FOLDER" "$KILL_FOLDER" && mount -o remount,bind,ro "$KILL_FOLDER" ||
            fail "$KILL_FOLDER cannot be made read-only"
        ;;
    removed)
        case $KILL_FOLDER in
        # what a VM has open there is looked at in the end
        "$T"/run-dst | "$ADIT_IMAGES") mv "$KILL_FOLDER" "$T/gone-${KILL_FOLDER##*/}" ;;
        *) rm -rf "$KILL_FOLDER" ;;
        esac
        ;;
    esac
}
kill_folder_mend() {
    sleep "$KILL_FOLDER_S"
    case $1 in
    full) rm -f "$KILL_FOLDER"/filler* ;;
    read-only) umount -l "$KILL_FOLDER" || fail "$KILL_FOLDER stays read-only" ;;
    removed) ;;
    esac
}

kill_folder_clear() { [ -z "$KILL_FOLDER" ] || ! mountpoint -q "$KILL_FOLDER" || umount -l "$KILL_FOLDER"; }

# kill_path PATH: where that is by now
kill_path() {
    local gone=${1#"$T"/}
    if [ -e "$1" ] || ! compgen -G "$T/gone-$gone" >/dev/null; then echo "$1"; else echo "$T/gone-$gone"; fi
}

#!/bin/sh
# An example for adit serve --launch-hook (docs/launch-hook.md): copy it and make it yours.
#
# Each VM that may come has a file VMS/NAME.args with QEMU's options, a word a line, the same as on the host that it
# comes from, with this host's own paths. Monitor and -incoming are added here. Its disks are made in IMAGES, under the
# names that they have at the source; {dir} in an option is a private folder, for sockets and logs. What is there already is never overwritten. Needs jq, qemu-img.
set -eu
qemu=${ADIT_HOOK_QEMU:-/usr/bin/qemu-system-x86_64}
vms=${ADIT_HOOK_VMS:-/etc/adit/vms}
images=${ADIT_HOOK_IMAGES:-/var/lib/vms}

# the last line on standard error is what the person who moves the VM reads
die() {
    echo "$*" >&2
    exit 1
}

vm=$(cat)
get() { printf '%s' "$vm" | jq -er "$1"; }
name=$(get .name)
dir=$(get .dir)

case ${1:-} in
launch)
    case $name in
    '' | .* | */*) die "no VM here is called \"$name\"" ;;
    esac
    [ -r "$vms/$name.args" ] || die "there is no $vms/$name.args on this host"
    # what a peer says names no place here: only the last part of a path is used
    printf '%s' "$vm" | jq -r '.disks[] | select(.copy) | [(.file | split("/")[-1]), .format, .size] | @tsv' |
        while IFS='	' read -r file format size; do
            case $file in
            '' | . | ..) die "\"$file\" is no image's name" ;;
            esac
            case $format in
            raw | qcow2) ;;
            *) die "images of format $format are not made here" ;;
            esac
            [ ! -e "$images/$file" ] || die "$images/$file is there already"
            echo "$images/$file" >>"$dir/made"
            qemu-img create -q -f "$format" -- "$images/$file" "$size" >&2
        done
    set --
    while IFS= read -r word; do
        case $word in
        '' | '#'*) ;;
        *) set -- "$@" "$word" ;;
        esac
    done <<ARGS
$(sed "s|{dir}|$dir|g" "$vms/$name.args")
ARGS
    "$qemu" "$@" -qmp "unix:$dir/qmp.sock,server=on,wait=off" -incoming defer -S -daemonize -pidfile "$dir/qemu.pid" >&2
    printf '{"qmp": "%s"}\n' "$dir/qmp.sock"
    ;;
undo)
    # whatever there is of it: launch may have come to nothing, or be killed half-way
    if [ -e "$dir/qemu.pid" ]; then
        pid=$(cat "$dir/qemu.pid")
        kill -9 "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    fi
    [ ! -e "$dir/made" ] || while IFS= read -r file; do rm -f -- "$file"; done <"$dir/made"
    ;;
*)
    die "usage: $0 launch|undo, with a VM's description as JSON on standard input"
    ;;
esac

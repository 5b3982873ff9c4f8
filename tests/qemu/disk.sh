# Images.
# shellcheck shell=bash

# disk_make PATH FORMAT SIZE: a new image, three quarters of it filled, each MiB with a byte of its own
disk_make() {
    local bytes mib i commands=()
    mkdir -p "$(dirname "$1")"
    qemu-img create -q -f "$2" "$1" "$3" || fail "the image $1 cannot be made"
    bytes=$(qemu-img info --output=json "$1" | jq '."virtual-size"')
    mib=$((bytes / 1048576 * 3 / 4))
    for ((i = 0; i < mib; i++)); do
        commands+=(-c "write -q -P $((i % 255 + 1)) ${i}M 1M")
    done
    [ "$mib" = 0 ] || qemu-io -t unsafe -f "$2" "${commands[@]}" "$1" || fail "the image $1 cannot be filled"
}

# disk_luks WORD...: qemu-img with these words, which make or change a key slot. It measures how much work that can be by its
# processor time, and gives up where the host is so busy that this says nothing.
disk_luks() {
    local try said=$T/luks.$BASHPID
    for ((try = 0; try < 100; try++)); do
        qemu-img "$@" 2>"$said" && return
        grep -q 'accurate CPU usage' "$said" || break
    done
    fail "qemu-img $1: $(cat "$said")"
}

# disk_same FORMAT A FORMAT B: byte for byte, whatever the formats, also while a QEMU has them open
disk_same() {
    local said
    said=$(qemu-img compare -U -f "$1" -F "$3" "$2" "$4" 2>&1) || fail "${2##*/} and ${4##*/} differ: $said"
}

# disk_same_but_guest FORMAT A FORMAT B DISK READY: the same but for sectors of the guest's own chunks, which it
# checks itself. DISK is its number, READY the guest's READY line, which tells where those chunks lie.
disk_same_but_guest() {
    local chunks stride length n raw=()
    IFS=: read -r _ _ chunks stride length <<<"$(sed -nE "s/.* disk$5=([^ ]+).*/\1/p" <<<"$6")"
    for n in 1 2; do
        qemu-img convert -U -f "$1" -O raw "$2" "$T/compare.$n" || fail "$2 cannot be read"
        raw+=("$T/compare.$n")
        shift 2
    done
    [ "$(stat -c %s "${raw[0]}")" = "$(stat -c %s "${raw[1]}")" ] || fail "the sizes of disk $1 differ"
    n=$({ cmp -l "${raw[@]}" || true; } | awk -v chunks="$chunks" -v stride="$stride" -v len="${length:-8}" '
        { sector = int(($1 - 1) / 512); if (sector >= chunks * stride || sector % stride >= len) { print sector; exit } }')
    rm -f "${raw[@]}"
    [ -z "$n" ] || fail "disk $1 differs in sector $n, which the guest never wrote"
}

# disk_spoil PATH SECTOR: turns over a byte of a raw image behind everybody's back
disk_spoil() {
    local offset=$(($2 * 512 + 100)) byte
    byte=$(od -An -tu1 -j "$offset" -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((byte ^ 255)))" | dd of="$1" bs=1 seek="$offset" conv=notrunc status=none
}

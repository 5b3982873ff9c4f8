#!/usr/bin/env bash
# Builds the Linux guest: build.sh FOLDER makes FOLDER/vmlinuz and FOLDER/initrd. The kernel comes from Debian's
# package for clouds, which is downloaded and unpacked, not installed; the initramfs holds one static program.
set -euo pipefail
out=${1:?usage: build.sh FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

modules='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk virtio_mem failover net_failover dimlib virtio_net'
# anew where an earlier one took other modules
if [ "$(cat "$out/.kernel" 2>/dev/null)" != "$modules" ]; then
    package=$(apt-cache depends --no-recommends linux-image-cloud-amd64 2>/dev/null |
        sed -nE 's/^ *Depends: (linux-image-[0-9].*)/\1/p' | head -n 1)
    [ -n "$package" ] || { echo "apt does not know the package linux-image-cloud-amd64"; exit 1; }
    (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" >log 2>&1) ||
        { echo "$package cannot be downloaded: $(tail -n 1 "$work/log")"; exit 1; }
    dpkg -x "$work"/*.deb "$work/root"
    rm -f "$out"/{vmlinuz,initrd} "$out"/*.ko
    for m in $modules; do
        # newer kernels have theirs compressed; one that is built in has no file
        file=$(find "$work/root" -name "$m.ko" -o -name "$m.ko.xz" -o -name "$m.ko.zst" | head -n 1)
        case $file in
        *.ko) cp "$file" "$out/$m.ko" ;;
        *.xz) xz -dc "$file" >"$out/$m.ko" || { echo 'its modules are compressed, and xz is not installed'; exit 1; } ;;
        *.zst) zstd -qdc "$file" >"$out/$m.ko" || { echo 'its modules are compressed, and zstd is not installed'; exit 1; } ;;
        # (what only newer kernels' virtio_net stands on)
        *) [ "$m" = dimlib ] || find "$work/root" -name modules.builtin -exec grep -q "/$m.ko$" {} + || { echo "$package has no $m"; exit 1; } ;;
        esac
    done
    cp "$work"/root/boot/vmlinuz-* "$out/vmlinuz"
    # all of it is there
    echo "$modules" >"$out/.kernel"
fi

# a file of the initramfs, in cpio's "newc" format: number, name, mode, content
number=0
entry() {
    local name=$1 mode=$2 file=$3 size=0
    [ -z "$file" ] || size=$(stat -c %s "$file")
    number=$((number + 1))
    printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
        $number "$mode" 0 0 1 0 "$size" 0 0 0 0 $((${#name} + 1)) 0 "$name"
    head -c $(((4 - (110 + ${#name} + 1) % 4) % 4)) /dev/zero
    [ -z "$file" ] || cat "$file"
    head -c $(((4 - size % 4) % 4)) /dev/zero
}

gcc -static -D_GNU_SOURCE -O2 -Wall -Wextra -o "$work/init" "$here/init.c" "$here"/../{main,text,ram,disk}.c
{
    entry init $((0100755)) "$work/init"
    for m in "$out"/*.ko; do
        entry "$(basename "$m")" $((0100644)) "$m"
    done
    entry TRAILER!!! 0 ''
} >"$work/initrd"
mv "$work/initrd" "$out/initrd"

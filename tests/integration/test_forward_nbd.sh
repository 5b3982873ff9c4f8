#!/usr/bin/env bash
# Goal: NBD as others speak it passes unharmed: a disk of 1 GiB (holes and noise) is read and written through the pair of
# adits by nbdcopy and qemu-img, over several connections at once, and compared.
. "$(dirname "$0")/lib.sh"
need nbdcopy qemu-nbd qemu-img cmp

# the disk: a noise of 4 MiB in every 16, the rest a hole
disk=$T/disk.raw
truncate -s 1G "$disk"
for ((at = 0; at < 1024; at += 16)); do
    dd if=/dev/urandom of="$disk" bs=1M count=4 seek="$at" conv=notrunc status=none
done
truncate -s 1G "$T/copy.raw"

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/*"
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "unix:$T/near-disk=unix:$T/far-disk" \
    -L "unix:$T/near-copy=unix:$T/far-copy"

qemu-nbd -k "$T/far-disk" -f raw -r -e 16 -t "$disk" &
started $!
qemu-nbd -k "$T/far-copy" -f raw -e 16 -t "$T/copy.raw" &
started $!
exported() { [ -S "$T/far-disk" ] && [ -S "$T/far-copy" ]; }
wait_until 10 "qemu-nbd exports" exported
near_disk="nbd+unix:///?socket=$T/near-disk"
near_copy="nbd+unix:///?socket=$T/near-copy"

begin=$(now_ms)
timeout 120 nbdcopy --connections=4 "$near_disk" "$T/read.raw" || fail "nbdcopy from NBD"
cmp "$disk" "$T/read.raw" || fail "what nbdcopy read"
rm "$T/read.raw"
timeout 120 nbdcopy --connections=4 --flush "$disk" "$near_copy" || fail "nbdcopy to NBD"
cmp "$disk" "$T/copy.raw" || fail "what nbdcopy wrote"
timeout 120 qemu-img compare -f raw -F raw "$near_disk" "$near_copy" || fail "qemu-img compare, both through the tunnel"
timeout 120 qemu-img convert -f raw -O qcow2 "$near_disk" "$T/read.qcow2" || fail "qemu-img convert"
timeout 120 qemu-img compare -f raw -F qcow2 "$disk" "$T/read.qcow2" || fail "what qemu-img read"
say "four passes over 1 GiB: $(($(now_ms) - begin)) ms"

# the comparison can tell
printf x | dd of="$T/copy.raw" bs=1 seek=$((500 << 20)) conv=notrunc status=none
! timeout 120 qemu-img compare -f raw -F raw "$near_disk" "$near_copy" >/dev/null || fail "a changed byte went unseen"
end_adits

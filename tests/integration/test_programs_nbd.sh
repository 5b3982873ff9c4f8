#!/usr/bin/env bash
# Goal: nbdkit behind adit is what nbdkit is without it: contents made up by its plugins and checked by them come and go
# through nbdcopy and qemu-img; its errors arrive as the errors that they are, and the connection goes on; its own TLS goes
# through; and when it dies, its clients are told at once.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs.sh"
need nbdkit nbdcopy qemu-img qemu-io

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/far-*"
pairs=()
for name in random same other errors tls; do
    pairs+=(-L "unix:$T/near-$name=unix:$T/far-$name")
done
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" "${pairs[@]}"

# 2 GiB of which 5 % are noise; what is written to it must be what it has already, or it answers with an error
start_nbdkit "$T/far-random" sparse-random 2G seed=1 percent=5
start_nbdkit "$T/far-same" sparse-random 2G seed=1 percent=5
start_nbdkit "$T/far-other" sparse-random 2G seed=2 percent=5
timeout 60 nbdcopy --connections=4 "$(nbd "$T/near-random")" "$(nbd "$T/near-same")" || fail "nbdcopy, in and out through adit"
timeout 60 qemu-img compare -f raw -F raw "$(nbd "$T/near-random")" "$(nbd "$T/far-same")" || fail "qemu-img compare"
expect_failure "qemu-img sees no difference" timeout 60 qemu-img compare -f raw -F raw "$(nbd "$T/near-random")" "$(nbd "$T/far-other")"
timeout 60 qemu-img convert -n -f raw -O raw "$(nbd "$T/far-random")" "$(nbd "$T/near-same")" || fail "qemu-img convert to nbdkit"
timeout 60 qemu-img convert -f raw -O qcow2 "$(nbd "$T/near-random")" "$T/random.qcow2" || fail "qemu-img convert"
timeout 60 qemu-img compare -f qcow2 -F raw "$T/random.qcow2" "$(nbd "$T/far-random")" || fail "what qemu-img wrote"
rm "$T/random.qcow2"
# (nbdkit 1.32 may die of a client that breaks off, with adit or without: what follows does not need these any more)
! timeout 60 nbdcopy "$(nbd "$T/near-random")" "$(nbd "$T/near-other")" 2>"$T/said" || fail "other contents were taken"

# errors while a file is there: what the clients say is what they say without adit
start_nbdkit "$T/far-errors" --filter=error memory 64M error-pwrite=ENOSPC error-pwrite-rate=100% error-pread=EIO \
    error-pread-rate=100% error-file="$T/trigger"
mkfifo "$T/ask"
# ask N COMMAND...: of qemu-io, whose N-th answer this is
ask() {
    local n=$1
    shift
    echo "$*" >&5
    wait_until 20 "the answer to: $*" answers "$n"
}
answers() { [ "$(grep -cE '(^|> )(read|wrote|write) ' "$T/$where.said")" = "$1" ]; }
for where in far near; do
    disk=$(nbd "$T/$where-errors")
    # one connection: fine, then broken, then fine again
    : >"$T/$where.said"
    timeout 60 stdbuf -oL qemu-io -f raw "$disk" <"$T/ask" >"$T/$where.said" 2>&1 &
    exec 5>"$T/ask"
    ask 1 write -P 7 1M 64k
    ask 2 read -P 7 1M 64k
    touch "$T/trigger"
    ask 3 read 1M 64k
    ask 4 write 2M 64k
    rm "$T/trigger"
    ask 5 read -P 7 1M 64k
    exec 5>&-
    wait $!
    sed -Ei 's/^(qemu-io> )*//; / ops;|^$/d' "$T/$where.said"
    touch "$T/trigger"
    timeout 20 nbdcopy "$disk" null: >>"$T/$where.said" 2>&1
    echo "status $?" >>"$T/$where.said"
    rm "$T/trigger"
done
sed -i "s/near-errors/far-errors/g" "$T/near.said"
grep -q 'write failed: No space left on device' "$T/far.said" || fail "nbdkit made no error: $(cat "$T/far.said")"
grep -q 'read failed: Input/output error' "$T/far.said" || fail "nbdkit made no error: $(cat "$T/far.said")"
diff "$T/far.said" "$T/near.said" || fail "errors of nbdkit do not come through as they are"

# NBD's own TLS within
printf 'nbd:%064d\n' 5 >"$T/nbd-psk"
start_nbdkit "$T/far-tls" --tls=require --tls-psk="$T/nbd-psk" sparse-random 64M seed=1
timeout 20 nbdcopy "nbds+unix://nbd@/?socket=$T/near-tls&tls-psk-file=$T/nbd-psk" "$T/tls.raw" || fail "nbdcopy over NBD's TLS"
timeout 20 nbdcopy "nbds+unix://nbd@/?socket=$T/far-tls&tls-psk-file=$T/nbd-psk" - | cmp - "$T/tls.raw" || fail "what came over NBD's TLS"
expect_failure "nbdcopy without TLS was let in" timeout 20 nbdcopy "$(nbd "$T/near-tls")" null:

# it dies in the middle of a copy: the client ends with an error, at once
start_nbdkit "$T/far-errors" --filter=rate pattern 64M rate=8M
timeout 30 nbdcopy "$(nbd "$T/near-errors")" null: 2>"$T/said" &
copy=$!
sleep 1
kill -KILL "$NBDKIT"
begin=$(now_ms)
wait "$copy"
status=$?
[ "$status" != 0 ] && [ "$status" != 124 ] || fail "nbdcopy ended with $status when nbdkit was killed"
[ $(($(now_ms) - begin)) -lt 8000 ] || fail "nbdcopy took $(($(now_ms) - begin)) ms to see that nbdkit is dead"
end_adits

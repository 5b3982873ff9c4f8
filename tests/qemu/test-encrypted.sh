#!/usr/bin/env bash
# On: each QEMU
# Limit: 240 s
# Goal: encrypted images go over encrypted, with the same secret: luks and qcow2 with luks, by -drive and by -blockdev, of
# secrets in QEMU, in a file, and encrypted with another; the secret is in no log, argument list, record or file.
. "$(dirname "$0")/lib.sh"

PASS=open-sesame-7c1f PASS2=second-key-93ab
need openssl
user=()
if [ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ]; then
    # the twin as another user, of this test only
    cp /etc/passwd "$T/passwd"
    echo 'adit-vm:x:64911:64911::/nonexistent:/usr/sbin/nologin' >>"$T/passwd"
    mount --bind "$T/passwd" /etc/passwd
    need setpriv
    adit_users_pass
    # (an unpacked QEMU may lie in a folder of root's)
    ! setpriv --reuid=64911 --regid=64911 --clear-groups sh -c 'exec test -x "$1"' sh "$QEMU" || user=(--launch-user adit-vm)
fi
move_hosts
# adit's qemu-img gives each image up the first time, as QEMU's does on a host that is busy
mkdir -p "$T/disks" "$T/keys" "$T/bin" "$T/tried"
chmod 777 "$T/tried"
cat >"$T/bin/qemu-img" <<WRAPPER
#!/bin/sh
for last; do name=\$at; at=\$last; done
if [ "\$1" = create ] && mkdir "$T/tried/\${name##*/}" 2>/dev/null; then
    echo "qemu-img: \$name: Unable to get accurate CPU usage" >&2
    exit 1
fi
exec $(type -P qemu-img) "\$@"
WRAPPER
chmod 755 "$T/bin/qemu-img"
PATH=$T/bin:$PATH adit_serve_launch --log-level debug ${user[@]+"${user[@]}"}
# one that is encrypted with another: AES-256-CBC, as QEMU has it
head -c 32 /dev/urandom >"$T/keys/master"
base64 -w 0 "$T/keys/master" >"$T/keys/master.b64"
iv=$(head -c 16 /dev/urandom | base64)
sealed=$(printf %s "$PASS2" | openssl enc -aes-256-cbc -a -A -K "$(od -An -tx1 "$T/keys/master" | tr -d ' \n')" \
    -iv "$(base64 -d <<<"$iv" | od -An -tx1 | tr -d ' \n')")

# crypt_make PATH FORMAT PASS: 8 MiB
crypt_make() {
    local prefix=
    [ "$2" = luks ] || prefix=encrypt.
    disk_luks create -q -f "$2" --object "secret,id=s0,data=$3" \
        -o "${prefix:+encrypt.format=luks,}${prefix}key-secret=s0,${prefix}iter-time=10" "$1" 8M
    qemu-io --object "secret,id=s0,data=$3" -c 'write -q -P 0x5a 0 6M' --image-opts "$(crypt_node "$1" "$2")"
}
# crypt_node PATH FORMAT: such an image, opened with s0
crypt_node() {
    local prefix=
    [ "$2" = luks ] || prefix=encrypt.
    printf %s "driver=$2,${prefix}key-secret=s0,file.driver=file,file.filename=$1,file.locking=off"
}
# crypt_same VM N NAME FORMAT PASS: the copy lies encrypted as the source's image does, and opens with PASS; nothing that is
# on it can be read in the file
crypt_same() {
    local from=$T/disks/$3 to=$T/images/$3 side filter='[.encrypted, (."format-specific".data | .encrypt // .) |
        ."cipher-alg"?, ."cipher-mode"?, ."ivgen-alg"?, ."hash-alg"?]'
    for side in "$from" "$to"; do
        qemu-img info -U -f "$4" --output=json "$side" | jq -c "$filter" >"${side%/*}-info.txt"
        qemu-img convert -U --object "secret,id=s0,data=$5" --image-opts "$(crypt_node "$side" "$4")" \
            -O raw "${side%/*}/plain.raw" || fail "$side does not open with its secret"
    done
    expect_equal "the encryption of $3" "$(cat "$T/disks-info.txt")" "$(cat "$T/images-info.txt")"
    [ "$(qemu-img info -U -f "$4" --output=json "$to" | jq .encrypted)" = true ] || fail "$3 is not encrypted"
    grep -qa ZZZZZZZZZZZZZZZZ "$T/images/plain.raw" || fail "the pattern is not on the copy of $3"
    ! grep -qaE 'ZZZZZZZZZZZZZZZZ' "$to" || fail "what is on $3 can be read in its file"
    disk_same_but_guest raw "$T/disks/plain.raw" raw "$T/images/plain.raw" "$2" "$(guest_find "$1" '^READY')"
}
# nobody_tells: no secret in what was logged, printed, recorded or is in an argument list
nobody_tells() {
    local word pid
    for word in "$PASS" "$PASS2" "$sealed" "$(printf %s "$PASS" | od -An -tx1 | tr -d ' \n')"; do
        ! grep -rla -- "$word" "$T"/*.log "$T"/*.json "$T"/run-dst "$T"/state-* 2>/dev/null | grep . ||
            fail "a secret was written down"
        for pid in $(pgrep -x adit) "${PROC_PID[$1]}"; do
            ! tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qF -- "$word" || fail "a secret is in the arguments of $pid"
        done
    done
}
# watch_arguments: while images are made: the arguments of every qemu-img
watch_arguments() {
    while sleep 0.1; do
        for pid in $(pgrep qemu-img || true); do { tr "\0" " " <"/proc/$pid/cmdline" || true; echo; }; done
    done >"$T/arguments.log" 2>/dev/null
}
options='append=ram=8 rate=1000 sectors=1024 diskrate=40'

say 'qcow2 by -drive, luks by -blockdev as JSON and below raw; one secret of two disks, one encrypted with another'
crypt_make "$T/disks/a.qcow2" qcow2 "$PASS" &
maker=$!
crypt_make "$T/disks/b.luks" luks "$PASS2"
crypt_make "$T/disks/c.luks" luks "$PASS"
wait "$maker"
vm_start one src "$options" arg=-object "arg=secret,id=s0,data=$PASS" \
    arg=-object "arg=secret,id=m,file=$T/keys/master.b64,format=base64" \
    arg=-object "arg={\"qom-type\":\"secret\",\"id\":\"s2\",\"data\":\"$sealed\",\"format\":\"base64\",\"keyid\":\"m\",\"iv\":\"$iv\"}" \
    arg=-drive "arg=if=none,id=d0,file=$T/disks/a.qcow2,format=qcow2,encrypt.format=luks,encrypt.key-secret=s0" \
    arg=-device arg=virtio-blk-pci,drive=d0 \
    arg=-blockdev "arg={\"driver\":\"luks\",\"node-name\":\"d1\",\"key-secret\":\"s2\",\"file\":{\"driver\":\"file\",\"filename\":\"$T/disks/b.luks\"}}" \
    arg=-device arg=virtio-blk-pci,drive=d1 \
    arg=-blockdev "arg=driver=file,node-name=f,filename=$T/disks/c.luks" \
    arg=-blockdev arg=driver=luks,node-name=l,file=f,key-secret=s0 arg=-blockdev arg=driver=raw,node-name=d2,file=l \
    arg=-device arg=virtio-blk-pci,drive=d2
guest_ready one
watch_arguments &
watcher=$!
adit_migrate one --log-level debug
kill "$watcher" || true
move_succeeded one one-twin
nobody_tells one-twin
[ -n "$(ls "$T/tried")" ] || fail 'no image was tried twice'
grep -q 'id=s0' "$T/arguments.log" || fail 'no arguments of qemu-img were seen'
crypt_same one 0 a.qcow2 qcow2 "$PASS"
crypt_same one 1 b.luks luks "$PASS2"
crypt_same one 2 c.luks luks "$PASS"
if [ "${#user[@]}" -gt 0 ]; then
    expect_equal 'the user of the twin' 64911 "$(stat -c %u "/proc/${PROC_PID[one-twin]}")"
fi
# and on from there: what it has its secrets from can be read
in_host dst "$ADIT" check --qmp "${VM_QMP[one-twin]}" --psk "$T/psk" --measure-dirty 0 "$ADIT_DEST" >"$T/check.log" 2>&1 || true
grep -qE '^ok +encryption +3 secrets' "$T/check.log" || fail "the twin's secrets cannot be read: $(grep encryption "$T/check.log")"
! grep -qE '^error +encryption' "$T/check.log" || fail "$(grep -E '^error +encryption' "$T/check.log")"
vm_end one-twin

if [ "${#user[@]}" -gt 0 ] && ! nm -D "$ADIT" | grep -q __asan_init; then
    say 'no core dump of adit'
    # the kernel gives what is in /proc of a process that leaves none to root
    install -m 755 "$ADIT" "$T/adit"
    install -d -o 64911 -m 700 "$T/as"
    proc_start as dst setpriv --reuid=64911 --regid=64911 --clear-groups "$T/adit" serve --listen "$DST_IP:17001" \
        --insecure --allow-forward tcp:127.0.0.1:1 --run-dir "$T/as"
    wait_until 10 'adit serve of that user' grep -q ' listening on ' "$T/as.log"
    expect_equal 'whose its memory is' 0 "$(stat -c %u "/proc/${PROC_PID[as]}/mem")"
fi

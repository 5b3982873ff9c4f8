#!/usr/bin/env bash
# Goal: with --launch-user the twin runs as that user, with its groups, without capabilities and no way to more; its images are
# that user's, its private folder too, and adit's own sockets are closed to it. So it is for a VM that --persistent keeps, and all is
# undone when adit serve is killed. What that user cannot reach is refused by name before anything moves; so is a user
# that is not there, or whom adit serve cannot become.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"

# (in a namespace of a user who is not root there is one user only)
[ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ] || skip 'not root: no other users here'
need setpriv
# a user with a supplementary group, of this test only
for file in passwd group; do cp "/etc/$file" "$T/$file"; done
echo 'adit-vm:x:64911:64911::/nonexistent:/usr/sbin/nologin' >>"$T/passwd"
printf '%s\n' 'adit-vm:x:64911:' 'adit-more:x:64912:adit-vm' >>"$T/group"
for file in passwd group; do mount --bind "$T/$file" "/etc/$file"; done
adit_users_pass

# serving OPTION...: another adit serve, with that user
serving() {
    proc_end serve
    adit_serve_launch --launch-user adit-vm "$@"
}
# said STATUS REGEX ARG...: adit serve does not begin
said() {
    local status=0 want=$1 regex=$2
    shift 2
    "$@" >"$T/said.log" 2>&1 || status=$?
    sed 's/^/  said: /' "$T/said.log"
    expect_equal "the status of ${*##*/}" "$want" "$status"
    expect_equal 'lines' 1 "$(wc -l <"$T/said.log")"
    grep -qE -- "$regex" "$T/said.log" || fail "nothing about '$regex': $(cat "$T/said.log")"
}
# of_user PID: is that user's, with nothing beyond
of_user() {
    local want
    while read -r want; do
        grep -qE "^${want/ /[[:space:]]+}[[:space:]]*$" "/proc/$1/status" ||
            fail "the twin is not as '$want': $(grep -E "^${want%% *}" "/proc/$1/status")"
    done <<'LINES'
Uid: 64911[[:space:]]64911[[:space:]]64911[[:space:]]64911
Gid: 64911[[:space:]]64911[[:space:]]64911[[:space:]]64911
Groups: 64911 64912
NoNewPrivs: 1
CapInh: 0+
CapPrm: 0+
CapEff: 0+
CapAmb: 0+
LINES
}
owner() { stat -c %u:%g "$1"; }
# as_vm COMMAND...
as_vm() { setpriv --reuid=64911 --regid=64911 --init-groups -- "$@"; }

move_hosts
adit_images
words=("$ADIT" serve --check-config --psk "$T/psk" --allow-migrate --allow-launch "$QEMU")
said 1 'no user nosuch' "${words[@]}" --launch-user nosuch
said 1 'no group nosuch' "${words[@]}" --launch-user adit-vm:nosuch
said 1 'root' "${words[@]}" --launch-user root
cp "$T/psk" "$T/psk-nobody" && chown nobody "$T/psk-nobody"
said 1 'not run as root' setpriv --reuid=nobody --clear-groups -- "${words[@]/#"$T/psk"/"$T/psk-nobody"}" --launch-user adit-vm
said 2 'needs --allow-launch' "$ADIT" serve --psk "$T/psk" --allow-migrate --launch-user adit-vm

move_disks a 16M raw:virtio qcow2:virtio
move_vm a append='ram=16 rate=3000 sectors=512 diskrate=20'

say 'who does not see which program the QEMU at the source is'
serving
cp "$T/psk" "$T/psk-vm" && chown adit-vm "$T/psk-vm" "${VM_QMP[a]}"
in_host src setpriv --reuid=64911 --regid=64911 --clear-groups -- "$ADIT" check --qmp "${VM_QMP[a]}" --psk "$T/psk-vm" --measure-dirty 0 \
    "$ADIT_DEST" >"$T/check.log" 2>&1 && fail "adit check finds nothing wrong: $(cat "$T/check.log")"
grep -qE "^error +command-line .*run adit as root, or as QEMU's user" "$T/check.log" || fail "$(cat "$T/check.log")"
rm "$T/psk-vm"

serving --overwrite-images
qemu-img create -q -f qcow2 "$T/images/a-1.qcow2" 16M
chmod 600 "$T/images/a-1.qcow2"
move_refused 'an image of root' a 1 'images/a-1.qcow2' 'adit-vm' 'read and write'
rm "$T/images/a-1.qcow2"
chmod 600 "$T/images/${GUEST_ELF##*/}"
move_refused 'a kernel of root' a 1 "images/${GUEST_ELF##*/}" 'adit-vm' 'read it'
chmod 644 "$T/images/${GUEST_ELF##*/}"
chmod 700 "$T/images"
move_refused 'a folder of root' a 1 "folder $T/images |$T/images: " 'adit-vm' 'enter'
chmod 755 "$T/images"
if [ "$(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null)" = 0 ]; then
    move_refused 'postcopy, which that user may not have' a 1 'userfaultfd' 'launch-user' -- --postcopy
fi

say 'adit serve is killed while the disks are copied'
fault_reach a mirror --max-bandwidth 2M
of_user "$(pgrep -f -- "^$QEMU .*-incoming")"
left_clock
kill -KILL "${PROC_PID[serve]}"
fault_ended a 1 ''
link_rate none

say 'a VM comes'
serving
left_mark
left_clock
adit_migrate a --persistent --multifd 2
move_succeeded a twin raw:virtio qcow2:virtio
of_user "${PROC_PID[twin]}"
for image in "$T/images/a-0.raw" "$T/images/a-1.qcow2"; do expect_equal "the owner of $image" 64911:64911 "$(owner "$image")"; done
kept=$(tail -n 1 "$T/migrate.json" | jq -r .destination.kept)
dir=$(tail -n 1 "$T/migrate.json" | jq -r .destination.dir)
expect_equal 'its folder' '64911:64911 700' "$(stat -c '%u:%g %a' "$dir")"
expect_equal 'the folders above it' '0:0 711 0:0 711' "$(stat -c '%u:%g %a' "$T/run-dst" "$T/run-dst/vms" | paste -sd' ')"
as_vm test -w "$dir/qmp.sock" || fail 'its user does not reach its monitor'
for item in "$T/run-dst" "$T/run-dst/vms"; do ! as_vm ls "$item" >/dev/null 2>&1 || fail "$item can be read by the VM's user"; done
for item in "$T/run-dst"/* "$T/state-dst" "$kept"; do
    [ "$item" = "$T/run-dst/vms" ] || ! as_vm test -r "$item" -o -w "$item" || fail "$item can be reached by the VM's user"
done
left_nothing "^file $T/images/|$T/run-dst|$T/state-dst|^process .*$QEMU .*-incoming"
jq -e '.user == {name: "adit-vm", uid: 64911, gid: 64911}' "${kept%.sh}.json" >/dev/null || fail "no user is kept: $(cat "${kept%.sh}.json")"
vm_qmp twin '{"execute":"quit"}' >/dev/null
wait_until 5 'the end of the VM' proc_gone twin
wait_until 5 'the end of its folder' eval '[ ! -e "$dir" ]'

say 'a VM over a backing file'
qemu-img create -q -f raw "$T/disks/base.raw" 8M
cp "$T/disks/base.raw" "$T/images/"
qemu-img create -q -f qcow2 -b base.raw -F raw "$T/disks/b-0.qcow2"
MOVE_DISKS=("disk=qcow2:virtio:$T/disks/b-0.qcow2")
move_vm b append='ram=4 rate=500 sectors=128 diskrate=20'
chmod 600 "$T/images/base.raw"
move_refused 'a backing file of root' b 1 'images/base.raw' 'adit-vm' 'read it' -- --copy-storage inc
chmod 644 "$T/images/base.raw"
adit_migrate b --copy-storage inc
move_succeeded b b-twin qcow2:virtio
expect_equal 'the owners of overlay and backing file' '64911:64911 0:0' "$(owner "$T/images/b-0.qcow2") $(owner "$T/images/base.raw")"
vm_end b-twin

say 'started again by what was kept'
proc_end serve
rm -rf "$T/run-dst"
proc_start again dst "$kept"
VM_HOST[again]=dst VM_QMP[again]=$dir/qmp.sock VM_SERIAL[again]=$dir/serial0.sock VM_LOG[again]=$dir/serial.log VM_PROC[again]=again
wait_until 10 'its monitor' vm_has_monitor again
guest_ready again
of_user "${PROC_PID[again]}"
vm_end again

#!/usr/bin/env bash
# Goal: with ssh's own files and adit.conf at the destination ssh://HOST is all that need be said. A user who is not root
# brings a VM, which then runs as that user; adit check says beforehand that it will; the HTTP API does the same, and
# cancels; a user without a section is refused by name.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/api.sh"
. "$TESTS_QEMU/sshd.sh"

ADIT_PORT="{ 16516, $SSHD_PORT }"
move_hosts
ADIT_PORT=16516

# alice, on both hosts (she is asked for by root's ~/.ssh)
cp /etc/passwd "$T/passwd"
echo "alice:*:4711:4711::$T/alice:/bin/sh" >>"$T/passwd"
mount --bind "$T/passwd" /etc/passwd || skip 'no user can be added'
chmod 711 "$T" "${T%/*}"
mkdir "$T/alice" "$T/alice/run" "$T/alice/images"
cp "$GUEST_ELF" "$T/alice/images/"
cp "$ADIT" "$T/alice/adit" && chmod 755 "$T/alice/adit"
chown -R 4711:4711 "$T/alice" && chmod 700 "$T/alice/run"
printf '%s\n' "[serve]" "run-dir = $T/run-dst" "state-dir = $T/state-dst" "listen = $DST_IP:16516" "psk = $T/psk" \
    "[peer ssh:alice]" "migrate = yes" "launch = $QEMU" "images = $T/alice/images" >"$T/adit.conf"
chmod 644 "$T/adit.conf"
umask 022
# (what pam_systemd would set)
sshd_make "ForceCommand XDG_RUNTIME_DIR=$T/alice/run XDG_STATE_HOME=$T/alice/state $T/alice/adit serve --stdio --config $T/adit.conf"
chmod 711 "$T/ssh"
chmod 644 "$T/ssh/user.pub"
mkdir -p /root/.ssh
mount -t tmpfs -o mode=700 none /root/.ssh || skip "~/.ssh cannot be replaced"
sed 's/^User .*/User alice/' "$T/ssh/config" >/root/.ssh/config
adit_client
ADIT_IMAGES=$T/alice/images

# moved_to_alice NAME: the twin is up, as alice
moved_to_alice() {
    local pid
    move_succeeded "$1" "$1-twin" raw:virtio
    pid=${PROC_PID[$1-twin]}
    expect_equal "whose the twin is" 4711 "$(stat -c %u "/proc/$pid")"
    expect_equal "whose its image is" 4711 "$(stat -c %u "$ADIT_IMAGES/$1-0.raw")"
    vm_end "$1-twin"
}

guest='ram=16 rate=1000 sectors=512 diskrate=20'
move_disks a 16M raw:virtio
move_vm a append="$guest"
say 'adit check'
in_host src "$ADIT" check --qmp "${VM_QMP[a]}" --measure-dirty 0 "$ADIT_DEST" >"$T/check.log" 2>&1 || fail "adit check: $(cat "$T/check.log")"
grep -E '^ok +connection .*ssh:alice@' "$T/check.log" || fail "adit check says nothing of alice: $(cat "$T/check.log")"
say 'as alice'
adit_migrate a
moved_to_alice a

say 'as root, who has no section'
move_disks b 64M raw:virtio
move_vm b append="$guest"
ADIT_DEST=ssh://root@$DST_NAME
move_refused 'a user without a section' b 1 'allow-migrate|migrate = yes'

say 'by the API'
ADIT_DEST=ssh://$DST_NAME
api_serve
api_vm b
link_rate 80mbit
api_start b
api_reaches disks
api 202 DELETE '/tasks/{id}' "$TASK"
api_ended 20
expect_equal 'status after DELETE' cancelled "$(jq -r .status "$T/body.json")"
link_rate none
api_start b
curl -sSN --max-time 60 --unix-socket "$API" "http://adit/tasks/$TASK/events" >"$T/api.json"
api_ended
expect_equal 'the status' completed "$(jq -r .status "$T/body.json")"
MIGRATE=api MIGRATE_STATUS=0
moved_to_alice b

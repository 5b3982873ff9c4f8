#!/usr/bin/env bash
# Goal: over ssh:// every session has a far adit of its own; when it is killed in Finish, before or behind its decision, the
# source asks again over a new one, which finds the journal of the first, and one VM runs in the end: on dst behind the
# decision, on src before it.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/sshd.sh"
. "$TESTS_QEMU/fault.sh"

# the build with points; the release build has none
[ "$ADIT" != "$TOP/build/release/cli/adit" ] || ADIT=$TOP/build/asan-ubsan/cli/adit
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

ADIT_PORT="{ 16516, $SSHD_PORT }"
move_hosts
ADIT_PORT=16516
sshd_make
sshd_serves

# the first far adit stops at the point that stands in a file; *.log is not looked at for what is left behind
far=${ADIT_CREDS[3]}
printf '#!/bin/sh\nmv %s %s 2>/dev/null && export ADIT_STOP_AT=$(cat %s)\nexec %s\n' \
    "$T/stop.log" "$T/stopped.log" "$T/stopped.log" "$far" >"$T/ssh/far"
chmod 700 "$T/ssh/far"
adit_client --ssh-config "$T/ssh/config" --remote-command "$T/ssh/far"
far_stopped() {
    local pid state
    pid=$(sshd_far)
    [ -n "$pid" ] || return 1
    { read -r _ _ state _ <"/proc/$pid/stat"; } 2>/dev/null || return 1
    [ "$state" = T ]
}

# killed_at POINT: a migration of a whose far adit is killed there
killed_at() {
    printf '%s\n' "$1" >"$T/stop.log"
    left_mark
    adit_start a
    wait_until 60 "the far adit to stop at $1" far_stopped
    say "kill -9 of the far adit at $1"
    left_clock
    kill -KILL "$(sshd_far)"
    adit_wait
}

fault_vm a 16M
killed_at d-finish
expect_equal "the exit status of adit migrate" 1 "$MIGRATE_STATUS"
said_one_line 'runs on here'
move_runs_on a
left_nothing

killed_at d-committed
move_succeeded a twin raw:virtio

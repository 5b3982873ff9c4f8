#!/usr/bin/env bash
# On: each QEMU
# Limit: 300 s
# Goal: what is said, and left, where postcopy is interrupted for other reasons than the line: the destination's folder for
# sockets was removed (it is made again), cannot be made (the reason reaches the source, which asks on with a pause), or the
# whole destination was killed (the VM is lost; migrate and recover say the same of it, and adit serve there clears up).
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/postcopy.sh"
. "$TESTS_QEMU/folder.sh"

line_reset() {
    in_host dst ss -K "sport = :$ADIT_PORT" >/dev/null 2>&1 || true
    in_host src ss -K "dport = :$ADIT_PORT" >/dev/null 2>&1 || true
}
notes() { grep -c "$1" "$T/migrate.json" || true; }
goes_on() { [ "$(vm_query "${1}2" query-migrate .status)" = postcopy-active ] || proc_gone migrate; }

twin_pid() { host_processes dst | awk '/-incoming/ && /qemu/ { print $1; exit }'; }
# moved VM: it did. (Its sockets there, and its log, went with the folder.)
moved() {
    expect_equal 'the exit status of adit migrate' 0 "$MIGRATE_STATUS"
    json_complete
    wait_until 5 "the end of the source's QEMU" proc_gone "$1"
    [ -n "$(twin_pid)" ] || fail 'there is no QEMU on dst'
    proc_end serve
    kill -KILL "$(twin_pid)"
    rm -rf "$T/run-dst"
}

move_hosts
postcopy_needed
adit_serve_launch

say "the destination's run folder is removed, and the line cut"
postcopy_vm a
postcopy_reach a
folder_remove "$T/run-dst"
line_reset
wait_until 20 'postcopy to go on' goes_on a
link_rate none
adit_wait 60
moved a
grep -q "$T/run-dst for sockets had been removed: it is made again" "$T/serve.log" || fail 'adit serve did not say that the folder was removed'
expect_equal 'interruptions that were told of' 1 "$(notes 'postcopy was interrupted')"

say '... and cannot be made again for some seconds'
adit_serve_launch
postcopy_vm b
postcopy_reach b
folder_break "$T/run-dst"
line_reset
wait_until 45 'the reason to reach the source' grep -q "postcopy was interrupted.*$T/run-dst" "$T/migrate.json"
sleep 5
[ "$(notes 'postcopy was interrupted')" -le 3 ] || fail "told $(notes 'postcopy was interrupted') times: $(grep interrupted "$T/migrate.json")"
[ "$(wc -l <"$T/serve.log")" -le 80 ] || fail "adit serve said $(wc -l <"$T/serve.log") lines"
folder_mend "$T/run-dst"
wait_until 20 'postcopy to go on' goes_on b
link_rate none
adit_wait 60
moved b

say 'the whole destination is killed'
adit_serve_launch
postcopy_vm c
postcopy_reach c
[ -n "$(ls -d "$T"/run-dst/ram-* 2>/dev/null)" ] || say '  (this QEMU has one connection for RAM: it needs no folder)'
proc_kill serve KILL
host_processes dst | awk '!/sleep infinity/ { print $1 }' | xargs -r kill -KILL 2>/dev/null || true
proc_end serve
wait_until 30 'adit migrate to ask' grep -q 'postcopy was interrupted' "$T/migrate.json"
adit_serve_launch
[ -z "$(ls -d "$T"/run-dst/ram-* "$T"/run-dst/job-* 2>/dev/null)" ] || fail "left behind: $(ls -d "$T"/run-dst/*-*)"
adit_wait 60
expect_equal 'the exit status of adit migrate' 3 "$MIGRATE_STATUS"
said_one_line 'neither host has all of it' 'drop-here'
! adit_recover || fail 'adit recover says that it is settled'
migrate=$(sed -E 's/^adit migrate: //' "$T/migrate.log")
recover=$(sed -nE 's/^job [0-9a-f]*: still unfinished: //p' "$T/recover.out")
expect_equal 'what adit recover says of it' "$migrate" "$recover"
! grep -qE '[(] *[)]|on the [)]| [)]|does not answer' "$T/migrate.log" "$T/recover.out" || fail 'words that are cut off, or not true'
expect_equal "the source's monitor" postcopy-paused "$(vm_query c2 query-migrate .status)"

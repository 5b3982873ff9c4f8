#!/usr/bin/env bash
# Points
# Goal: from the moment that postcopy has begun the VM can live on the destination only, and nobody who dies just then
# takes it along: adit migrate before it has said FINISH, adit serve before it has decided. adit recover goes on.
# A twin that is killed in postcopy takes it along, and adit does not wait for it for ever.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/postcopy.sh"
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

stopped() { [ "$(sed -nE 's/^State:\s+(.).*/\1/p' "/proc/$1/status")" = T ]; }
adit_pid() { host_processes "$1" | awk -v what="$2" '$2 ~ /adit$/ && $3 == what { print $1; exit }'; }
stops() { local pid; pid=$(adit_pid "$1" "$2") && [ -n "$pid" ] && stopped "$pid"; }

move_hosts
postcopy_needed
link_rate 80mbit

say 'adit migrate is killed when the twin has the devices'
ADIT_STOP_AT=d-postcopy adit_serve_launch
postcopy_vm early
adit_start early --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
wait_until 60 'adit serve to stop' stops dst serve
kill -KILL "$(adit_pid src migrate)"
adit_wait 5
kill -CONT "$(adit_pid dst serve)"
postcopy_recovered early
proc_end serve

say 'adit serve is killed before it has decided'
ADIT_STOP_AT=d-postcopy adit_serve_launch
link_rate 80mbit
postcopy_vm late
adit_start late --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
wait_until 60 'adit serve to stop' stops dst serve
kill -KILL "$(adit_pid dst serve)"
proc_wait serve 5
adit_serve_launch
link_rate none
adit_wait
move_succeeded late late-twin raw:virtio
vm_end late-twin

say 'the twin is killed: nothing brings it back, and adit says so'
postcopy_vm dead
postcopy_reach dead
kill -KILL "$(adit_record "$T"/state-src/journal/source-*.json .prepared.vm.pid)"
adit_wait 60
expect_equal 'the exit status of adit migrate' 1 "$MIGRATE_STATUS"
said_one_line 'neither host has all of it'

#!/usr/bin/env bash
# On: each QEMU
# Points
# Limit: 400 s
# Goal: from the moment that postcopy has begun the VM can live on the destination only, and nobody who dies just then
# takes it along: adit migrate before it has said FINISH, adit serve before it has decided. adit recover goes on.
# Where it breaks while the twin's devices are being loaded, and wait for RAM that has not come, QEMU gives up: all say so;
# so adit does not break it itself, however long that QEMU takes.
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

# What QEMU does not survive is a way that breaks before its devices are loaded. Those of a VM with an IDE disk read no RAM
# while they load: they are loaded a moment after adit serve stops, whatever comes of the rest.
loaded() { wait_until 60 'adit serve to stop' stops dst serve && sleep 2; }

say 'adit migrate is killed when the twin has the devices'
ADIT_STOP_AT=d-postcopy adit_serve_launch
postcopy_vm early '' raw:ide
adit_start early --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
loaded
kill -KILL "$(adit_pid src migrate)"
adit_wait 5
kill -CONT "$(adit_pid dst serve)"
postcopy_recovered early
proc_end serve

say '... and when it has their contents, and loading them waits for RAM: QEMU gives up, and adit says so'
# The rings of the guest's disk come last of all RAM, and over a long line nothing that is asked for comes at once: the
# twin stands in the loading of that disk from before adit serve stops. Its main loop answers nobody: what became of it is
# told by the one monitor that adit serve has, however often it is asked.
[ ! -w /dev/net/tun ] || link_long 20
ADIT_STOP_AT=d-postcopy adit_serve_launch
link_rate 80mbit
postcopy_vm loading rings=80
adit_start loading --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
wait_until 60 'adit serve to stop' stops dst serve
kill -KILL "$(adit_pid src migrate)"
adit_wait 5
kill -CONT "$(adit_pid dst serve)"
for time in first second; do
    ! adit_recover || fail "adit recover says that it is settled ($time time)"
    grep -qE 'still unfinished: the .*: neither host has all of (its RAM|it) any more; .*--drop-here' \
        "$T/recover.out" || fail "adit recover has other words the $time time"
done
! grep -E 'serves one client|does not answer|runs as far' "$T/serve.log" "$T/recover.out" || fail 'words that are not true'
! vm_is loading running || fail "the VM runs at the source, and its devices are on the destination"
adit_recover "$(basename "$(ls "$T"/state-src/journal/source-*.json)" .json | sed s/source-//)" --drop-here || fail 'adit recover does not end the QEMU here'
wait_until 5 "the end of the source's QEMU" proc_gone loading
proc_end serve

say '... or the QEMU there stands for longer than any answer takes: the way holds, so nobody breaks it, and it goes on'
ADIT_STOP_AT=d-postcopy adit_serve_launch
link_rate 80mbit
postcopy_vm stands rings=80
ADIT_LIMITS=finished=2000 adit_start stands --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
wait_until 60 'adit serve to stop' stops dst serve
twin=$(adit_record "$T"/state-src/journal/source-*.json .prepared.vm.pid)
kill -STOP "$twin"
kill -CONT "$(adit_pid dst serve)"
wait_until 45 'a word of it' grep -qE '"text":"(the destination.s QEMU has not taken the VM up yet|postcopy was interrupted|the destination.s word was lost)' "$T/migrate.json"
# time for an adit that breaks the way
sleep 3
kill -CONT "$twin"
link_rate none
adit_wait 60
move_succeeded stands stands-twin raw:virtio
vm_end stands-twin
proc_end serve
[ ! -w /dev/net/tun ] || link_long 0

# Whoever makes a guest run whose RAM has not come may not let go of the monitor: the next that it gets may be an interrupt, for
# which TCG needs its stack with QEMU's main lock held, and no new connection is answered before that page has come. This one
# is halted most of the time. (It may ask for no other page that would come over the channel for what is urgent.)
say 'adit serve is killed before it has decided: the next one makes it run, and keeps its monitor for the source'
ADIT_STOP_AT=d-postcopy adit_serve_launch
link_rate 80mbit
postcopy_vm late rate=5000 raw:ide
adit_start late --postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20
loaded
monitor=$(adit_record "$T"/state-src/journal/source-*.json .prepared.vm.qmp)
held() { in_host dst ss -Hx | grep -qF " $monitor "; }
source=$(adit_pid src migrate)
kill -STOP "$source"
kill -KILL "$(adit_pid dst serve)"
proc_wait serve 5
wait_until 5 'the end of its connection to the monitor' eval '! held'
adit_serve_launch
wait_until 20 'adit serve to find the VM' grep -q 'the VM is here' "$T/serve.log"
# time for an adit that lets go of it
sleep 1
held || fail "adit serve does not keep the twin's monitor"
kill -CONT "$source"
adit_wait
MOVE_IDLE='ram 1' move_succeeded late late-twin raw:ide
vm_end late-twin

say 'the twin is killed: nothing brings it back, and adit says so'
postcopy_vm dead
postcopy_reach dead
kill -KILL "$(adit_record "$T"/state-src/journal/source-*.json .prepared.vm.pid)"
adit_wait 60
expect_equal 'the exit status of adit migrate' 3 "$MIGRATE_STATUS"
said_one_line 'neither host has all of it'

#!/usr/bin/env bash
# Sanitizers only
# Goal: the thirty lines of lib/example.c move a VM, and tell the same as adit migrate --json; a program that embeds
# libadit in its own event loop watches a migration, changes its bandwidth, cancels it, lets go of it half-way, and in
# the end moves the VM. Whatever it does, the VM runs whole, and nothing is left behind.
. "$(dirname "$0")/lib.sh"

build=${ADIT%/cli/adit}
example=$build/lib/example embed=$build/tests/integration/embed-embedded
[ -x "$example" ] && [ -x "$embed" ] || skip "the example is not built: ${example#"$TOP"/}"

# the example keeps its journal where adit does by default: not this host's own
mount -t tmpfs none /var/lib

move_hosts
adit_serve_launch

say 'the example'
move_disks a 16M raw:virtio
move_vm a append='ram=16 rate=4000 sectors=1024 diskrate=40'
left_mark
left_clock
proc_start migrate src sh -c 'exec "$@" >"$0"' "$T/example.log" "$example" "${VM_QMP[a]}" "$ADIT_DEST" "$T/psk"
adit_wait
id=$(head -n 1 "$T/example.log" | cut -c -8)
[[ $id =~ ^[0-9a-f]{8}$ ]] || fail "no job's id: $id"
sed -E "s/^$id //" "$T/example.log" >"$T/migrate.json"
move_succeeded a a-twin raw:virtio
expect_equal 'the phases that it told' 'prepare disks ram switchover device finish confirm end' \
    "$(jq -r 'select(.event == "phase").phase' "$T/migrate.json" | paste -sd' ')"
[ -z "$(ls /var/lib/adit/journal)" ] || fail 'the journal was not settled'
left_nothing "^file $T/images/|$T/run-dst|^process .*$QEMU .*-incoming"
vm_end a-twin

say 'in a foreign event loop:'
tell() { printf '%s\n' "$*" >&"$in"; }
# said REGEX [SECONDS]: the program has printed such a line, of those after the last mark
said() { wait_until "${2:-20}" "'$1' from the program" said_now "$1"; }
said_now() { tail -n "+$mark" "$T/embed.log" | grep -qE -- "$1"; }
marked() { mark=$(($(wc -l <"$T/embed.log") + 1)); }
. "$TESTS_QEMU/fault.sh"
fault_vm b 32M
start="start qmp=${VM_QMP[b]} dest=$ADIT_DEST psk=$T/psk state-dir=$T/state-src"
mkfifo "$T/in"
left_mark
proc_start embed src sh -c 'exec "$1" <"$2" >"$3"' sh "$embed" "$T/in" "$T/embed.log"
exec {in}>"$T/in"
mark=1

say '  cancelled while the disk is copied'
tell "$start max-bandwidth=2M"
said '^event .*"phase":"disks"'
said '^event .*"event":"progress".*"disk_done_bytes":[1-9]'
tell set max-bandwidth 1M
said '^set max-bandwidth'
tell set downtime-limit soon
said '^failed set: usage: '
tell set multifd 4
said '^failed set: usage: multifd cannot be changed'
tell postcopy
said '^failed postcopy: '
left_clock
tell cancel
said '^cancelling'
said '^event .*"event":"failed".*"code":"cancelled"'
said '^end cancelled: '
move_runs_on b

say '  let go of while the disk is copied'
marked
tell "$start max-bandwidth=2M"
said '^event .*"event":"progress".*"disk_done_bytes":[1-9]'
marked
left_clock
tell free
said '^freed'
move_runs_on b
fault_whole b
! tail -n "+$mark" "$T/embed.log" | grep -E '^(event|end)' || fail 'a callback came after the end'

say '  the program is killed; another one takes the job to its end'
marked
tell "$start max-bandwidth=2M"
said '^event .*"event":"progress".*"disk_done_bytes":[1-9]'
id=$(tail -n "+$mark" "$T/embed.log" | sed -n 's/^job //p')
proc_kill embed KILL
proc_wait embed 5
exec {in}>&-
left_clock
proc_start embed src sh -c 'exec "$1" <"$2" >"$3"' sh "$embed" "$T/in" "$T/embed.log"
exec {in}>"$T/in"
mark=1
tell "resume $id state-dir=$T/state-src"
said "^job $id"
said '^end stayed: '
move_runs_on b

say '  the rate follows what is set; then it moves'
marked
tell "$start max-bandwidth=3M"
said '^event .*"event":"progress".*"disk_done_bytes":[1-9]'
tell set max-bandwidth 6M
sleep 1.5
from=$(firewall_count dst passed_in bytes) begin=$(now_ms)
sleep 1.5
rate=$((($(firewall_count dst passed_in bytes) - from) * 1000 / ($(now_ms) - begin)))
say "  measured: $rate bytes a second after 6M was set"
[ "$rate" -ge 5000000 ] && [ "$rate" -le 7000000 ] || fail 'the rate does not follow'
tell set max-bandwidth none
tell set downtime-limit 2000
said "^end -: " 60
sed -n "$mark,\$s/^event //p" "$T/embed.log" >"$T/migrate.json"
MIGRATE_STATUS=0 move_succeeded b b-twin raw:virtio

tell quit
wait_until 10 'the end of the program' proc_gone embed
proc_wait embed 1
expect_equal 'its exit status' 0 "$PROC_STATUS"
[ -z "$(find "$T/state-src/journal" -type f)" ] || fail 'a record is left in the journal'

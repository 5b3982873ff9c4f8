#!/usr/bin/env bash
# Points
# Limit: 240 s
# Goal: where nobody knows who has the VM that is what every way of asking says, and not that it failed: a task of the API
# ends as "unknown", adit status --watch ends with 3, adit recover with 3, libadit says "unknown"; and settled it is 0.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"
. "$TESTS_QEMU/api.sh"
. "$TESTS_QEMU/kill-faults.sh"
[ "$ADIT" != "$TOP/build/release/cli/adit" ] || ADIT=$TOP/build/asan-ubsan/cli/adit
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"
embed=${ADIT%/cli/adit}/tests/integration/embed-embedded
[ -x "$embed" ] || skip "the program that embeds libadit is not built: $embed"

move_hosts
ADIT_STOP_AT=d-finish adit_serve_launch
fault_vm web1 8M
api_serve
api_vm web1
api_start web1
proc_start watch - "$ADIT" status --api "$API" --watch --json "$TASK"
wait_until 60 'adit serve on dst to stop' proc_stopped serve
link_reset
say 'the last word is lost, and cannot be had for a minute:'
api_ended 100
expect_equal 'the status of the task' unknown "$(jq -r .status "$T/body.json")"
expect_equal 'its result' 'failed true' "$(jq -r '.result | "\(.event) \(.unknown)"' "$T/body.json")"
proc_wait watch 5
expect_equal 'the status of adit status --watch --json' 3 "$PROC_STATUS"
curl -sS --unix-socket "$API" http://adit/metrics >"$T/metrics.txt"
api_metrics_check "$T/metrics.txt"
grep -qx 'adit_jobs{status="unknown"} 1' "$T/metrics.txt" || fail "no such job in the metrics: $(grep ^adit_jobs "$T/metrics.txt")"
"$ADIT" jobs --api "$API" >"$T/jobs.log"
grep -q "^${TASK:0:12}  web1  *unknown " "$T/jobs.log" || fail "adit jobs: $(cat "$T/jobs.log")"
proc_start watch - "$ADIT" status --api "$API" --watch "$TASK"
proc_wait watch 5
expect_equal 'the status of adit status --watch afterwards' 3 "$PROC_STATUS"
grep -q 'adit status: .*adit recover' "$T/watch.log" || fail "adit status --watch: $(cat "$T/watch.log")"
[ "$(vm_status web1)" != running ] || fail 'web1 runs, and may run on dst too'
# (it asks by itself every now and then)
proc_end source

say 'who asks again:'
status=0
adit_recover || status=$?
expect_equal 'the status of adit recover' 3 "$status"
mkfifo "$T/in"
proc_start embed src sh -c 'exec "$1" <"$2" >"$3"' sh "$embed" "$T/in" "$T/embed.log"
exec {in}>"$T/in"
printf 'resume %s state-dir=%s\n' "$TASK" "$T/state-src" >&"$in"
wait_until 40 'the end of its job' grep -q '^end ' "$T/embed.log"
grep -q '^end unknown: ' "$T/embed.log" || fail "libadit: $(grep '^end' "$T/embed.log")"

say 'and once there is an answer:'
link_accept
proc_kill serve CONT
wait_until 30 'adit recover settles it' adit_recover

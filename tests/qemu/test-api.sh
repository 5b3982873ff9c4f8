#!/usr/bin/env bash
# Limit: 240 s
# Sanitizers only
# Goal: real migrations driven by curl as docs/api.md has it, every answer as openapi.json has it: cancelled in each phase,
# limits changed in flight and seen in the rate, clients that go away or do not read, two at once, and adit serve told
# to stop in the middle; the same jobs, and that of adit migrate, through adit jobs, status, set and cancel.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/api.sh"
. "$TOP/tests/lib/docs.sh"
need curl
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

move_hosts
adit_serve_launch --api "$T/dst.sock"
guest='ram=16 rate=800 sectors=1024 diskrate=20'
for vm in web1 web2; do
    move_disks "$vm" 128M raw:virtio
    move_vm "$vm" append="$guest"
done
api_serve
api 200 GET /vms
expect_equal 'VMs without a monitor in the folder' '[]' "$(jq -c .vms "$T/body.json")"
api_vm web1
api_vm web2
# further sockets: a second monitor of the same VM, and one that speaks no QMP
ln -s "$T/web1/qmp2.sock" "$T/vms/zz.sock"
ln -s "$T/web1/serial.sock" "$T/vms/serial.sock"

say 'VMs'
api 200 GET /vms
expect_equal 'VMs' 'web1 running,web2 running' "$(jq -r '[.vms[] | "\(.name) \(.status)"] | join(",")' "$T/body.json")"
expect_equal 'others' 'serial.sock,zz.sock' "$(jq -r '[.others[].socket | split("/")[-1]] | sort | join(",")' "$T/body.json")"
rm "$T/vms/zz.sock" "$T/vms/serial.sock"
api 200 GET '/vms/{name}' web1
jq -e --argjson size $((128 << 20)) '.memory == 33554432 and .cpus == 1 and .task == null and (.machine | startswith("pc-i440fx")) and
    (.disks | length == 1 and (.[0] | .node == "disk0" and .target == "dev0" and .size == $size))' "$T/body.json" >/dev/null ||
    fail "GET /vms/web1: $(cat "$T/body.json")"
api 404 GET '/vms/{name}' web3
api 404 POST '/vms/{name}/migrate' web3 -d '{"host":"tls://h"}'
api 400 POST '/vms/{name}/migrate' web1 -d "{\"host\":\"tcp://$DST_IP\"}"

say 'as docs/api.md has it'
link_rate 160mbit
left_mark
# every command of the example, in its order; the last ones cancel the task
for n in 1 2 3 4 5 6; do docs_block docs/api.md 'An example' $n; done |
    sed "s,/run/adit/api.sock,$API,; s,tls://dst.example,$ADIT_DEST," >"$T/example.json"
grep -q DELETE "$T/example.json" || fail 'docs/api.md has no example any more'
(cd "$TMPDIR" && bash -e "$T/example.json") >"$T/example.log" 2>&1 || fail "the example fails: $(tail -n 3 "$T/example.log")"
grep -q '"event":"failed".*"code":"cancelled"' "$T/example.log" || fail "the example does not end as it says"
! grep -q '"error":{' "$T/example.log" || fail "an error in the example: $(grep -m 1 '"error":{' "$T/example.log")"
TASK=$(jq -r .id "$TMPDIR/task.json")
api 200 GET '/tasks/{id}' "$TASK"
jq -e '.status == "cancelled" and .progress < 100 and .limits.max_bandwidth == 8388608 and .limits.downtime_limit == 2000 and
    .request == {"host": $dest, "max_bandwidth": 4194304}' --arg dest "$ADIT_DEST" "$T/body.json" >/dev/null || fail "the task: $(cat "$T/body.json")"
rm "$TMPDIR/task.json" "$T/example.json"
# who only reads the log of adit serve has the beginning and the end
grep -q "info: job=$TASK web1: is to go to $ADIT_DEST\$" "$T/source.log" || fail 'the log does not tell where web1 is to go'
grep -q "info: job=$TASK web1: .*cancelled" "$T/source.log" || fail "the log does not tell of the task's end: $(grep "job=$TASK" "$T/source.log")"
left_clock
left_nothing

# cancelled PHASE: the task that is in it is cancelled, and all is as it was
cancelled() {
    api_reaches "$1"
    api 202 DELETE '/tasks/{id}' "$TASK"
    api_ended 20
    expect_equal "status after DELETE in $1" cancelled "$(jq -r .status "$T/body.json")"
    expect_equal "code after DELETE in $1" cancelled "$(jq -r .result.code "$T/body.json")"
    expect_equal "the VM's state" running "$(vm_status web12)"
    api 409 DELETE '/tasks/{id}' "$TASK"
    api 409 PATCH '/tasks/{id}' "$TASK" -d '{"timeout":10}'
    left_clock
    left_nothing
    say "  cancelled in $1"
}
say 'cancelled in each phase'
proc_kill serve STOP
api_start web1
api 409 POST '/vms/{name}/migrate' web1 -d "{\"host\":\"$ADIT_DEST\"}"
api_reaches prepare
# the monitor is the task's; what was read before is told
api 200 GET '/vms/{name}' web1
expect_equal 'the task of web1' "$TASK" "$(jq -r .task "$T/body.json")"
cancelled prepare
proc_kill serve CONT
link_rate 80mbit
api_start web1
cancelled disks
api_start web1 '"downtime_limit":1'
cancelled ram

say 'limits in flight'
crossed() { firewall_count dst passed_in bytes; }
# rate_is BYTES: what crosses in two seconds, within a tenth
rate_is() {
    local from begin rate
    sleep 1
    from=$(crossed) begin=$(now_ms)
    sleep 3
    rate=$((($(crossed) - from) * 1000 / ($(now_ms) - begin)))
    say "  asked for $1, measured $rate bytes a second"
    [ "$rate" -le $(($1 * 110 / 100)) ] && [ "$rate" -ge $(($1 * 90 / 100)) ] || fail "asked for $1, measured $rate bytes a second"
}
link_rate none
api_start web1 '"max_bandwidth":4194304'
api_reaches disks
rate_is 4194304
api 400 PATCH '/tasks/{id}' "$TASK" -d '{"max_bandwidth":1,"disks":"none"}'
api 400 PATCH '/tasks/{id}' "$TASK" -d '{"postcopy":false}'
api 400 PATCH '/tasks/{id}' "$TASK" -d '{"postcopy":true}'
api 400 PATCH '/tasks/{id}' "$TASK" -d '{}'
rate_is 4194304
api 200 PATCH '/tasks/{id}' "$TASK" -d '{"max_bandwidth":2097152}'
expect_equal 'the limit that is told' 2097152 "$(jq .limits.max_bandwidth "$T/body.json")"
rate_is 2097152

say 'metrics'
curl -sS --unix-socket "$API" http://adit/metrics >"$T/metrics.json"
api_metrics_check "$T/metrics.json"
for metric in adit_job_disk_done_bytes adit_job_disk_bytes adit_job_rate_bytes_per_second adit_stream_sent_bytes_total \
    adit_session_rtt_seconds adit_session_sent_bytes_total adit_session_streams; do
    awk -v v="$(api_metric $metric "$TASK")" 'BEGIN { exit !(v > 0) }' || fail "$metric is '$(api_metric $metric "$TASK")'"
done
# the destination's adit tells of its peers' sessions
curl -sS --unix-socket "$T/dst.sock" http://adit/metrics >"$T/metrics-dst.json"
api_metrics_check "$T/metrics-dst.json"
awk '/^adit_session_received_bytes_total\{job="",peer="psk:tester",address="10.77.0.1:[0-9]+"\} / { found = $NF > 1000000 }
    END { exit !found }' "$T/metrics-dst.json" || fail "the destination's metrics: $(grep ^adit_session "$T/metrics-dst.json")"
grep -q "^adit_job_info{job=\"$TASK\",vm=\"web1\",target=\"$ADIT_DEST\",status=\"running\",phase=\"disks\"} 1\$" "$T/metrics.json" ||
    fail "adit_job_info: $(grep ^adit_job_info "$T/metrics.json")"
grep -q '^adit_jobs{status="cancelled"} 4$' "$T/metrics.json" || fail "adit_jobs: $(grep ^adit_jobs "$T/metrics.json")"

say 'clients of the events'
source_fds() { find "/proc/${PROC_PID[source]}/fd" -mindepth 1 | wc -l; }
events=$(api_task .events)
# one that goes away in mid-stream, one that says what it should not, 32 at once, and one too many
timeout 1.5 curl -sN --unix-socket "$API" "http://adit/tasks/$TASK/events?from=$events" >"$T/went.json" || true
api_fits '{"$ref":"#/components/schemas/Event"}' "$T/went.json"
[ -s "$T/went.json" ] || fail 'no event within 1.5 s'
expect_equal 'the first event asked for' "$events" "$(head -n 1 "$T/went.json" | jq .seq)"
{ printf 'GET /tasks/%s/events HTTP/1.1\r\n\r\n' "$TASK"; head -c 8000000 /dev/zero; sleep 1; } | timeout 2 socat - "UNIX-CONNECT:$API" >"$T/garbage.log" 2>&1 || true
sleep 1.5 # the one before is noticed when there is an event to tell
fds=$(source_fds)
proc_start crowd - curl -sN -Z --parallel-immediate --parallel-max 40 --unix-socket "$API" -o /dev/null "http://adit/tasks/$TASK/events?from=[0-31]"
crowd_is_there() { [ "$(source_fds)" -ge $((fds + 32)) ]; }
wait_until 10 '32 clients' crowd_is_there
sleep 0.5
api 503 GET '/tasks/{id}/events' "$TASK"
proc_end crowd
api 400 GET '/tasks/{id}/events' "$TASK" -G -d from=x
[ "$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${PROC_PID[source]}/status")" -lt 400000 ] || fail 'adit serve grew'

say 'two at once'
FIRST=$TASK
proc_start events1 - curl -sSN --unix-socket "$API" "http://adit/tasks/$FIRST/events"
api_start web2 '"downtime_limit":2000'
proc_start events2 - curl -sSN --unix-socket "$API" "http://adit/tasks/$TASK/events"
api 200 PATCH '/tasks/{id}' "$FIRST" -d '{"max_bandwidth":0,"downtime_limit":2000}'
api 200 GET /tasks
expect_equal 'running tasks' 2 "$(jq '[.tasks[] | select(.ended == null)] | length' "$T/body.json")"
api_ended 60
TASK=$FIRST
api_ended 60
for i in 1 2; do
    wait_until 10 'the end of the stream' proc_gone "events$i"
    cp "$T/events$i.log" "$T/web$i.json"
    api_fits '{"$ref":"#/components/schemas/Event"}' "$T/web$i.json"
    expect_equal 'numbers of events without a gap' true \
        "$(jq -s '[.[].seq] == [range(.[0].seq; .[0].seq + length)]' "$T/web$i.json")"
    : >"$T/web$i.log"
    MIGRATE=web$i MIGRATE_STATUS=0
    move_succeeded "web$i" "web$i-twin" raw:virtio
done
MIGRATE=migrate
jq -e '.status == "completed" and .progress == 100 and .session == null and (.streams | map(.class) | sort == ["disk", "ram"]) and
    .result.event == "completed"' "$T/body.json" >/dev/null || fail "the Task in the end: $(cat "$T/body.json")"
api 409 DELETE '/tasks/{id}' "$TASK"
curl -sS --unix-socket "$API" http://adit/metrics >"$T/metrics.json"
api_metrics_check "$T/metrics.json"
awk -v v="$(api_metric adit_job_downtime_seconds "$TASK")" 'BEGIN { exit !(v > 0 && v < 5) }' ||
    fail "downtime: '$(api_metric adit_job_downtime_seconds "$TASK")'"
api 200 GET /vms
expect_equal 'VMs that went away' '[]' "$(jq -c .vms "$T/body.json")"
vm_end web1-twin
vm_end web2-twin

say 'adit jobs and its kin'
move_disks web3 64M raw:virtio
move_vm web3 append="$guest"
api_vm web3
link_rate 80mbit
left_mark
commands() { "$ADIT" "$@" --api "$API"; }
api_start web3
api_reaches disks
commands jobs >"$T/jobs.log"
grep -q "^${TASK:0:12}  web3  *running  *disks .*$ADIT_DEST\$" "$T/jobs.log" || fail "adit jobs: $(cat "$T/jobs.log")"
commands status >"$T/status.log"
grep -q "^job  *$TASK\$" "$T/status.log" && grep -q '^disks  *[0-9]' "$T/status.log" || fail "adit status: $(cat "$T/status.log")"
commands status "${TASK:0:6}" --json | jq -e --arg id "$TASK" '.id == $id' >/dev/null || fail 'adit status --json'
commands set "${TASK:0:6}" --max-bandwidth 5M --timeout 60 --on-timeout suspend
expect_equal 'the limits after adit set' '[5242880,60,"suspend"]' \
    "$(api_task '.limits | [.max_bandwidth, .timeout, .on_timeout] | tojson')"
proc_start watch - "$ADIT" status --api "$API" --watch "$TASK"
said=$(commands cancel "${TASK:0:6}") || fail "adit cancel: $said"
proc_wait watch 10
expect_equal 'the status of adit status --watch' 1 "$PROC_STATUS"
grep -q 'adit status: cancelled' "$T/watch.log" || fail "adit status --watch: $(tail -n 1 "$T/watch.log")"
expect_equal 'status after adit cancel' cancelled "$(api_task .status)"
! commands cancel "${TASK:0:6}" >"$T/cancel.log" 2>&1 || fail 'adit cancel of what has ended succeeded'
left_clock
left_nothing

say "the job of an adit migrate"
adit_start web3 --max-bandwidth 2M
wait_until 20 'its job' eval '"$ADIT" jobs --json | jq -e ".tasks[0].phase == \"disks\"" >/dev/null 2>&1'
run=/run/adit
[ "$(id -u)" = 0 ] || run=$XDG_RUNTIME_DIR/adit
JOB=$("$ADIT" jobs --json | jq -r '.tasks[0].id')
expect_equal 'mode of its socket' 600 "$(stat -c %a "$run/jobs/$JOB.sock")"
"$ADIT" jobs --json >"$T/jobs.json"
api_fits '{"$ref":"#/components/schemas/Tasks"}' "$T/jobs.json"
# what bash completes behind adit cancel
expect_equal 'jobs in bash' "${JOB:0:12}" \
    "$(. "$TOP/dist/completions/adit.bash" && COMP_WORDS=("$ADIT" cancel '') COMP_CWORD=2 && _adit && printf '%s\n' "${COMPREPLY[@]}")"
"$ADIT" set "${JOB:0:4}" --max-bandwidth 3M
expect_equal 'its limit' 3145728 "$("$ADIT" status --json | jq .limits.max_bandwidth)"
"$ADIT" cancel "${JOB:0:4}" --json >"$T/cancel.json" || fail "adit cancel: $(cat "$T/cancel.json")"
adit_wait 10
expect_equal 'status of adit migrate' 1 "$MIGRATE_STATUS"
expect_equal 'code of adit migrate' cancelled "$(tail -n 1 "$T/migrate.json" | jq -r .code)"
[ ! -e "$run/jobs" ] || fail "left behind: $(find "$run/jobs")"

say 'cancelled too late'
proc_end serve
ADIT_STOP_AT=d-finish,d-confirm adit_serve_launch
move_disks web4 32M raw:virtio
move_vm web4 append="$guest"
api_vm web4
link_rate none
api_start web4 '"downtime_limit":2000'
for phase in finish confirm; do
    wait_until 30 "adit serve on dst in $phase" proc_stopped serve
    api_reaches "$phase"
    api 409 DELETE '/tasks/{id}' "$TASK"
    jq -e --arg phase "$phase" '.error.message | test("too late.*" + $phase)' "$T/body.json" >/dev/null || fail "in $phase: $(cat "$T/body.json")"
    proc_kill serve CONT
done
api_ended 30
expect_equal 'status of what could not be cancelled' completed "$(jq -r .status "$T/body.json")"
: >"$T/web4.json" : >"$T/web4.log"
MIGRATE=web4 MIGRATE_STATUS=0
curl -sS --unix-socket "$API" "http://adit/tasks/$TASK/events" >"$T/web4.json"
move_succeeded web4 web4-twin raw:virtio
MIGRATE=migrate
vm_end web4-twin
link_rate 80mbit

say 'adit serve is told to stop'
api_start web3
api_reaches disks
proc_start watch - "$ADIT" status --api "$API" --watch --json "$TASK"
sleep 0.5
# the first word is to wait for what runs, the second to end it
proc_kill source TERM
wait_until 5 'its word' grep -q 'waits for the end of 1 job from this host' "$T/source.log"
sleep 1
proc_runs source || fail 'adit serve ended before its job'
expect_equal 'the job that runs' running "$(api_task .status)"
proc_kill source INT
proc_wait source 20
expect_equal 'status of adit serve' 0 "$PROC_STATUS"
proc_wait watch 5
expect_equal 'the last event' cancelled "$(tail -n 1 "$T/watch.log" | jq -r .code)"
[ ! -e "$API" ] || fail 'the socket was left behind'
guest_quiet web3
guest_still web3
say "  guest on src: $(guest_verify web3)"

say 'adit serve is told to stop, and its job comes to its end'
guest_go web3
link_rate 400mbit
api_serve
api_start web3
api_reaches disks
proc_start watch - "$ADIT" status --api "$API" --watch --json "$TASK"
sleep 0.3
proc_kill source TERM
wait_until 5 'its word' grep -q 'waits for the end of 1 job from this host' "$T/source.log"
api 503 POST '/vms/{name}/migrate' web3 -d "{\"host\":\"$ADIT_DEST\"}"
proc_wait source 60
expect_equal 'status of adit serve' 0 "$PROC_STATUS"
proc_wait watch 5
expect_equal 'the last event' completed "$(tail -n 1 "$T/watch.log" | jq -r .event)"
wait_until 5 "the end of the source's QEMU" proc_gone web3
docs_done

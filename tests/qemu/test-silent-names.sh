#!/usr/bin/env bash
# Limit: 150 s
# Goal: the name server is silent, and adit serve is to look up names: its caretaker (a job of the journal whose destination
# has a name), a job of the API over tls:// and one over ssh://. Its other session goes on meanwhile, and so does its API; a job is
# cancelled at once, and adit migrate, check and forward end at once at Ctrl-C. Of a name with two addresses the second is
# tried when nothing answers at the first.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/api.sh"
need curl socat

SILENT=silent.test

# names_silent: src asks a name server that takes every question and answers none
names_silent() {
    proc_start names src socat -u UDP4-RECV:53,bind=127.0.0.2 /dev/null
    echo 'nameserver 127.0.0.2' >"$T/resolv.conf"
    [ -e /etc/resolv.conf ] || touch /etc/resolv.conf
    mount --bind "$T/resolv.conf" "$(realpath /etc/resolv.conf)"
    in_host src timeout 1 getent hosts $SILENT >/dev/null && fail 'the name server answers'
    [ "$(in_host src getent hosts $DST_NAME | cut -d' ' -f1)" = $DST_IP ] || fail '/etc/hosts is not asked'
}
echoes() { [ "$(echo ping | in_host src timeout 4 socat -t 4 - "UNIX-CONNECT:$T/near")" = ping ]; }
# goes_on WHAT: the other session, and the API
goes_on() {
    local i
    for ((i = 0; i < 3; i++)); do
        echoes || fail "$1: the other session of adit serve stands still"
    done
    curl -sS --max-time 4 --unix-socket "$API" http://adit/tasks >"$T/body.json" || fail "$1: the API stands still"
}
# looks_up: a task is in Prepare, and has not ended
looks_up() { api_task_is '.phase == "prepare" and .ended == null' true; }
task_gone() { api_task_is '.status' cancelled; }

move_hosts
adit_serve_launch
move_disks web1 32M raw:virtio
move_vm web1 append='ram=8 rate=300 sectors=128 diskrate=10'
MOVE_DISKS=()
move_vm web2 append='ram=8 rate=300 disks=none'
move_vm web3 append='ram=8 rate=300 disks=none'

say 'a job whose destination has a name is cut off in Finish, as far as its record goes'
link_rate 20mbit
adit_start web1
wait_until 20 'the disks phase' grep -q '"phase":"disks"' "$T/migrate.json"
proc_kill migrate KILL
adit_wait 5
link_rate none
record=("$T"/state-src/journal/source-*.json)
adit_record "${record[0]}" . | jq --arg dest "tls://$SILENT" '.config.dest = $dest | .state = "finish"' >"$T/record"
cat "$T/record" >"${record[0]}"

names_silent
proc_start echo src socat "UNIX-LISTEN:$T/echo,fork" EXEC:cat
api_serve --allow-forward "unix:$T/echo"
port=$(sed -nE 's/.* listening on .*:([0-9]+) .*/\1/p' "$T/source.log" | head -n 1)
proc_start forward src "$ADIT" forward "tls://127.0.0.1:$port" "${ADIT_CREDS[@]}" -L "unix:$T/near=unix:$T/echo"
wait_until 20 'the other session' test -S "$T/near"
api_vm web2
api_vm web3

say 'the caretaker asks'
wait_until 20 'the caretaker to ask' grep -qE 'asks? again|found in state finish' "$T/source.log"
goes_on 'the caretaker'
for dest in tls://$SILENT ssh://$SILENT ssh+tls://$SILENT; do
    say "a job to $dest"
    api 202 POST '/vms/{name}/migrate' web2 -d "{\"host\":\"$dest\"}"
    TASK=$(jq -r .id "$T/body.json")
    wait_until 4 'Prepare' looks_up
    goes_on "$dest"
    looks_up || fail "the task has ended meanwhile: $(api_task .message)"
    api 202 DELETE '/tasks/{id}' "$TASK"
    wait_until 4 'the end of the job that was cancelled' task_gone
done
grep -q 'dead\|lost' "$T/forward.log" && fail "the other session: $(cat "$T/forward.log")"

say 'the name server has its time, and then it is said'
api 202 POST '/vms/{name}/migrate' web3 -d "{\"host\":\"tls://$SILENT\"}"
TASK=$(jq -r .id "$T/body.json")
api_ended 30
jq -e '.message | test("silent.test")' "$T/body.json" >/dev/null || fail "it does not name it: $(cat "$T/body.json")"
say "  $(jq -r .message "$T/body.json")"

# interrupted NAME COMMAND...: Ctrl-C while it looks up
interrupted() {
    proc_start by src env --default-signal=INT "$@"
    sleep 1
    proc_runs by || fail "$*: it has ended by itself: $(cat "$T/by.log")"
    proc_kill by INT
    wait_until 3 "the end of $2 at Ctrl-C" proc_gone by
    proc_wait by 1
    say "  $2: status $PROC_STATUS: $(tail -n 1 "$T/by.log")"
}
say 'Ctrl-C while a name is looked up'
for dest in tls://$SILENT ssh://$SILENT; do
    creds=()
    [ "${dest%%:*}" != tls ] || creds=("${ADIT_CREDS[@]}")
    interrupted "$ADIT" migrate --qmp "${VM_QMP[web3]}" "${creds[@]}" --state-dir "$T/state-src2" "$dest"
    interrupted "$ADIT" check --qmp "${VM_QMP[web3]}" "${creds[@]}" "$dest"
    interrupted "$ADIT" forward "${creds[@]}" -L "unix:$T/near2=unix:$T/echo" "$dest"
done

say 'a name with two addresses, of which the first drops everything'
printf '10.77.0.9 two.test\n%s two.test\n' $DST_IP >>"$T/hosts"
in_host src "$ADIT" check --qmp "${VM_QMP[web3]}" "${ADIT_CREDS[@]}" tls://two.test >"$T/check.out" 2>&1 || fail "adit check: $(cat "$T/check.out")"
grep -q "at $DST_IP" "$T/check.out" || fail "not at the second address: $(cat "$T/check.out")"
for vm in web1 web2 web3; do
    guest_go "$vm"
done

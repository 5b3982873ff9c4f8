#!/usr/bin/env bash
# Sanitizers only
# Limit: 300 s
# Goal: a destination that lies, with a good key: cookies of other jobs and versions, disks that do not fit, words out of
# order, endless or none at all, a decision that nobody asked for, RAM never taken; and after FINISH, where only its word counts,
# words that are none. Each time both sides are told why, and the VM runs on at the source, whole; where it may run there,
# it stays paused until a word can be believed.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/liar.sh"

# lie_begin VM [OPTION]...: adit migrate has said BEGIN, in stream $talk, for job $job
lie_begin() {
    local vm=$1
    shift
    liar_mark
    adit_start "$vm" "$@"
    lie_talk '"kind": ?"begin"'
}
lie_talk() {
    liar_heard "^line [0-9]+ .*$1"
    talk=$(liar_find "^line [0-9]+ .*$1" | sed -E 's/^line ([0-9]+) .*/\1/')
    job=$(liar_find "^line $talk " | sed -E 's/^line [0-9]+ //' | jq -r .job)
}
# lie PHASE KIND [JSON]: said of the true job
lie() { liar_tell say "$talk" "$(cookie "$1" "$2" "$job" "${3:-{\}}")"; }
# prepared [JQ]: PREPARED as it should be, changed by JQ
prepared() {
    liar_tell say "$talk" "$(cookie prepare prepared "$job" "$(jq -cn --argjson disks "$disks" --arg host $THIS_HOST \
        '{vm: {qemu: "7.2.0", qmp: "/q", launched: true}, disks: $disks, notes: [], host: $host}')" | jq -c "${1:-.}")"
}
# lie_end VM REGEX: the migration failed for that reason, which the liar was told, too; the VM runs on
lie_end() {
    left_clock
    # the liar is told the same, in an ABORT or with the end of the stream
    liar_heard "^line $talk .*\"kind\": ?\"abort\"|^reset $talk |^eof $talk|^end " 20
    lie abort aborted '{"clean": true}'
    adit_wait 30
    move_failed "$1" 1 "$2"
    told=$(tail -n "+$LIAR_MARK" "$T/liar.log" | grep -aE "^line $talk .*\"kind\": ?\"abort\"|^reset $talk ")
    grep -qiE -- "$2" <<<"$told" || fail "the liar was not told why: $told"
}
caught() {
    local what=$1 vm=$2 regex=$3
    shift 3
    say "$what:"
    left_mark
    lie_begin "$vm"
    "$@"
    lie_end "$vm" "$regex"
}
twice() { prepared && lie "$@"; }

move_hosts
(umask 077; mkdir -p "$T/state-src")
liar_listen
move_disks a 8M raw:virtio raw:virtio
move_vm a append='ram=8 rate=500 sectors=256 diskrate=20'
disks='["disk0", "disk1"]'

caught 'a version from the future' a 'version 2' prepared '.adit = 2'
caught "another job's cookie" a 'another job' prepared ".job = \"$OTHER_JOB\""
caught 'a cookie that only a source may say' a 'not for this side' lie perform finish '{"run": true, "status": "completed"}'
caught 'a disk that is missing' a 'disk1 0 times' prepared '.disks = ["disk0"]'
caught 'a disk that nobody has' a '3 disks' prepared '.disks += ["disk2"]'
caught 'a disk that is there twice' a 'disk0 2 times' prepared '.disks = ["disk0", "disk0"]'
caught 'one node for two disks' a 'disk0 and disk1 into one node' prepared '.nodes = ["n", "n"]'
caught 'fewer nodes than disks' a '1 nodes for 2 disks' prepared '.nodes = ["n"]'
caught 'a name of a disk with a path in it' a 'disks is not a plain name' prepared '.disks = ["../disk0", "disk1"]'
caught 'control characters for the terminal' a 'control character' prepared '.notes = ["\u001b[2J"]'
caught 'notes without end' a 'too many' prepared '.notes = [range(1025) | "note"]'
caught 'a member that nobody knows' a 'colour is unknown' prepared '.colour = "red"'
no_json() { liar_tell say "$talk" 'no {JSON'; }
caught 'what is no JSON' a 'not JSON' no_json
huge() { liar_tell blob "$talk" 3000000; }
caught 'a line without end' a 'longer than' huge
caught 'a decision before anything' a 'finished in phase prepare' lie finish finished '{"runs": true, "status": "running"}'
caught 'the same as an answer to disks that are copied' a 'finished in phase disks' \
    twice finish finished '{"runs": true, "status": "running"}'
caught 'disks closed before they are copied' a 'disks-closed in phase disks' twice perform disks-closed
caught 'confirmed before anything is' a 'confirmed in phase disks' twice confirm confirmed
caught 'recovered, which nobody asked for' a 'recovered in phase disks' \
    twice recover recovered "{\"outcome\": \"runs\", \"host\": \"$THIS_HOST\"}"
caught 'prepared twice' a 'prepared in phase disks' twice prepare prepared \
    "$(jq -cn --argjson disks "$disks" --arg host $THIS_HOST '{vm: {qemu: "7.2.0", qmp: "/q", launched: true}, disks: $disks, notes: [], host: $host}')"

say 'no answer at all:'
left_mark
lie_begin a --timeout 3
lie_end a 'within 3 s'
say 'an NBD server that is none:'
left_mark
lie_begin a
prepared
liar_heard '^stream [0-9]+ disk job:.*/disk/disk1'
for stream in $(tail -n "+$LIAR_MARK" "$T/liar.log" | sed -nE 's/^stream ([0-9]+) disk .*/\1/p'); do
    liar_tell blob "$stream" 4096
done
lie_end a 'disk'
say 'an NBD server that goes once it has greeted, before the other one has:'
reply() { printf '\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00%b' "$1"; } # OPTION TYPE LENGTH BODY, of NBD's option replies
{
    printf 'NBDMAGICIHAVEOPT\x00\x03'
    reply '\x08\x80\x00\x00\x01\x00\x00\x00\x00'
    reply '\x0a\x80\x00\x00\x01\x00\x00\x00\x00'
    reply '\x07\x00\x00\x00\x03\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x05'
    reply '\x07\x00\x00\x00\x01\x00\x00\x00\x00'
} >"$T/hello"
left_mark
lie_begin a
prepared
liar_heard '^stream [0-9]+ disk job:.*/disk/disk1'
mapfile -t streams < <(tail -n "+$LIAR_MARK" "$T/liar.log" | sed -nE 's/^stream ([0-9]+) disk .*/\1/p')
liar_tell file "${streams[0]}" "$T/hello"
sleep 0.2
liar_tell drop "${streams[0]}"
sleep 0.2
liar_tell file "${streams[1]}" "$T/hello"
lie_end a 'disk'
say 'an NBD server that says nothing, while QEMU waits for it, and the guest with QEMU:'
left_mark
lie_begin a
prepared
lie_end a 'disks of the destination did not answer'
guest_quiet a
guest_still a
say "  guest on src: $(guest_verify a)"
guest_go a

# RAM alone from here on: the liar can swallow that, as a destination would
MOVE_DISKS=()
move_vm b append='ram=8 rate=300 disks=none'
disks='[]'
say 'a decision while RAM is not taken:'
left_mark
lie_begin b
liar_tell hold
prepared
liar_heard '^stream [0-9]+ ram '
sleep 0.5
lie finish finished '{"runs": true, "status": "running"}'
lie_end b 'finished in phase ram'
say 'RAM that is thrown back, and a decision:'
liar_end
liar_listen
left_mark
lie_begin b
prepared
liar_heard '^stream [0-9]+ ram '
liar_tell drop "$(liar_find '^stream [0-9]+ ram ' | cut -d' ' -f2)"
lie finish finished '{"runs": true, "status": "running"}'
lie_end b 'RAM|finished in phase'

# from FINISH on. lie_finish: RAM was swallowed, and FINISH has come
lie_finish() {
    lie_begin b --downtime-limit 1000
    prepared
    # QEMU waits for the other QEMU's word that it has all (MIG_RP_MSG_SHUT, 0), and closes what it writes to if that
    # comes before the end
    wait_until 20 'the last of RAM' grep -q '"phase":"device"' "$T/migrate.json"
    at=-1
    while [ "$(firewall_count dst passed_in bytes)" != "$at" ]; do
        at=$(firewall_count dst passed_in bytes)
        sleep 0.5
    done
    printf '\0\1\0\4\0\0\0\0' >"$T/left.shut"
    liar_tell file "$(liar_find '^stream [0-9]+ ram ' | cut -d' ' -f2)" "$T/left.shut"
    liar_heard "^line $talk .*\"kind\": ?\"finish\""
    expect_equal 'the VM while nobody knows' paused "$(vm_status b2 | sed s/postmigrate/paused/)"
}
say 'the last of RAM, and then no end of it while the guest stands still:'
liar_end
liar_listen
left_mark
ADIT_LIMITS=stands=1500 lie_begin b --downtime-limit 100
prepared
lie_end b 'guest has stood still for 2 s'

# asked_again: the source asks in a new session; the talk is that one from now on
asked_again() {
    local was=$job
    liar_heard '^line [0-9]+ .*"kind": ?"recover"'
    lie_talk '"kind": ?"recover"'
    expect_equal 'the job that is asked for' "$was" "$job"
    liar_mark
}
recovered() { lie recover recovered "{\"outcome\": \"$1\", \"host\": \"$2\"}"; }
# stays_paused REGEX: adit migrate gives up; the VM stays paused, and its job in the journal
stays_paused() {
    adit_wait 30
    expect_equal 'the exit status of adit migrate' 3 "$MIGRATE_STATUS"
    grep -qE "$1" "$T/migrate.log" || fail "not said: $1: $(cat "$T/migrate.log")"
    expect_equal 'the VM' postmigrate "$(vm_status b)"
    tail -n 1 "$T/migrate.json" | jq -e '.unknown == true' >/dev/null || fail 'the last line of --json does not say unknown'
    [ -e "$T/state-src/journal/source-$job.json" ] || fail 'no record is left in the journal'
}
# settled_here: adit recover, with the liar saying the truth at last, and more lies behind it
settled_here() {
    liar_mark
    proc_start recover src "$ADIT" recover --state-dir "$T/state-src"
    asked_again
    recovered never $THIS_HOST
    "$@"
    proc_wait recover 20
    expect_equal 'the exit status of adit recover' 0 "$PROC_STATUS"
    [ ! -e "$T/state-src/journal/source-$job.json" ] || fail 'the record is still there'
    left_clock
    move_runs_on b
}

say "after FINISH, another job's word; then another host answers, which does not count:"
left_mark
lie_finish
liar_tell say "$talk" "$(cookie finish finished $OTHER_JOB '{"runs": true, "status": "running"}')"
asked_again
recovered never $OTHER_HOST
asked_again
lie abort abort '{"code": "refused", "reason": "no"}'
stays_paused 'no'
say '  the destination itself says never, and then that it runs'
settled_here lie finish finished '{"runs": true, "status": "running"}'
say 'after FINISH, confirmed without a decision; then nothing that is a word:'
lie_finish
lie confirm confirmed
asked_again
recovered perhaps $THIS_HOST
asked_again
lie abort abort '{"code": "refused", "reason": "no"}'
stays_paused 'no'
say '  a destination that will not tell, and a person who decides'
in_host src "$ADIT" recover --state-dir "$T/state-src" --run-here "${job:0:8}" >"$T/recover.out" 2>&1 || fail "adit recover: $(cat "$T/recover.out")"
left_clock
move_runs_on b
say 'after FINISH, a version from the future; then the truth:'
lie_finish
liar_tell say "$talk" "$(cookie finish finished "$job" '{"adit": 9, "runs": true, "status": "running"}')"
asked_again
recovered never $THIS_HOST
lie confirm confirmed
adit_wait 20
sed -i '/warning: .*ignored in phase undo/d' "$T/migrate.log" # of the word behind it, where it came in time
move_failed b 1 'does not run on the destination and never will'
guest_still b
say "  guest on src: $(guest_verify b)"
guest_go b

say 'after CONFIRMED, every word that does not belong there, and that the job is given up, while the source QEMU does not end:'
lie_finish
lie finish finished '{"runs": true, "status": "running"}'
liar_heard "^line $talk .*\"kind\": ?\"confirm\""
proc_kill b STOP
wait_until 5 'the source QEMU to stand still' proc_stopped b
lie confirm confirmed
lie finish finished '{"runs": true, "status": "running"}'
lie perform disks-closed
lie recover recovered "{\"outcome\": \"never\", \"host\": \"$THIS_HOST\"}"
lie abort aborted '{"clean": true}'
lie abort abort '{"code": "refused", "reason": "no"}'
liar_tell say "$talk" "$(cookie abort abort $OTHER_JOB '{"code": "refused", "reason": "no"}')"
adit_wait 30
expect_equal 'the exit status of adit migrate' 0 "$MIGRATE_STATUS"
grep -q 'has not ended within' "$T/migrate.json" || fail 'it does not say that the source QEMU lives'
grep -q 'ignored in phase end' "$T/migrate.log" || fail "it does not say what it ignored: $(cat "$T/migrate.log")"
[ -e "$T/state-src/journal/source-$job.json" ] || fail 'no record is left in the journal'
liar_mark
proc_kill b CONT
proc_start recover src "$ADIT" recover --state-dir "$T/state-src"
proc_wait b 15
asked_again
recovered never $THIS_HOST
proc_wait recover 20
expect_equal 'the exit status of adit recover' 0 "$PROC_STATUS"

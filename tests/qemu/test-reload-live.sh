#!/usr/bin/env bash
# Goal: a reload that fails changes nothing, on the disk neither; and one that turns migrations on, where an adit that was killed
# left a guardian at its work, does not hold up the sessions that are there: what is left is settled once the guardian is done.
. "$(dirname "$0")/lib.sh"
need socat

JOB=0123456789abcdef0123456789abcdef
record=$T/state-dst/journal/destination-$JOB.json

# conf LINE...: the file, with those lines for the peer "tester"
conf() {
    printf '%s\n' '[serve]' "listen = $DST_IP:$ADIT_PORT" "psk = $T/psk-serve" "run-dir = $T/run-dst" \
        "state-dir = $T/state-dst" '[peer tester]' "forward = unix:$T/echo" "$@" >"$T/adit.conf"
}
echoes() { [ "$(echo ping | in_host src timeout 3 socat -t 3 - "UNIX-CONNECT:$T/near")" = ping ]; }
started() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20; }
settled() { [ ! -e "$record" ]; }

move_hosts
(umask 077 && cp "$T/psk" "$T/psk-serve")
conf
proc_start echo dst socat "UNIX-LISTEN:$T/echo,fork" EXEC:cat
proc_start serve dst "$ADIT" serve --config "$T/adit.conf"
wait_until 10 'adit serve to listen' adit_serves
proc_start forward src "$ADIT" forward "${ADIT_CREDS[@]}" -L "unix:$T/near=unix:$T/echo" "$ADIT_DEST"
wait_until 10 'the session' test -S "$T/near"
echoes || fail 'no echo'

say 'migrations are turned on, and the keys are broken'
conf 'migrate = yes'
echo broken >"$T/psk-serve"
proc_kill serve HUP
wait_until 5 'the reload to fail' grep -q 'the old configuration and credentials stay in force' "$T/serve.log"
[ ! -e "$T/state-dst" ] || fail 'a reload that failed has made the state folder'
echoes || fail 'no echo after a reload that failed'

say 'migrations are turned on, and a guardian is at its work'
cat "$T/psk" >"$T/psk-serve"
(umask 077 && mkdir -p "$T/state-dst/journal")
proc_start guardian dst sleep 60
jq -n --arg job $JOB --argjson pid "${PROC_PID[guardian]}" --argjson started "$(started "${PROC_PID[guardian]}")" \
    --arg boot "$(cat /proc/sys/kernel/random/boot_id)" '{adit: 1, job: $job, state: "preparing", peer: "psk:tester", name: "vm",
    boot: $boot, launched: true, qmp: "/nowhere", dir: "", shared: false, made: [], images: [],
    guardian: {pid: $pid, started: $started}, run: true, postcopy: false}' >"$record"
proc_kill serve HUP
sleep 0.3
for _ in 1 2 3; do
    echoes || fail 'the session stands still while a guardian is waited for'
done
wait_until 5 'the reload' grep -q 'and the credentials anew' "$T/serve.log"
[ -e "$record" ] || fail 'the record has gone while its guardian lives'
proc_end guardian
wait_until 5 'what was left to be settled' settled

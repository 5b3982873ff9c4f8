#!/usr/bin/env bash
# Goal: a host whose key file has the keys of several is one of them to others: [client] of adit.conf says which for the jobs
# of the API, --identity for adit migrate; and adit recover shows the key that the job began with.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/fault.sh"
. "$TESTS_QEMU/api.sh"

move_hosts
(umask 077 && for name in dst other src; do "$ADIT" keygen $name; done >"$T/keys")
cat >"$T/dst.conf" <<END
[serve]
psk = $T/keys
[peer src]
migrate = yes
launch = $QEMU
images = $ADIT_IMAGES
[peer *]
END
adit_images
ADIT_SERVE_CREDS=(--config "$T/dst.conf") ADIT_CREDS=(--psk "$T/keys") ADIT_DEST_QMP=
adit_serve --run-dir "$T/run-dst" --state-dir "$T/state-dst"

say 'the API'
fault_vm web1 16M
printf '[serve]\npsk = %s\n[client]\nidentity = src\n' "$T/keys" >"$T/src.conf"
ADIT_SERVE_CREDS=(--config "$T/src.conf")
api_serve
api_vm web1
api_start web1
api_ended 60
expect_equal 'how the task ended' completed "$(jq -r .status "$T/body.json")"
grep -q psk:src "$T/serve.log" || fail "who came: $(grep psk: "$T/serve.log")"
proc_end source

say 'adit migrate, killed, and adit recover'
fault_vm b 16M
left_mark
left_clock
move_refused 'without a name' b 1 'several identities' '--identity' -- 
adit_start b --identity src --max-bandwidth 2M
move_phase b mirror
proc_kill migrate KILL
adit_wait 5
left_clock
adit_recover || fail 'adit recover failed'
move_runs_on b
expect_equal 'whom it has in its record' '' "$(find "$T/state-src/journal" -name 'source-*')"
ADIT_CREDS+=(--identity src)
adit_migrate b
move_succeeded b b-twin raw:virtio

#!/usr/bin/env bash
# Limit: 300 s
# Goal: who does what README.md says, line by line, on two hosts that have nothing of adit yet, has his VM on the other one: with
# a key over one port, with ssh instead, and with a key of ssh that may do nothing else; and the examples of the manual pages.
NEED_ROOT=1
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/roots.sh"
. "$TOP/tests/lib/docs.sh"
need nbdkit nbdcopy
here='Between two real hosts, in six commands' ssh='With ssh instead' any='Under virsh, and under any program'

roots_make
say 'adit, on both hosts'
docs_block README.md "$here" 1 | roots_install
expect_equal 'the adit that is found' /usr/local/bin/adit "$(on src sh -c 'command -v adit')"

say 'a key, and the destination'
docs_block README.md "$here" 2 | lines src key
lines_begin dst serve < <(docs_block README.md "$here" 3)
wait_until 10 'adit serve' adit_serves

say 'will it work?'
vm one
docs_block README.md "$here" 5 | lines src check
grep -q '^0 errors\|adit migrate would succeed' "$T/check.log" || fail "adit check: $(cat "$T/check.log")"

say 'there it goes'
docs_block README.md "$here" 4 | lines src migrate
cat "$T/migrate.log"
vm_moved one
firewall_expect_connections 3 # scp's, adit check's, adit migrate's

say 'with ssh instead'
vm two
docs_block README.md "$ssh" 1 | lines src migrate
vm_moved two
say 'with a key of ssh that may do this and nothing else'
docs_block README.md "$ssh" 2 | sed "s|--allow-migrate \.\.\.|--allow-migrate --allow-launch /usr/bin/qemu-system-x86_64 --images /var/lib/vms|
    s|ssh-ed25519 AAAA\.\.\.|$(on src cat /root/.ssh/id_ed25519.pub)|" | on dst tee /root/.ssh/authorized_keys
vm three
docs_block docs/man/adit-migrate.1 EXAMPLES 2 | lines src migrate
vm_moved three
on src ssh root@destination touch /root/free </dev/null >"$T/said" 2>&1 || true
! on dst test -e /root/free || fail 'that key may do something else'

say 'the examples of the manual pages'
lines_end serve
lines_begin dst serve < <(docs_block docs/man/adit-serve.8 EXAMPLES 1)
wait_until 10 'adit serve' adit_serves
vm four
link_rate 24mbit
lines_begin src migrate < <(docs_block docs/man/adit-migrate.1 EXAMPLES 1)
wait_until 10 'the job' eval 'on src adit status --json >"$T/job.json" 2>/dev/null && [ -s "$T/job.json" ]'
docs_block docs/man/adit-jobs.1 EXAMPLES 1 | sed "s/3fa2/$(jq -r .id "$T/job.json" | cut -c 1-4)/" >"$T/jobs.sh"
lines_begin src watch < <(sed -n 1p "$T/jobs.sh")
sed 1d "$T/jobs.sh" | lines src set
link_rate none
proc_wait migrate 60
expect_equal 'the status of adit migrate' 0 "$PROC_STATUS"
proc_wait watch 10
expect_equal 'the status of adit status --watch' 0 "$PROC_STATUS"
docs_block docs/man/adit-vms.1 EXAMPLES 1 | sed 's/demo/four/' >"$T/seen.sh"
sed -n 1p "$T/seen.sh" | lines dst vms
grep -qE '^four +[0-9]+ +running ' "$T/vms.log" || fail "adit vms: $(cat "$T/vms.log")"
lines_begin dst console < <(sed -n 2p "$T/seen.sh")
wait_until 10 'the guest on its console' grep -qa '^HB ' "${PROC_LOG[console]}"
pkill -TERM -P "${PROC_PID[console]}"
proc_wait console 10
vm_moved four

say 'any program'
lines_end serve
begin dst serve adit serve --psk /etc/adit/psk --allow-forward 'unix:/run/*.sock' --allow-forward 'unix:/run/nbd/*.sock' --allow-forward tcp:127.0.0.1:80
begin dst nbd nbdkit -f -U /run/nbd.sock file /var/lib/vms/one.raw
on dst mkdir -p /run/nbd
begin dst nbd-two nbdkit -f -U /run/nbd/disk.sock file /var/lib/vms/two.raw
wait_until 10 'the servers' eval 'adit_serves && on dst test -S /run/nbd.sock && on dst test -S /run/nbd/disk.sock'
docs_block README.md "$any" 2 | lines src copy
docs_block docs/man/adit-forward.1 EXAMPLES 1 | lines src copy
for disk in one.raw:copy.img two.raw:disk.raw; do
    expect_equal "the copy of ${disk%:*}" "$(on dst sha256sum - <"/proc/${PROC_PID[root-dst]}/root/var/lib/vms/${disk%:*}")" \
        "$(on src sha256sum - <"/proc/${PROC_PID[root-src]}/root/root/${disk#*:}")"
done
printf 'read line\nprintf "HTTP/1.0 200 OK\\r\\n\\r\\na page\\n"\n' >"$T/web.sh"
begin dst web socat TCP-LISTEN:80,bind=127.0.0.1,reuseaddr,fork "EXEC:sh $T/web.sh"
wait_until 5 'a web server' eval 'listeners dst | grep -q ":80 "'
on src cp /etc/adit/psk key
docs_block docs/man/adit-run.1 EXAMPLES 1 | lines src page
expect_equal 'what came' 'a page' "$(tail -n 1 "$T/page.log")"
docs_done

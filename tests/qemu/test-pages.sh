#!/usr/bin/env bash
# Limit: 300 s
# Goal: the lines of docs/ that no other test runs (tests/docs.table), as they stand there, on two hosts that have adit as it is
# installed and nothing else of it: what takes a socket, forwards over ssh, the API's example, also over TCP, with a launch
# hook at the destination, the program with libadit, VMs as a user of their own.
NEED_ROOT=1
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib/unpacked.sh"
[ -d "$UNPACKED" ] || UNPACKED=
. "$TESTS_QEMU/roots.sh"
. "$TOP/tests/lib/docs.sh"
need curl jq nbdkit nbdcopy openssl cc
need_programs initdb postgres psql
ROOTS_PATH+=:$PATH

roots_make
echo 'cmake --install build/release' | roots_install
docs_block docs/integrations.md - 1 | lines src key
for host in src dst; do
    on $host mkdir -p /run/move /run/vms /var/run/postgresql /etc/adit/vms
done

say 'what takes a socket'
begin dst serve adit serve --psk /etc/adit/psk --allow-forward 'unix:/run/*.sock' --allow-forward 'unix:/run/postgresql/*' \
    --allow-forward unix:/var/run/postgresql/.s.PGSQL.5432
begin dst nbd nbdkit -f -U /run/d.sock pattern 1M
# PostgreSQL will not run as root, but shows root as its user to who connects
nobody=(unshare --user --map-user=65534 --map-group=65534 --)
on dst "${nobody[@]}" initdb -D /run/pg -U root -A trust --locale=C --no-sync >"$T/initdb.log" 2>&1 || fail 'initdb'
begin dst postgres "${nobody[@]}" postgres -D /run/pg -k /var/run/postgresql -c fsync=off -c shared_buffers=32MB -c listen_addresses=
wait_until 20 'PostgreSQL' eval 'on dst psql -h /var/run/postgresql -d postgres -c "create database root" >"$T/psql.log" 2>&1'
wait_until 10 'adit serve' adit_serves
docs_block docs/integrations.md 'Anything that takes a socket' 1 | lines src socket 'select 6 * 7 as answer'
grep -q '^ *42$' "$T/socket.log" || fail "psql: $(cat "$T/socket.log")"
expect_equal 'the size of the copy' 1048576 "$(on src stat -c %s copy.raw)"
proc_end serve
proc_end postgres

say 'over ssh, the rights with the command'
begin dst far socat UNIX-LISTEN:/run/move/ram OPEN:"$T/ram",creat
lines_begin src ssh < <(docs_block docs/integrations.md 'Hosts with nothing but ssh' 3)
wait_until 10 'the forward' eval 'proc_gone ssh || on src test -S /run/move/ram'
echo through | on src socat -u - UNIX-CONNECT:/run/move/ram
wait_until 5 'what went through it' grep -qs through "$T/ram"
proc_end ssh

say 'the API, with a launch hook at the destination'
VM_MONITOR=/run/vms/web1.sock vm web1 32M
on dst install -m 755 "$TOP/dist/launch-hook-example.sh" /usr/local/sbin/adit-launch-hook
printf '%s\n' -name web1 -machine pc,accel=tcg -m 32 -nodefaults -display none -kernel "$GUEST_ELF" \
    -drive file=/var/lib/vms/web1.raw,format=raw,if=virtio -chardev null,id=serial0 -serial chardev:serial0 |
    on dst tee /etc/adit/vms/web1.args >/dev/null
lines_begin dst serve < <(docs_block docs/launch-hook.md - 1)
lines_begin src source < <(docs_block docs/api.md - 1)
wait_until 10 'adit serve' adit_serves
wait_until 10 'the API' on src test -S /run/adit/api.sock
lines_begin src example < <(for n in 1 2 3 4 5 6; do docs_block docs/api.md 'An example' $n; done)
wait_until 10 'a record in the journal' eval 'on src sh -c "cat /var/lib/adit/journal/*.json" >"$T/record" 2>/dev/null'
docs_block docs/phases.md 'The source' 1 | sed "s|FILE|$T/record|" | lines src record
jq -e 'has("job")' "$T/record.log" >"$T/jq.log" || fail "the record: $(cat "$T/record.log")"
proc_wait example 60
expect_equal 'the status of the example' 0 "$PROC_STATUS"
grep -q '"event":"failed".*"code":"cancelled"' "$T/example.log" || fail 'the example does not end as it says'
! grep -q '"error":{' "$T/example.log" || fail "an error in the example: $(grep -m 1 '"error":{' "$T/example.log")"
lines_end source
docs_block docs/api.md 'Over TCP' 1 | sed 's|serve \.\.\.|serve --psk /etc/adit/psk --vms /run/vms|' >"$T/tcp.txt"
grep -v ' serve \|^curl' "$T/tcp.txt" | lines src token
lines_begin src source < <(grep ' serve ' "$T/tcp.txt")
wait_until 10 'the API' eval 'listeners src | grep -q ":8016 "'
grep '^curl' "$T/tcp.txt" | lines src tasks
tail -n 1 "$T/tasks.log" | jq -e .tasks >"$T/jq.log" || fail "the tasks over TCP: $(cat "$T/tasks.log")"
lines_end source
lines_end serve
vm_end web1

say 'with libadit, to VMs as a user of their own'
# (QEMU's package, of which this root has only the programs, makes that group)
on dst sh -c 'getent group kvm >/dev/null || groupadd --system kvm'
docs_block docs/configuration.md 'Who runs VMs' 1 >"$T/user.txt"
sed '/^$/,$d' "$T/user.txt" | lines dst user
{
    sed '1,/^$/d' "$T/user.txt"
    printf '%s\n' 'psk = /etc/adit/psk' '[peer mykey]' 'migrate = yes' "launch = /usr/bin/qemu-system-x86_64" 'images = /var/lib/vms'
} | on dst tee /etc/adit/adit.conf >/dev/null
begin dst serve adit serve
wait_until 10 'adit serve' adit_serves
vm one
docs_block docs/checks.md - 1 | lines src check
on src cp "$TOP/lib/example.c" .
docs_block docs/libadit.md 'Thirty lines' 1 | lines src example
expect_equal 'whose process it is' "$(on dst id -u adit-vm)" "$(stat -c %u "/proc/$(host_processes dst | awk '/qemu-system/ { print $1; exit }')")"
vm_moved one
docs_done

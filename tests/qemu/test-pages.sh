#!/usr/bin/env bash
# Limit: 400 s
# Goal: the lines of docs/ that no other test runs (tests/docs.table), as they stand there, on two hosts that have adit as it is
# installed and nothing else of it: what takes a socket, forwards over ssh, the API's example, also over TCP, with a launch
# hook at the destination, the program with libadit, VMs as a user of their own, a cloud image's VM there and back, Proxmox's
# command line.
NEED_ROOT=1
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib/unpacked.sh"
[ -d "$UNPACKED" ] || UNPACKED=
. "$TESTS_QEMU/roots.sh"
. "$TOP/tests/lib/docs.sh"
need curl jq nbdkit nbdcopy openssl cc genisoimage
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
for host in src dst; do
    on $host sh -c 'getent group kvm >/dev/null || groupadd --system kvm'
done
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
proc_end serve

say 'a cloud image, there and back'
sed '/^$/,$d' "$T/user.txt" | lines src user
on dst sh -c "echo $SRC_IP source >>/etc/hosts"
for host in src dst; do
    in_host $host nft delete table inet fw
    in_host $host ip link add br0 type bridge && in_host $host ip link set br0 up || fail "a bridge on $host"
    in_host $host ip link add vmbr0 type bridge && in_host $host ip link set vmbr0 up || fail "a bridge on $host"
    on $host cp "$GUEST_ELF" /var/lib/vms/
done
firewall_make_both "{ $ADIT_PORT, 22 }"
# (a KVM within a VM is not one for every guest; without it accel=kvm:tcg is the second)
for host in src dst; do
    [ ! -e /dev/kvm ] || on $host mount --bind /dev/null /dev/kvm
done
src=/proc/${PROC_PID[root-src]}/root dst=/proc/${PROC_PID[root-dst]}/root
disk_make "$T/disks/debian.qcow2" qcow2 8M
on src cp "$T/disks/debian.qcow2" /var/lib/vms/debian-12-generic-amd64.qcow2
# what a reader's VM boots is the reader's
guest="-kernel /var/lib/vms/${GUEST_ELF##*/} -append 'ram=8 rate=1000 sectors=64 spread=0 diskrate=20 disks=vd0'"
on src tee /usr/local/bin/qemu-system-x86_64 >/dev/null <<<"#!/bin/sh
exec /usr/bin/qemu-system-x86_64 $guest \"\$@\""
on src chmod 755 /usr/local/bin/qemu-system-x86_64
on src sh -c 'mkdir -p /etc/qemu && echo "allow br0" >/etc/qemu/bridge.conf'
# cloud_image HOST FOLDER OTHER TWIN: its image in that host's root has what the downloaded one has, by itself; its seed is the other root's
cloud_image() {
    [ "$(qemu-img info -U --output=json "$2/var/lib/vms/web.qcow2" | jq -c '[has("backing-filename"), ."virtual-size"]')" = '[false,21474836480]' ] ||
        fail "web.qcow2 on $1: $(qemu-img info -U "$2/var/lib/vms/web.qcow2")"
    ! qemu-io -U -r -f qcow2 -c 'read -P 2 1M 1M' -c 'read -P 6 5M 1M' "$2/var/lib/vms/web.qcow2" | grep 'Pattern verification failed' ||
        fail "web.qcow2 on $1 does not have what the downloaded image has"
    cmp "$2/var/lib/vms/seed.iso" "$3/var/lib/vms/seed.iso" || fail "the seed on $1 is another"
    in_host "$1" ip -o link show type tun | grep -q 'adit.*master br0' || fail "its NIC is in no bridge on $1"
    expect_equal 'the user of its QEMU' "$(on "$1" id -u adit-vm)" "$(stat -c %u "/proc/${PROC_PID[$4]}")"
}
docs_block docs/cloud-images.md 'The VM' 1 | lines src image
docs_block docs/cloud-images.md 'The VM' 2 | lines src start
vm_adopt web src "$src/run/web.qmp" "$src/run/web.console" "$src/var/log/web.log" "$(on src cat /run/web.pid)"
VM_DISKS[web]=1
guest_ready web
lines_begin dst serve < <(docs_block docs/cloud-images.md 'There' 1)
wait_until 10 'adit serve' adit_serves
docs_block docs/cloud-images.md 'There' 2 | lines src migrate
vm_arrived web dst web-there web.log
guest_go web-there
cloud_image dst "$dst" "$src" web-there
on dst adit vms web >"$T/vms.log"
grep -q 'qmp.sock' "$T/vms.log" || fail "adit vms web: $(cat "$T/vms.log")"
say 'and back'
lines_begin src serve-back < <(docs_block docs/cloud-images.md 'And back' 1)
wait_until 10 'adit serve on src' eval 'listeners src | grep -q ":$ADIT_PORT "'
vm_keep_log web-there
docs_block docs/cloud-images.md 'And back' 2 | lines dst migrate
vm_arrived web-there src web-back web.log
cloud_image src "$src" "$dst" web-back
vm_end web-back
lines_end serve-back
lines_end serve

say 'as Proxmox VE has it'
for host in src dst; do
    on $host mkdir -p /var/run/qemu-server /usr/libexec/qemu-server /var/lib/vz
    # (cache=none is not for every tmpfs)
    mkdir -p "$T/vz-$host/images/100"
    on $host mount --bind "$T/vz-$host" /var/lib/vz
    on $host cp "$GUEST_ELF" /var/lib/vz/images/100/
done
qemu-img create -q -f qcow2 "$T/disks/100.qcow2" 32M
qemu-io -f qcow2 -c 'write -q -P 0x64 5M 4M' "$T/disks/100.qcow2"
on src cp "$T/disks/100.qcow2" /var/lib/vz/images/100/vm-100-disk-0.qcow2
# its QEMU, where Debian's has another word or none; and its script
on src rm -f /usr/bin/kvm
on src tee /usr/bin/kvm >/dev/null <<END
#!/bin/bash
words=()
while [ \$# -gt 0 ]; do
    case \$1 in
    -id) shift ;;
    type=pc-i440fx-*+pve*) words+=(pc) ;;
    *) words+=("\$(sed 's/+kvm_pv_[a-z]*,//g; s/,vhost=on//' <<<"\$1")") ;;
    esac
    shift
done
exec /usr/bin/qemu-system-x86_64 -accel tcg ${guest/ sectors*vd0/ disks=none} \
    -chardev socket,id=serial0,path=/run/shop.console,server=on,wait=off,logfile=/var/log/serial.log -serial chardev:serial0 "\${words[@]}"
END
on src tee /usr/libexec/qemu-server/pve-bridge >/dev/null <<<"#!/bin/sh
ip link set \"\$1\" up master vmbr0"
on src tee /usr/libexec/qemu-server/pve-bridgedown >/dev/null <<<'#!/bin/sh'
on src chmod 755 /usr/bin/kvm /usr/libexec/qemu-server/pve-bridge /usr/libexec/qemu-server/pve-bridgedown
docs_block docs/proxmox.md 'The VM' 1 | lines src start
vm_adopt shop src "$src/var/run/qemu-server/100.qmp" "$src/run/shop.console" "$src/var/log/serial.log" "$(on src cat /var/run/qemu-server/100.pid)"
VM_DISKS[shop]=0
guest_ready shop
lines_begin dst serve < <(docs_block docs/proxmox.md 'There' 1)
wait_until 10 'adit serve' adit_serves
docs_block docs/proxmox.md 'There' 2 | lines src migrate
vm_arrived shop dst shop-there
disk_same qcow2 "$T/vz-src/images/100/vm-100-disk-0.qcow2" qcow2 "$T/vz-dst/images/100/vm-100-disk-0.qcow2"
in_host dst ip -o link show type tun | grep -q 'adit.*master vmbr0' || fail 'its NIC is in no bridge'
vm_end shop-there
docs_done

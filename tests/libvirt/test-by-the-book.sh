#!/usr/bin/env bash
# Goal: the lines of docs/integrations.md, "virsh and libvirt", move a domain with a disk as they stand there.
# So does virsh over ssh://, with the adit.conf of "Hosts with nothing but ssh".
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/boxes.sh"

adit_needed
hosts_make
firewall_make $ADIT_PORT
adit_keys
daemons_start
for host in src dst; do
    on_host $host sh -c "echo '$DST_IP destination' >>/etc/hosts; mkdir -p /etc/adit; cp '$T/psk' /etc/adit/psk"
    boxes_shell $host
done
DOMAIN_DISKS=(qcow2:virtio)
disk_make "$(domain_image src guest 0 qcow2:virtio)" qcow2 20M
domain_start guest src 'ram=16 rate=1000 sectors=256'
firewall_reset

say 'adit check at its monitor, which libvirt has'
monitor=$(echo "$T"/src/lib/libvirt/qemu/domain-*-guest/monitor.sock)
[ -S "$monitor" ] || fail "there is no $monitor"
on_host src "$ADIT" check --qmp "$monitor" tls://destination --psk "$T/psk" >"$T/check.log" 2>&1 && fail 'two had that monitor'
grep -q '^error  *monitor .*adit run --libvirt' "$T/check.log" || fail "the way is not shown: $(cat "$T/check.log")"

boxes_take 'virsh and libvirt'
for box in "$T"/boxes/*; do
    # adit serve is up when it says so
    [[ $(cat "$box") != adit\ run* ]] || wait_until 10 'adit serve' eval "listeners dst | grep -q ':$ADIT_PORT '"
    boxes_run "$box"
done
expect_equal 'the state at the destination' running "$(domain_state guest dst)"
expect_equal 'the state at the source' '' "$(domain_state guest src)"
guest_continues guest guest-twin
disk_same_but_guest qcow2 "$(domain_image src guest 0 qcow2:virtio)" qcow2 "$(domain_image dst guest 0 qcow2:virtio)" 0 "${DOMAIN_READY[guest]}"
guest_quiet guest-twin
guest_still guest-twin
say "$(guest_verify guest-twin)"
grep -q ' guest  *running' "${PROC_LOG[shell-src]}" || fail 'virsh list at the destination does not show it'
expect_equal 'packets that were dropped' 0 $(($(firewall_count src dropped) + $(firewall_count dst dropped)))
firewall_show

say 'docs/libvirt.md, without adit run'
virsh_on dst -q destroy guest
on_host dst pkill -x adit # of that host's processes: the shell's adit serve
wait_until 10 'its end' eval "! listeners dst | grep -q ':$ADIT_PORT '"
domain_images guest 8M qcow2:virtio
domain_start guest src 'ram=16 rate=1000 sectors=256'
docs_block docs/libvirt.md 'Without adit run' 1 >"$T/serve.sh"
docs_block docs/libvirt.md 'Without adit run' 2 >"$T/move.sh"
proc_start serve dst env "PATH=$T/bin:$PATH" bash -eu "$T/serve.sh"
wait_until 10 'adit serve' eval "listeners dst | grep -q ':$ADIT_PORT '"
on_host src env "PATH=$T/bin:$PATH" bash -eu "$T/move.sh" || fail 'the lines of docs/libvirt.md'
expect_equal 'the state at the destination' running "$(domain_state guest dst)"
guest_continues guest guest-twin
disk_same_but_guest qcow2 "$(domain_image src guest 0 qcow2:virtio)" qcow2 "$(domain_image dst guest 0 qcow2:virtio)" 0 "${DOMAIN_READY[guest]}"
on_host src pkill -x adit
wait_until 10 'the end of the session' grep -q 'session ended' "${PROC_LOG[serve]}"
proc_end serve

say 'over ssh, with nothing but its port'
. "$TESTS_QEMU/sshd.sh"
virsh_on dst -q destroy guest
for host in src dst; do
    on_host $host nft flush ruleset
    on_host $host mkdir -p /run/sshd
done
firewall_make "$SSHD_PORT"
PATH=$T/bin:$PATH sshd_make
sed "s/^\[$DST_NAME\]/[destination]/" <<<"[$DST_NAME]:$SSHD_PORT $(cut -d' ' -f1,2 "$T/ssh/host.pub")" >>"$T/ssh/known"
docs_block docs/integrations.md 'Hosts with nothing but ssh' 1 >"$T/adit.conf"
on_host dst cp "$T/adit.conf" /etc/adit/adit.conf
domain_images again 8M raw:virtio
domain_start again src 'ram=16 rate=1000 sectors=256'
on_host src "$ADIT" run --libvirt --ssh-config "$T/ssh/config" ssh://root@destination -- virsh migrate --live --copy-storage-all again \
    --desturi {libvirt} --migrateuri {migrate} --disks-uri {disks} || fail 'virsh migrate over ssh://'
expect_equal 'the state at the destination' running "$(domain_state again dst)"
guest_continues again again-twin
firewall_expect_connections 1
firewall_show

say 'the lines of "Hosts with nothing but ssh"'
# what ssh itself has to know here, in its user's home, which is left alone
home=$(getent passwd "$(id -u)" | cut -d: -f6)
mkdir "$T/home-there"
on_host src sh -euc 'mount -t tmpfs none "$1"; mkdir "$1/upper" "$1/work"
    mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$2"
    install -d -m 700 "$2/.ssh"; cp "$3" "$2/.ssh/config"' sh "$T/home-there" "$home" "$T/ssh/config"
for host in src dst; do
    on_host $host install -d -m 700 /run/move
done
docs_block docs/integrations.md 'Hosts with nothing but ssh' 2 >"$T/ssh.sh"
proc_start far dst socat UNIX-LISTEN:/run/move/ram OPEN:"$T/ram",creat
proc_start ssh-lines src env "PATH=$T/bin:$PATH" bash -eu "$T/ssh.sh"
wait_until 10 'the forward' eval 'on_host src test -S /run/move/ram || proc_gone ssh-lines'
grep -q ' again  *running' "$T/ssh-lines.log" || fail "virsh list over ssh: $(cat "$T/ssh-lines.log")"
echo through | on_host src socat -u - UNIX-CONNECT:/run/move/ram
wait_until 5 'what went through it' grep -qs through "$T/ram"
docs_done

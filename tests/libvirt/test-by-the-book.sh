#!/usr/bin/env bash
# Limit: 240 s
# Goal: the lines of docs/integrations.md, "virsh and libvirt", move a domain with a disk as they stand there; those of
# docs/virt-install.md one of virt-install, under virsh and by its command line.
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

say 'docs/virt-install.md, under virsh'
virsh_on dst -q destroy guest
for host in src dst; do
    on_host $host sh -c 'ip link add br0 type bridge && ip link set br0 up' || fail "a bridge on $host"
done
# lines HOST SECTION N: a block of that page there
lines() {
    docs_block docs/virt-install.md "$2" "$3" >"$T/$1-$3.sh"
    on_host "$1" env -C /root "PATH=$T/bin:$PATH" bash -euo pipefail "$T/$1-$3.sh" >"$T/lines.log" 2>&1 || fail "$2, $3: $(tail -n 3 "$T/lines.log")"
}
# serves SECTION N: one on dst that ends with adit serve, in the place of the one before (of whose shell it is a child)
serves_no_more() {
    on_host dst pkill -x adit || true
    wait_until 10 'the end of adit serve' eval "! listeners dst | grep -q ':$ADIT_PORT '"
    proc_end serve
}
serves() {
    serves_no_more
    docs_block docs/virt-install.md "$1" "$2" >"$T/serve.sh"
    proc_start serve dst env "PATH=$T/bin:$PATH" bash -eu "$T/serve.sh"
    wait_until 10 'adit serve' eval "listeners dst | grep -q ':$ADIT_PORT '"
}
# web_disk: a new one for it on src
web_disk() {
    rm -f "$T"/{src,dst}/lib/libvirt/images/web.qcow2
    qemu-img create -q -f qcow2 "$T/src/lib/libvirt/images/web.qcow2" 20G
    qemu-io -f qcow2 -c "write -q -P $1 5M 4M" "$T/src/lib/libvirt/images/web.qcow2"
}
web_same() { disk_same qcow2 "$T/src/lib/libvirt/images/web.qcow2" qcow2 "$T/dst/lib/libvirt/images/web.qcow2"; }
cp "$TESTS_LIBVIRT/virt-install.xml" "$T/src/lib/libvirt/web.xml"
web_disk 0x77
domain_vm web src web
domain_vm web-twin dst web
VM_DISKS[web]=0
virsh_on src -q define $LIBVIRT/web.xml
virsh_on src -q start web
guest_ready web
serves 'Under virsh' 1
lines src 'Under virsh' 2
expect_equal 'the state at the destination' running "$(domain_state web dst)"
expect_equal 'the domain at the source' '' "$(virsh_on src -q list --all --name | sed -n '/^web$/p')"
guest_continues web web-twin
virsh_on dst -q destroy web
web_same

say 'docs/virt-install.md, by hand'
web_disk 0x78
rm -f "$T"/{src,dst}/lib/libvirt/qemu/web.{log,serial}
virsh_on src -q define $LIBVIRT/web.xml
serves 'By hand' 2
lines src 'By hand' 1
wait_until 10 'its monitor' test -S "$T/src/run/web.qmp"
vm_adopt web src "$T/src/run/web.qmp" "${VM_SERIAL[web]}" "${VM_LOG[web]}" "$(host_processes src | awk '/-name guest=web/ { print $1; exit }')"
VM_DISKS[web]=0
guest_ready web
lines src 'By hand' 3
dir=$(echo "$T"/dst/run/adit/vms/web-*)
vm_adopt web-twin dst "$dir/qmp.sock" "$dir/serial0.sock" "$dir/web.log" "$(host_processes dst | awk '/-name guest=web/ { print $1; exit }')"
guest_continues web web-twin
guest_beats_on web-twin
on_host dst ip -o link show type tun | grep -q 'adit.*master br0' || fail 'its NIC is in no bridge there'
"$QMP_CLIENT" "$dir/qmp.sock" '{"execute":"quit"}' >"$T/quit.json"
web_same
serves_no_more

say 'over ssh, with nothing but its port'
. "$TESTS_QEMU/sshd.sh"
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

#!/usr/bin/env bash
# On: the system's QEMU
# Goal: a VM with a NIC in a bridge of Open vSwitch (a port with a VLAN, on the userspace datapath, which no interface shows) and one
# that a script of the operator's attaches moves by the names of its networks; the ports are there, with their VLAN, and up,
# and gone when QEMU ends, however that ends: the VM's own end, a migration that fails, `kill -9` of adit serve. A database that
# hangs, a bridge that is not there and a script that fails are told in one line.
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib/unpacked.sh"
need_programs ovs-vsctl ovs-vswitchd ovsdb-server ovsdb-tool
need jq

[ -c /dev/net/tun ] || skip 'no /dev/net/tun'
schema=/usr/share/openvswitch/vswitch.ovsschema
[ -e "$schema" ] || schema=$UNPACKED$schema

# on HOST COMMAND...: with the Open vSwitch of that host
on() { in_host "$1" env OVS_RUNDIR="$T/ovs-$1" "${@:2}"; }
vsctl() { on "$1" ovs-vsctl --timeout=10 "${@:2}"; }
# switch_make HOST BRIDGE
switch_make() {
    local dir=$T/ovs-$1
    mkdir "$dir"
    ovsdb-tool create "$dir/conf.db" "$schema"
    proc_start "ovsdb-$1" "$1" env OVS_RUNDIR="$dir" ovsdb-server "$dir/conf.db" --remote="punix:$dir/db.sock" --unixctl="$dir/ovsdb.ctl"
    wait_until 10 "the database of Open vSwitch on $1" eval '[ -S "$T/ovs-'"$1"'/db.sock" ]'
    vsctl "$1" --no-wait init
    proc_start "vswitchd-$1" "$1" env OVS_RUNDIR="$dir" ovs-vswitchd "unix:$dir/db.sock" --unixctl="$dir/vswitchd.ctl"
    vsctl "$1" add-br "$2" -- set bridge "$2" datapath_type=netdev
}
# ports: of the VM on dst, with their VLANs; what of the script is still attached
ports() { vsctl dst --format=csv --no-headings --columns=name,tag find Port other_config:transient=true; }
no_ports() { [ -z "$(ports)" ] && [ ! -s "$T/net.attached" ] && [ -z "$(in_host dst ip -o link show type tun | grep adit)" ]; }
has_ports() {
    ports >"$T/ports.log"
    grep -qE '^adit[0-9a-f]+n0,7$' "$T/ports.log" && [ "$(wc -l <"$T/ports.log")" = 1 ] &&
        [ "$(in_host dst ip -o link show up | grep -cE ' adit[0-9a-f]+n[01]: ')" = 2 ] &&
        grep -qE '^adit[0-9a-f]+n1$' "$T/net.attached"
}
serving() {
    proc_end serve
    cp "$GUEST_ELF" "$T/images/"
    cat >"$T/adit.conf" <<CONF
[serve]
listen = $DST_IP:$ADIT_PORT
psk = $T/psk
run-dir = $T/run-dst
state-dir = $T/state-dst
[network br-int]
openvswitch = ovs-lan
vlan = 7
[network none]
openvswitch = ovs-none
[network cable]
script = $T/net.sh
[peer tester]
migrate = yes
launch = $QEMU
images = $T/images
networks = br-int none cable
CONF
    proc_start serve dst env OVS_RUNDIR="$T/ovs-dst" "$ADIT" serve --config "$T/adit.conf"
    wait_until 10 'adit serve to listen' adit_serves
}
checked() {
    on src "$ADIT" check --qmp "${VM_QMP[a]}" "${ADIT_CREDS[@]}" "$@" "$ADIT_DEST" >"$T/check.log" 2>&1 || true
}
# says REGEX: a line of that is so
says() { grep -qE -- "$1" "$T/check.log" || fail "adit check does not say '$1': $(grep -E 'networks|launch' "$T/check.log")"; }
# (adit migrate finds the source's switch by its environment)
export OVS_RUNDIR=$T/ovs-src

move_hosts
switch_make src br-int
switch_make dst ovs-lan
(umask 077 && mkdir -p "$T/images" "$T/run-dst/vms")
# what is attached, in a file; and every call, with what it was told
cat >"$T/net.sh" <<SCRIPT
#!/bin/sh
echo "\$1 \$2 \$(env | grep ^ADIT_ | sort | tr '\n' ' ')" >>$T/net.log
[ ! -e $T/net.fails ] || { echo "no cable for \$ADIT_VM" >&2; exit 3; }
case \$1 in
attach) ip link show "\$2" | grep -q 'state DOWN' && echo "\$2" >>$T/net.attached ;;
detach) sed -i "/^\$2\$/d" $T/net.attached ;;
esac
SCRIPT
chmod 755 "$T/net.sh"
: >"$T/net.attached"
for i in 0 1; do
    in_host src ip tuntap add dev "vm$i" mode tap
    in_host src ip link set "vm$i" up
done
vsctl src add-port br-int vm0 tag=5
MOVE_DISKS=()
move_vm a append='ram=16 rate=3000' arg=-netdev arg=tap,id=n0,ifname=vm0,script=no,downscript=no \
    arg=-device arg=virtio-net-pci,netdev=n0,mac=52:54:00:66:00:02 \
    arg=-netdev arg=tap,id=n1,ifname=vm1,script=no,downscript=no \
    arg=-device arg=virtio-net-pci,netdev=n1,mac=52:54:00:66:01:02
serving

say 'what is said beforehand'
checked
says "^ok +networks .*n0: vm0 is in Open vSwitch's bridge br-int"
says '^warning +networks .*n0: its port in .*br-int has VLANs'
says 'vm1 is in no bridge of the source.*--net n1=NAME'
checked --net n1=cable
says "n0 \(br-int at the source\) will be in Open vSwitch's bridge ovs-lan with VLAN 7 there"
says "n1 .* will be in the network of the script $T/net.sh there"
says '^0 errors'
move_refused 'a bridge that is not there' a 1 'n0: ovs-none is no bridge of Open vSwitch' -- --net n0=none,n1=cable
kill -STOP "${PROC_PID[ovsdb-dst]}"
move_refused 'a database that hangs' a 1 'n0: Open vSwitch does not answer on the destination: ovs-vsctl' -- --net n1=cable
kill -CONT "${PROC_PID[ovsdb-dst]}"
no_ports || fail "what is left: $(ports)"

say 'the script fails'
touch "$T/net.fails"
move_refused 'a script that fails' a 1 'n1: .*no cable for a' -- --net n1=cable --downtime-limit 8000
rm "$T/net.fails"
wait_until 10 'the end of the ports' no_ports
grep -q '^detach adit' "$T/net.log" || fail "the script was not called to detach: $(cat "$T/net.log")"

say 'adit serve is killed'
link_rate 4mbit
adit_start a --net n1=cable
move_phase a ram
grep -q adit <<<"$(ports)" || fail 'there is no port in Open vSwitch while RAM is sent'
[ -z "$(in_host dst ip -o link show up | grep ' adit')" ] || fail 'an interface is up before the decision'
proc_kill serve KILL
adit_wait 60
link_rate none
[ "$MIGRATE_STATUS" != 0 ] || fail 'it has moved'
wait_until 10 'the end of the ports' no_ports

say 'it moves'
serving
: >"$T/net.log"
adit_migrate a --net n1=cable --downtime-limit 8000 --persistent
move_succeeded a twin
has_ports || fail "the ports of the twin: $(cat "$T/ports.log" "$T/net.attached"; in_host dst ip -o link show)"
grep -qE '^attach (adit[0-9a-f]+n1) ADIT_INTERFACE=\1 ADIT_JOB=[0-9a-f]+ ADIT_MAC=52:54:00:66:01:02 ADIT_NETWORK=cable ADIT_VM=a $' "$T/net.log" ||
    fail "what the script was told: $(cat "$T/net.log")"
proc_kill serve KILL
has_ports || fail 'the ports went with adit serve'
"$QMP_CLIENT" "$(adit_last .destination.qmp)" '{"execute":"quit"}' >/dev/null
wait_until 10 'the end of the ports with the VM' no_ports

say 'started again'
proc_start again dst env OVS_RUNDIR="$T/ovs-dst" "$ADIT" start --state-dir "$T/state-dst" a
wait_until 10 'its ports' has_ports
proc_kill again KILL
wait_until 10 'the end of the ports with the VM' no_ports

say 'and by its script, which leaves its taps'
proc_start again dst env OVS_RUNDIR="$T/ovs-dst" "$T/state-dst/vms/a.sh"
wait_until 10 'its ports' has_ports
grep -q '^attach adit[0-9a-f]*n1 .*ADIT_MAC=52:54:00:66:01:02 ADIT_NETWORK=cable ADIT_VM=a $' <<<"$(tail -n 1 "$T/net.log")" ||
    fail "what the script was told: $(tail -n 1 "$T/net.log")"
proc_kill again KILL

#!/usr/bin/env bash
# On: each QEMU
# Goal: a VM with two NICs, of a tap with two queues and of QEMU's bridge helper, moves by the README's commands into the bridges that
# the destination's configuration has for those of the source, with QEMU as another user; whoever talks to it from a third host goes
# on, as does an HTTP download, both ways, of which no byte is another; and its taps have queues and MTU as before; then back again, where QEMU has nothing of its taps but descriptors. A network that the peer may not have is refused by each spelling; when the migration
# fails (a bridge that has gone before the decision, adit serve killed) no tap is left, and the source answers.
NEED_LINUX=1
. "$(dirname "$0")/lib.sh"

[ -c /dev/net/tun ] || skip 'no /dev/net/tun'
need curl
adit_launch_user
[ ${#LAUNCH_USER[@]} != 0 ] || skip 'not root: no other users here'
mkdir -p /etc/qemu
mount -t tmpfs none /etc/qemu
echo 'allow all' >/etc/qemu/bridge.conf

# wire N: the third host has a switch with a port to the N-th bridge of either
wire() {
    local n=$1 host
    in_host lan ip link add "sw$n" type bridge
    in_host lan ip addr add "10.66.$n.1/24" dev "sw$n"
    in_host lan ip link set "sw$n" mtu 1400 up
    for host in src dst; do
        in_host lan ip link add "$host$n" mtu 1400 type veth peer name "up$n" netns "${HOST_PID[$host]}"
        in_host lan ip link set "$host$n" master "sw$n" up
    done
    for host in src:br dst:${2:-br}; do
        in_host "${host%:*}" ip link add "${host#*:}$n" type bridge
        in_host "${host%:*}" ip link set "up$n" mtu 1400 master "${host#*:}$n" up
        in_host "${host%:*}" ip link set "${host#*:}$n" up
    done
}
# answers N...: the guest does, at its N-th NIC
answers() { in_host lan "$PINGS" "10.66.$1.2"; }
# no_taps: none of adit's on dst
no_taps() { [ -z "$(in_host dst ip -o link show type tun)" ]; }
# has_taps: two, as the VM's are to be on dst
has_taps() {
    in_host dst ip -d -o link show type tun >"$T/taps.log"
    [ "$(wc -l <"$T/taps.log")" = 2 ] && grep -qE 'n0: .*,UP.* mtu 1400 .*master lan0' "$T/taps.log" &&
        grep -qE 'n1: .*,UP.* mtu 1400 .*master br1.* multi_queue' "$T/taps.log"
}
# downloads: it goes on, here and now
downloads() {
    local had
    had=$(stat -c %s "$T/download")
    wait_until 10 'more of the download' eval '[ "$(stat -c %s "$T/download")" -gt $((had + 65536)) ]'
}
# serving [OPTION]...: adit serve
serving() {
    proc_end serve
    adit_serve_launch "${LAUNCH_USER[@]}" "$@"
}
# checked VM REGEX... [-- OPTION]...: adit check says lines like these
checked() {
    local status=0 words=() vm=$1
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do words+=("$1") && shift; done
    [ $# = 0 ] || shift
    in_host "$ADIT_FROM" "$ADIT" check --qmp "${VM_QMP[$vm]}" "${ADIT_CREDS[@]}" "$@" "$ADIT_DEST" >"$T/check.log" 2>&1 || status=$?
    for word in "${words[@]}"; do
        grep -qE -- "$word" "$T/check.log" || fail "adit check does not say '$word': $(grep -E 'networks|launch' "$T/check.log")"
    done
}

adit_needed
hosts_make
firewall_make_both "$ADIT_PORT"
adit_keys
host_make lan
in_host lan ip link set lo up
for host in lan src dst; do
    in_host "$host" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6' 2>/dev/null || true
    # the firewall is for the hosts themselves, not for what their bridges carry
    in_host "$host" sh -c 'echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables' 2>/dev/null || true
done
wire 0 lan
wire 1
in_host src ip tuntap add dev vm1 mode tap multi_queue vnet_hdr
in_host src ip link set vm1 mtu 1400 master br1 up
linux_guest ram=4 rate=400 disks=none net=on
MOVE_DISKS=()
vm_start a src monitors=2 "${LINUX_ARGS[@]}" arg=-smp arg=2 \
    arg=-nic arg=bridge,br=br0,model=virtio-net-pci,mac=52:54:00:66:00:02 \
    arg=-netdev arg=tap,id=n1,ifname=vm1,script=no,downscript=no,queues=2 \
    arg=-device arg=virtio-net-pci,netdev=n1,mq=on,vectors=6,mac=52:54:00:66:01:02
VM_HOST[a2]=src VM_QMP[a2]=$T/a/qmp2.sock VM_SERIAL[a2]=${VM_SERIAL[a]} VM_LOG[a2]=${VM_LOG[a]} VM_DISKS[a2]=0
guest_ready a 120
wait_until 20 'the guest at its first NIC' answers 0
wait_until 20 'the guest at its second NIC' answers 1

say 'who may not'
serving
checked a '^error +.*"br0" is not allowed there.*--net nic0=NAME' '^ok +networks .*n1: vm1 is in bridge br1'
move_refused 'a network that is not named' a 1 '"br0" is not allowed there'
serving --allow-networks br0=lan0 --allow-networks Inner=br1
for name in br1 inner Inner/ ../Inner Inner,x lan0 "$(printf 'Inner\tx')" 'Inner '; do
    in_host src "$ADIT" migrate --qmp "${VM_QMP[a]}" "${ADIT_CREDS[@]}" --state-dir "$T/state-src" --net "n1=$name" "$ADIT_DEST" \
        >"$T/said.log" 2>&1 && fail "a network called '$name' was taken"
    grep -qE 'is not allowed there|ID=NAME|control characters' "$T/said.log" || fail "'$name': $(cat "$T/said.log")"
done
no_taps || fail 'a tap was made for who may not'
if in_host src nft -f - <<'NFT' 2>"$T/nft.log"; then
table bridge spoof {
    chain forward {
        type filter hook forward priority 0
        iifname "vm1" ether saddr != 52:54:00:66:01:02 drop
    }
}
NFT
    checked a "^warning +networks .*n1: nftables of this host filter at vm1 .table bridge spoof." -- --net n1=Inner
    in_host src nft delete table bridge spoof
else
    skip_part 'rules of nftables at a tap' "this kernel takes none: $(head -n 1 "$T/nft.log")"
fi
checked a '^ok +networks .*nic0 \(br0 at the source\) will be in bridge lan0 there' '^ok +networks .*n1 .*bridge br1' '^0 errors' -- --net n1=Inner

say 'the bridge goes before the decision'
link_rate 4mbit
left_mark
adit_start a --net n1=Inner
move_phase a ram
in_host dst ip -o link show type tun | tee "$T/taps.log" | grep -c adit | grep -qx 2 || fail "taps of Prepare: $(cat "$T/taps.log")"
! grep -E 'master|,UP' "$T/taps.log" || fail 'a tap is up, or in a bridge, before the decision'
in_host dst ip link del lan0
link_rate none
left_clock
adit_wait 60
move_failed a 1 'nic0: adit.* cannot be put in bridge lan0 .*is no bridge'
wait_until 5 'the end of the taps' no_taps
answers 0 && answers 1 || fail 'the guest does not answer at the source'
in_host dst ip link add lan0 type bridge
in_host dst ip link set lan0 up
in_host dst ip link set up0 master lan0

say 'adit serve is killed'
link_rate 4mbit
adit_start a --net n1=Inner
move_phase a ram
kill -KILL "${PROC_PID[serve]}"
left_clock
adit_wait 60
link_rate none
wait_until 10 'the end of the taps' no_taps
answers 0 && answers 1 || fail 'the guest does not answer at the source'

say 'it moves'
serving --allow-networks br0=lan0 --allow-networks Inner=br1
# a download and a connection that go on all the while, and a pinger
proc_start download lan curl -sS --no-buffer --limit-rate 2M -o "$T/download" http://10.66.0.2/
proc_start talk lan sh -c 'for i in $(seq 1 4000); do echo "line $i"; sleep 0.01; done | socat -t 5 - TCP:10.66.1.2:7'
proc_start pinger lan "$PINGS" 10.66.0.2 10
# (QEMU 7.2 without KVM corrupts RAM by itself after four passes: test-move-linux.sh)
adit_migrate a --net n1=Inner --downtime-limit 8000 --persistent
move_succeeded a twin
wait_until 5 'the guest at its first NIC, there' answers 0
wait_until 5 'the guest at its second NIC, there' answers 1
has_taps || fail "the taps of the twin: $(cat "$T/taps.log")"
expect_equal 'the user of the twin' "$LAUNCH_UID" "$(stat -c %u "/proc/${PROC_PID[twin]}")"
in_host src ip link show vm1 >/dev/null || fail 'the tap of somebody else at the source is gone'
sleep 1
proc_end pinger
downloads
jq -r .pause_ms <<<"$(tail -n 1 "$T/migrate.json")" | sed 's/^/  pause, ms: /'
awk '{ if (t && $2 - t > m) m = $2 - t; t = $2 } END { printf "  longest silence of its first NIC: %d ms\n", m }' "$T/pinger.log"

say 'and back'
cat >"$T/adit.conf" <<CONF
[serve]
listen = $SRC_IP:$ADIT_PORT
psk = $T/psk
run-dir = $T/run-src
state-dir = $T/state-src
[peer tester]
migrate = yes
launch = $QEMU
launch-user = adit-vm
images = $T/images
networks = lan0 br1
[network lan0]
bridge = br0
CONF
mkdir -m 700 "$T/run-src"
proc_start serve-src src "$ADIT" serve --config "$T/adit.conf"
wait_until 10 'adit serve on src to listen' eval 'listeners src | grep -q ":$ADIT_PORT "'
port=$(sed -nE '1s/^[0-9]+: ([^:]+):.*/\1/p' "$T/taps.log") said=()
# (not every kernel has both)
if in_host dst ip link set lan0 type bridge vlan_filtering 1 2>/dev/null; then said+=('^warning +networks .*nic0: bridge lan0 filters by VLAN'); fi
if in_host dst ip link set "$port" type bridge_slave isolated on 2>/dev/null; then said+=('^warning +networks .*nic0: its port is isolated'); fi
say "  what does not go over: ${#said[@]}"
ADIT_FROM=dst ADIT_DEST=tls://$SRC_IP
checked twin ${said[@]+"${said[@]}"} \
    '^ok +networks .*nic0: adit.*n0 is in bridge lan0' '^ok +networks .*nic0 \(lan0 at the source\) will be in bridge br0 there' '^0 errors'
adit_migrate twin --downtime-limit 8000
[ "$MIGRATE_STATUS" = 0 ] || fail "the way back: $(tail -n 1 "$T/migrate.log")"
wait_until 5 'the end of the taps on dst' no_taps
wait_until 5 'the guest at its first NIC, back' answers 0
wait_until 5 'the guest at its second NIC, back' answers 1
expect_equal 'taps of the VM on src' 2 "$(in_host src ip -o link show type tun | grep -cE 'n[01]: .*,UP.* mtu 1400 .*master br[01]')"
expect_equal 'the user of the VM that is back' "$LAUNCH_UID" "$(stat -c %u "/proc/$(adit_last .destination.pid)")"
downloads
in_host lan curl -sS http://10.66.0.2/end
proc_wait download 30
expect_equal "the status of the download ($(tail -n 1 "$T/download.log"))" 0 "$PROC_STATUS"
last=$(tail -n 1 "$T/download")
[ "$last" -gt 100000 ] || fail "the download ends with $last"
seq 1 "$last" | cmp - "$T/download" || fail 'the download is not what was sent'
say "  downloaded across both moves: $(stat -c %s "$T/download") bytes, each as it was sent"
proc_end talk
awk '/^line/ && $2 != ++n { exit 1 } END { exit n < 200 }' "$T/talk.log" || fail "the connection was cut: $(tail -n 1 "$T/talk.log")"
"$QMP_CLIENT" "$(adit_last .destination.qmp)" '{"execute":"quit"}' >/dev/null
wait_until 5 'the end of the taps with the VM' eval '[ -z "$(in_host src ip -o link show type tun | grep adit)" ]'

say 'started again, which it is not of itself once it has moved on'
kept=$T/state-dst/vms/a
# not_started REGEX: adit start says so
not_started() {
    ! in_host dst timeout 10 "$ADIT" start --state-dir "$T/state-dst" a >/dev/null 2>"$T/start.log" || fail 'the VM was started'
    grep -qE -- "$1" "$T/start.log" || fail "adit start says: $(cat "$T/start.log")"
}
[ -e "$kept.sh.moved" ] && [ ! -e "$kept.sh" ] || fail "its script: $(ls "$T/state-dst/vms")"
not_started "VM a has moved away: .* is $kept.json.moved now"
mv "$kept.json.moved" "$kept.json"
port=$(jq -r '.networks[0].interface' "$kept.json")
in_host dst ip tuntap add dev "$port" mode tap # as its script leaves it
not_started "ip link del $port"
in_host dst ip link del "$port"
proc_start again dst "$ADIT" start --state-dir "$T/state-dst" a
wait_until 10 'its taps' has_taps
expect_equal 'the user of the VM' "$LAUNCH_UID" "$(stat -c %u "/proc/$(host_processes dst | awk -v q="$QEMU" '$2 == q { print $1; exit }')")"
proc_end again
wait_until 5 'the end of the taps with the VM' no_taps

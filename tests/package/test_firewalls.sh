#!/usr/bin/env bash
# Goal: with the lines of docs/integrations.md, "Firewalls", for firewalld and for ufw, as they stand there, the source
# reaches adit's port on a host that has that firewall from Debian's package, and neither another host nor the source at
# another port gets through.
. "$(dirname "$0")/../integration/lib.sh"
: "${TOP:?}"
. "$TOP/tests/lib/docs.sh"
. "$TOP/tests/package/over.sh"
# the address that the page has, another one, and the host itself
source=192.0.2.10 other=192.0.2.11 host=192.0.2.1 port=16516 stray=16517

install() { chroot $R apt-get -q -y --no-install-recommends "$@" install firewalld ufw dbus nftables; }

if [ "${1:-}" = fetch ]; then
    over_fetch
    install -d
    exit
fi
if [ -z "${ADIT_ROOT:-}" ]; then
    need debootstrap unshare nsenter socat ip
    said=$(bash "$TOP/tests/package/root.sh") || { say "$said"; exit 77; }
    mkdir -p "$ARCHIVES/partial"
    # what it needs is fetched while there is a network, and kept
    ADIT_ROOT=$said timeout -k 5 200 unshare --mount bash "$0" fetch >"$T/fetch.log" 2>&1 </dev/null ||
        skip "apt-get cannot fetch firewalld and ufw: $(tail -n 1 "$T/fetch.log")"
    over_again "$said"
    exit
fi

over_system
mount -t proc proc $R/proc || fail 'no /proc for the root'
install --no-download >"$T/apt.log" 2>&1 || fail "the firewalls cannot be installed: $(tail -n 2 "$T/apt.log")"

# two hosts, of which one has both addresses
ip link set lo up
unshare --net sleep 1000 &
far=$!
started $far
wait_until 10 'the far host' eval '[ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/$$/ns/net)" ]'
ip link add name near0 type veth peer name far0 netns $far
ip addr add $host/24 dev near0
ip link set near0 up
far() { nsenter --net --target=$far "$@"; }
far ip addr add $source/24 dev far0
far ip addr add $other/24 dev far0
far ip link set far0 up
for at in $port $stray; do
    socat "TCP-LISTEN:$at,fork,reuseaddr" OPEN:/dev/null &
    started $!
done
reaches() { far socat -u OPEN:/dev/null "TCP:$host:$2,bind=$1,connect-timeout=1" 2>/dev/null; }
# lines_hold NAME N: the page's block N does what the page says
lines_hold() {
    ! reaches $source $port || fail "$1: the source gets in without the lines"
    docs_block docs/integrations.md Firewalls "$2" >"$R/tmp/lines"
    chroot $R sh -e /tmp/lines >"$T/$1.log" 2>&1 || fail "$1 does not take the lines: $(tail -n 2 "$T/$1.log")"
    reaches $source $port || fail "$1: the source is kept out"
    ! reaches $other $port || fail "$1: another host gets in"
    ! reaches $source $stray || fail "$1: another port is open"
    say "$1: as the page says"
}

wait_until 10 'the source reaches the port, without any firewall' reaches $source $port
reaches $other $stray || fail 'another host does not reach another port, without any firewall'
mkdir -p $R/run/dbus
chroot $R dbus-daemon --system --fork --nopidfile || fail 'no system bus'
chroot $R firewalld --nofork >"$T/firewalld.log" 2>&1 &
firewalld=$!
started $firewalld
wait_until 30 'firewalld runs' eval 'chroot $R firewall-cmd --state >/dev/null 2>&1'
lines_hold firewalld 2
kill $firewalld
wait_until 30 'firewalld has ended' gone $firewalld
chroot $R nft flush ruleset
wait_until 10 'no firewall' reaches $other $stray

chroot $R ufw --force enable >"$T/ufw.log" 2>&1 || fail "ufw cannot be enabled: $(tail -n 2 "$T/ufw.log")"
lines_hold ufw 3
docs_done

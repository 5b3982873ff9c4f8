#!/usr/bin/env bash
# Goal: docs/hosts.md, run as it stands there, on three hosts (a network of their own, and folders of their own): each takes a
# VM from any other by that host's own name, nobody else may do anything, and one that is taken out of the file comes no more.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../lib/docs.sh"
unset ADIT_PSK ADIT_TLS_CREDS XDG_RUNTIME_DIR XDG_STATE_HOME
page=docs/hosts.md hosts=(host-a host-b host-c)
need ip qemu-system-x86_64
unshare -mn true 2>/dev/null || skip 'no networks and mounts of its own can be had here'
PATH=$(dirname "$ADIT"):$PATH

# the three, and a switch
declare -A at=()
unshare -n sleep 600 &
net=$!
started $net
for host in "${hosts[@]}"; do
    unshare -mn sleep 600 &
    at[$host]=$!
    started $!
done
in_net() { nsenter -t "$net" -n "$@"; }
# on HOST COMMAND...
on() { nsenter -t "${at[$1]}" -m -n -- sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" "${@:2}"; }
# begin HOST LOG COMMAND...: in the background, and ended with the test
begin() {
    nsenter -t "${at[$1]}" -m -n -- sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" "${@:3}" >"$T/$2.log" 2>&1 &
    started $!
}
ready() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/$$/ns/net)" ]; }
for pid in $net "${at[@]}"; do wait_until 5 'a network' ready "$pid"; done
{ in_net ip link add name switch type bridge && in_net ip link set switch up; } 2>"$T/said" || skip "no bridge can be made here: $(cat "$T/said")"
number=1
for host in "${hosts[@]}"; do
    printf '10.78.0.%s %s\n' $number "$host" >>"$T/hosts"
    in_net ip link add name "v$number" type veth peer name eth0 netns "${at[$host]}"
    in_net ip link set "v$number" master switch up
    on "$host" ip addr add "10.78.0.$number/24" dev eth0
    on "$host" ip link set eth0 up
    on "$host" ip link set lo up
    number=$((number + 1))
done
for host in "${hosts[@]}"; do
    on "$host" sh -c 'mount --bind "$1" /etc/hosts && mkdir -p /etc/adit && for dir in /etc/adit /run /var/lib; do mount -t tmpfs none $dir; done' \
        sh "$T/hosts"
done

say 'keys and rights'
mkdir "$T/made" && cd "$T/made" || exit 1
{ docs_block $page Keys 1 && docs_block $page 'Who may do what' 1; } >lines.sh
bash -eu lines.sh >"$T/made.log" 2>&1 || fail "its lines: $(tail -n 3 "$T/made.log")"

say 'on each host'
docs_block $page 'On each host' 1 >install.sh
docs_block $page 'On each host' 2 | grep -v '^systemctl' >check.sh
grep -q 'adit serve --check-config' check.sh || fail 'the page does not look at what is in force'
declare -A serves=()
for host in "${hosts[@]}"; do
    sed "s/host-a/$host/g" install.sh >"install-$host.sh"
    on "$host" bash -eu "install-$host.sh" || fail "$host: its files"
    on "$host" bash -eu check.sh >"$T/check-$host.log" 2>&1 || fail "$host: $(cat "$T/check-$host.log")"
    ! grep -i warning "$T/check-$host.log" || fail "$host is warned"
    begin "$host" "$host" "$ADIT" serve
    serves[$host]=$!
    wait_until 20 "adit serve on $host" grep -q 'listening on' "$T/$host.log"
done

# a VM without a guest: what moves it is the same
begin host-a qemu qemu-system-x86_64 -name vm -machine pc,accel=tcg -m 32 -nodefaults -display none -S \
    -qmp unix:/run/vm.qmp,server=on,wait=off
wait_until 20 'the monitor of the VM' on host-a test -S /run/vm.qmp
docs_block $page 'On each host' 3 >move.sh
# moved FROM TO: by the page's lines
moved() {
    sed "s/host-b/$2/; s|/run/vm.qmp|$monitor|" move.sh >"move-$2.sh"
    say "$1 to $2"
    on "$1" bash -eu "move-$2.sh" >"$T/move.log" 2>&1 || fail "$(cat "$T/move.log")"
    grep -q "psk:$1" "$T/$2.log" || fail "$2 does not call it $1: $(cat "$T/$2.log")"
    monitor=$(sed -n 's/^  its monitor  //p' "$T/move.log")
    # whoever of its QEMUs is there when the test ends is ended with it
    started "$(sed -n 's/.* started .*, pid \([0-9]*\)$/\1/p' "$T/$2.log" | tail -n 1)"
    on "$2" test -S "$monitor" || fail "there is no monitor on $2: $(cat "$T/move.log")"
}
monitor=/run/vm.qmp
moved host-a host-b
moved host-b host-c

say 'what is wrong stands at the end once more'
on host-a "$ADIT" check --qmp /run/none tls://host-b >"$T/said" 2>&1 && fail 'a VM that is not there is fine'
grep -q '^error  *monitor ' "$T/said" && grep -q '^ok  *connection ' "$T/said" || fail "adit check: $(cat "$T/said")"
expect_equal 'the line before the count' "$(sed -n 's/^error  *monitor  */  monitor: /p' "$T/said")" "$(tail -n 2 "$T/said" | head -n 1)"

say 'somebody else, and one that was taken out'
(umask 077 && "$ADIT" keygen stranger >stranger)
on host-a "$ADIT" check --qmp /run/none tls://host-b --psk "$PWD/stranger" >"$T/said" 2>&1 && fail 'a stranger came in'
grep -q 'does not know\|not know' "$T/said" || fail "a stranger: $(cat "$T/said")"
on host-a sh -c 'sed -i /^host-c:/d /etc/adit/psk'
kill -HUP "${serves[host-a]}"
wait_until 10 'the reload' grep -q anew "$T/host-a.log"
on host-c "$ADIT" migrate --qmp "$monitor" tls://host-a >"$T/said" 2>&1 && fail 'host-c came once more'
# back with it: the VM was not touched
moved host-c host-b
docs_done

# Two hosts, src and dst: a network namespace each, joined by one cable, and a firewall on both ends of it.
# shellcheck shell=bash disable=SC2034

declare -A HOST_PID=()
SRC_IP=10.77.0.1 DST_IP=10.77.0.2 SRC_NAME=src.test DST_NAME=dst.test

# in_host HOST COMMAND...
in_host() {
    local host=$1
    shift
    nsenter --net="/proc/${HOST_PID[$host]}/ns/net" -- "$@"
}

host_has_own_net() { [ ! "/proc/$1/ns/net" -ef /proc/self/ns/net ]; }

host_make() {
    # the process only holds the namespace; with it the namespace goes
    unshare --net sleep infinity </dev/null >/dev/null 2>&1 &
    HOST_PID[$1]=$!
    PROC_PID[host-$1]=$!
    wait_until 5 "a network namespace for $1" host_has_own_net "$!"
}

# hosts_make: src (10.77.0.1, src.test) and dst (10.77.0.2, dst.test), with nothing between them yet but the cable
hosts_make() {
    local host
    host_make src
    host_make dst
    for host in src dst; do
        # no IPv6: its neighbour discovery would show in the firewall's counters
        in_host "$host" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null || true
        in_host "$host" ip link set lo up
    done
    hosts_cable
    printf '127.0.0.1 localhost\n%s %s\n%s %s\n' $SRC_IP $SRC_NAME $DST_IP $DST_NAME >"$T/hosts"
    [ -e /etc/hosts ] || touch /etc/hosts || fail "there is no /etc/hosts"
    mount --bind "$T/hosts" /etc/hosts
}

# the cable itself
hosts_cable() {
    local host
    in_host src ip link add eth0 type veth peer name eth0 netns "${HOST_PID[dst]}"
    in_host src ip addr add $SRC_IP/24 dev eth0
    in_host dst ip addr add $DST_IP/24 dev eth0
    for host in src dst; do
        in_host "$host" ip link set eth0 up
    done
    hosts_cubic
}

hosts_cubic() {
    local host
    for host in src dst; do
        # a namespace may be refused cubic as its default, but not on a route of its own
        in_host "$host" sh -c 'echo cubic >/proc/sys/net/ipv4/tcp_congestion_control' 2>/dev/null ||
            in_host "$host" ip route replace 10.77.0.0/24 dev eth0 congctl cubic ||
            say "note: $host has no cubic; its connections use the machine's default"
    done
}

# firewall_make [PORT]: both hosts drop everything, but src may reach one TCP port of dst. Counters: conns (SYNs that
# passed), in and out (packets of that port), dropped (all that was turned away).
firewall_make() {
    FIREWALL_PORT=${1:-16516}
    firewall_load dst dport sport
    firewall_load src sport dport
}

# firewall_make_both [PORT]: likewise, but either may reach that port of the other
firewall_make_both() {
    FIREWALL_PORT=${1:-16516}
    firewall_load dst dport sport both
    firewall_load src dport sport both
}

firewall_load() {
    local host=$1 incoming=$2 outgoing=$3 both=${4:+accept}
    in_host "$host" nft -f - <<NFT || fail "the firewall of $host cannot be made"
table inet fw {
    counter conns { }
    counter passed_in { }
    counter passed_out { }
    counter dropped { }
    counter cut { }
    chain cut { type filter hook prerouting priority raw; }
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        tcp $incoming $FIREWALL_PORT tcp flags & (syn | ack) == syn counter name conns
        tcp $incoming $FIREWALL_PORT counter name passed_in accept
        ${both:+tcp $outgoing $FIREWALL_PORT counter name passed_in accept}
        counter name dropped
    }
    chain output {
        type filter hook output priority 0; policy drop;
        oif lo accept
        tcp $outgoing $FIREWALL_PORT counter name passed_out accept
        ${both:+tcp $incoming $FIREWALL_PORT counter name passed_out accept}
        counter name dropped
    }
    chain forward { type filter hook forward priority 0; policy drop; }
}
NFT
}

# firewall_count HOST COUNTER [packets|bytes]: conns, passed_in, passed_out, dropped
firewall_count() {
    in_host "$1" nft -j list counter inet fw "$2" | jq -r ".nftables[] | .counter? // empty | .${3:-packets}"
}

# firewall_reset: the counters begin at 0 again
firewall_reset() {
    local host
    for host in src dst; do
        in_host "$host" nft reset counters >/dev/null
    done
}

# firewall_expect_connections N: just so many TCP connections crossed (twice as many where a session takes two), and
# nothing else so much as tried to
firewall_expect_connections() {
    local host
    expect_equal "TCP connections that reached dst" $(($1 * ${ADIT_CONNECTIONS:-1})) "$(firewall_count dst conns)"
    for host in src dst; do
        expect_equal "packets dropped by the firewall of $host" 0 "$(firewall_count "$host" dropped)"
    done
}

firewall_show() {
    printf 'firewall of dst: policy drop; TCP port %s: %s connection(s), %s bytes in, %s bytes out; dropped: %s packets\n' \
        "$FIREWALL_PORT" "$(firewall_count dst conns)" "$(firewall_count dst passed_in bytes)" \
        "$(firewall_count dst passed_out bytes)" "$(firewall_count dst dropped)"
    printf 'firewall of src: policy drop; answers only; dropped: %s packets\n' "$(firewall_count src dropped)"
}

# link_long MS: from now on the cable is so long, each way; 0: as before. (Connections do not outlive it.)
link_long() {
    local host
    [ -z "${PROC_PID[line]:-}" ] || proc_end line
    in_host src ip link del eth0 2>/dev/null || true
    if [ "$1" = 0 ]; then
        hosts_cable
        return
    fi
    [ -w /dev/net/tun ] || skip 'no /dev/net/tun: a long line cannot be made'
    proc_start line - "$LINE" "$1" "${HOST_PID[src]}" $SRC_IP/24 "${HOST_PID[dst]}" $DST_IP/24
    wait_until 5 'the long line' grep -q up "$T/line.log"
    hosts_cubic
}

# link_cut / link_heal: packets vanish on their way in, both ways, and nobody is told
link_cut() {
    local host
    for host in src dst; do
        in_host "$host" nft add rule inet fw cut iif eth0 counter name cut drop
    done
}
link_heal() {
    local host
    for host in src dst; do
        in_host "$host" nft flush chain inet fw cut
    done
}

# link_rate RATE: in tc's words (200mbit); "none" takes the limit away
link_rate() {
    local host
    for host in src dst; do
        in_host "$host" tc qdisc del dev eth0 root 2>/dev/null || true
        [ "$1" = none ] || in_host "$host" tc qdisc add dev eth0 root tbf rate "$1" burst 256k latency 20ms
    done
}

# listeners HOST: a line for each listening TCP or UDP socket: "tcp 0.0.0.0:16516 adit"
listeners() {
    in_host "$1" ss -Hltunp |
        sed -nE 's/^(tcp|udp) +[^ ]+ +[0-9]+ +[0-9]+ +([^ ]+) +[^ ]+ *(users:\(\("([^"]*)".*)?$/\1 \2 \4/p'
}

# unix_listeners HOST: the paths of listening unix sockets, those without a name left out
unix_listeners() { in_host "$1" ss -Hlx | awk '$5 != "*" { print $5 }' | sort -u; }

# host_processes HOST: "pid command" of each process there
host_processes() {
    local d
    for d in /proc/[0-9]*; do
        [ "$d/ns/net" -ef "/proc/${HOST_PID[$1]}/ns/net" ] || continue
        printf '%s %s\n' "${d#/proc/}" "$({ tr '\0' ' ' <"$d/cmdline"; } 2>/dev/null)"
    done | sort -n
}

# listeners_watch_start / listeners_watch_end: every 0.1 s meanwhile; at the end fails if a QEMU ever listened
listeners_watch_start() {
    (
        trap - ERR EXIT
        set +e
        while :; do
            for host in src dst; do
                listeners "$host" | sed "s/^/$host /"
            done
            sleep 0.1
        done
    ) >"$T/listeners.txt" 2>/dev/null &
    PROC_PID[listeners]=$!
}
listeners_watch_end() {
    local found
    kill "${PROC_PID[listeners]}" 2>/dev/null || true
    wait "${PROC_PID[listeners]}" 2>/dev/null || true
    unset 'PROC_PID[listeners]'
    found=$(sort -u "$T/listeners.txt" | grep qemu || true)
    [ -z "$found" ] || fail "QEMU listened: $found"
}
# listeners_seen: what was seen by then, each once
listeners_seen() { sort -u "$T/listeners.txt"; }

#!/usr/bin/env bash
# Goal: the network that the other tests measure with tells the truth. The firewall passes its one port and counts
# what else was tried; a cut link is silent and heals; a QEMU that listens is seen.
. "$(dirname "$0")/lib.sh"

# answers PORT [SECONDS]: does dst echo what src says to that port?
answers() {
    [ "$( (echo hello; sleep 0.3) | in_host src timeout "${2:-2}" socat -T "${2:-2}" - "TCP:$DST_IP:$1,connect-timeout=1" 2>/dev/null)" = hello ]
}
link_carries() { answers 16516 1; }

hosts_make
firewall_make 16516
proc_start one dst socat TCP-LISTEN:16516,fork,reuseaddr PIPE
proc_start other dst socat TCP-LISTEN:16517,fork,reuseaddr PIPE
wait_until 5 "both ports listening" eval '[ "$(listeners dst | grep -c socat)" = 2 ]'
answers 16516 || fail "the open port is closed"
firewall_expect_connections 1
if answers 16517; then fail "a port that is not open was reached"; fi
expect_failure "a second port that was tried is not counted" firewall_expect_connections 1
[ "$(firewall_count dst conns)" = 1 ] || fail "a connection to another port counts as one to the open port"

link_cut
if link_carries; then fail "a cut link carries"; fi
link_heal
wait_until 10 "the healed link" link_carries

# one that only takes: nobody reads what an echo would send back
proc_end one
proc_start sink dst socat -u TCP-LISTEN:16516,fork,reuseaddr OPEN:/dev/null
wait_until 5 "the sink listening" eval '[ "$(listeners dst | grep -c socat)" = 2 ]'
link_rate 8mbit
begin=$(now_ms)
head -c 2000000 /dev/zero | in_host src socat -u - "TCP:$DST_IP:16516"
[ $(($(now_ms) - begin)) -gt 800 ] || fail "2 MB went over 8 Mbit/s in $(($(now_ms) - begin)) ms"
link_rate none

listeners_watch_start
vm_start a src append='ram=1 disks=none'
guest_ready a
vm_qmp a '{"execute":"nbd-server-start","arguments":{"addr":{"type":"inet","data":{"host":"127.0.0.1","port":"0"}}}}' >/dev/null
wait_until 5 "the listening QEMU being seen" grep -q qemu "$T/listeners.txt"
expect_failure "a QEMU that listens passes" listeners_watch_end
say "$EXPECTED_FAILURE"

#!/usr/bin/env bash
# Goal: with the nftables lines of docs/integrations.md, "Firewalls", the source reaches adit's port, and neither another
# host nor the source at another port gets through.
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib/docs.sh"

adit_needed
hosts_make
adit_keys
other=10.77.0.3 stray=16517
in_host src ip addr add $other/24 dev eth0
docs_block docs/integrations.md Firewalls 1 | sed "s/192\.0\.2\.10/$SRC_IP/" >"$T/lines.nft"
proc_start serve dst "$ADIT" serve --psk "$T/psk" --allow-forward "unix:$T/*" --run-dir "$T/run-dst"
proc_start stray dst socat "TCP-LISTEN:$stray,fork" OPEN:/dev/null
wait_until 10 "both listen" eval "listeners dst | grep -q ':$ADIT_PORT ' && listeners dst | grep -q ':$stray '"

# reaches FROM PORT
reaches() { in_host src socat -u OPEN:/dev/null "TCP:$DST_IP:$2,bind=$1,connect-timeout=1" 2>/dev/null; }
for from in $SRC_IP $other; do
    reaches $from $ADIT_PORT || fail "$from does not reach the port, without any firewall"
done
in_host dst nft -f "$T/lines.nft" || fail "nft does not take the lines"
reaches $SRC_IP $ADIT_PORT || fail "the source is kept out"
! reaches $other $ADIT_PORT || fail "another host gets in"
! reaches $SRC_IP $stray || fail "another port is open"
in_host src "$ADIT" run "tls://$DST_IP" --psk "$T/psk" -L "a=unix:$T/none" -- true || fail "adit does not get through"
docs_done

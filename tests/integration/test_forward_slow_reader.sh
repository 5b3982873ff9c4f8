#!/usr/bin/env bash
# Goal: readers that stand still hold up no other stream, what waits for them stays within the session's memory budget
# on both sides, and when they read again everything arrives.
. "$(dirname "$0")/lib.sh"

BUDGET_KIB=$((256 * 1024))
STALLED=8
EACH=$((96 << 20)) # more than any window

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/*"
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "unix:$T/near=unix:$T/target"

mkfifo "$T/go"
"$HELPERS/streams" "$T/target" "$T/near" $((STALLED + 100)) 1000000 "$STALLED" "$EACH" <"$T/go" >"$T/streams.out" &
streams=$!
started "$streams"
exec 3>"$T/go"
stalled() { grep -q stalled "$T/streams.out" || { gone "$streams" && fail "the helper has ended"; }; }
wait_until 120 "the others get through while $STALLED readers stand still" stalled
read -r _ sent <"$T/streams.out"
say "taken in for $STALLED readers that stand still: $((sent >> 20)) MiB"
[ "$sent" -lt $((STALLED * EACH)) ] || fail "all of it was taken in"

for side in "$SERVE" "$FORWARD"; do
    say "resident: $(rss_kib "$side") KiB, at most $(peak_kib "$side") KiB"
    # a sanitizer keeps what was freed
    [ -n "$SANITIZE" ] || [ "$(peak_kib "$side")" -lt $((BUDGET_KIB + 32 * 1024)) ] ||
        fail "more than the session's budget of $BUDGET_KIB KiB"
done
echo >&3
wait "$streams" || fail "what waited did not arrive"
end_adits

#!/usr/bin/env bash
# Goal: a thousand streams at once through one connection, and every byte of each, both ways, is right and in its place.
. "$(dirname "$0")/lib.sh"

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/*"
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "unix:$T/near=unix:$T/target"

"$HELPERS/streams" "$T/target" "$T/near" 1000 131072 || fail "a thousand streams"
"$HELPERS/streams" "$T/target" "$T/near" 1000 1 || fail "a thousand streams of one byte"
"$HELPERS/streams" "$T/target" "$T/near" 1 200000000 || fail "one stream of 200 MB"

expect_equal "sessions" 1 "$(grep -c 'session from' "$T/serve.log")"
for f in serve forward; do
    ! grep -E ' (warning|error): ' "$T/$f.log" || fail "a complaint in $f.log"
done
end_adits

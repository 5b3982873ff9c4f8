#!/usr/bin/env bash
# Goal: adit serve does what its file says: the rights of two peers, limits of sessions, handshakes, memory and bandwidth; a reload puts another key and
# other rights in force for who comes then and leaves who is there alone, or leaves all as it was; SIGTERM ends sessions
# that carry no migration, with a reason; --check-config tells it all beforehand.
. "$(dirname "$0")/lib.sh"
need socat

keys() { # FILE NAME...: a key file with those identities; the same name is the same key
    local file=$1 name
    shift
    : >"$file"
    chmod 600 "$file"
    for name in "$@"; do
        [ -e "$T/key-$name" ] || "$ADIT" keygen -o "$T/key-$name" "$name" || fail keygen
        cat "$T/key-$name" >>"$file"
    done
}
conf() { cat >"$T/adit.conf"; }
reload() { # TEXT: the server says so
    local before
    before=$(grep -c -- "$1" "$T/serve.log")
    kill -HUP "$SERVE"
    wait_until 5 "the reload: $1" told_again "$before" "$1"
}
gone_file() { [ ! -e "$1" ]; }
told_again() { [ "$(grep -c -- "$2" "$T/serve.log")" -gt "$1" ]; }
ask() { printf hello | timeout 10 socat -t5 - "UNIX:$1" 2>/dev/null; }
forward() { # NAME WHO: a forward to the target, as NAME, its near end $T/NAME
    FORWARD=
    : >"$T/$1.log"
    "$ADIT" forward "tls://127.0.0.1:$PORT" --psk "$T/key-$2" -L "unix:$T/$1=unix:${TARGET:-$T/target}" --background \
        --pid-file "$T/$1.pid" 2>"$T/$1.log" || return 1
    started "$(cat "$T/$1.pid" 2>/dev/null)"
}
refused() { # WHO WHAT TEXT: that peer gets no session
    # it may have been told that it is there a moment before it is told to go
    forward refused "$1" 2>/dev/null
    wait_until 5 "$2" grep -q -- "$3" "$T/refused.log"
    wait_until 5 "the end of $2" gone_file "$T/refused.pid"
}

socat UNIX-LISTEN:"$T/target",fork SYSTEM:"cat >/dev/null; echo fine" &
started $!
keys "$T/psk" alice bob
conf <<END
; the rights of two
[serve]
listen = 127.0.0.1:0
psk = $T/psk
run-dir = $T/run
state-dir = $T/state
api-listen = 127.0.0.1:0
api-token-file = $T/token

[peer alice]
forward = unix:$T/none
          unix:$T/target
sessions = 1

[peer bob]
END

(umask 077 && echo the-first-token-of-two >"$T/token")

say '--check-config'
"$ADIT" serve --config "$T/adit.conf" --check-config >"$T/said" 2>&1 || fail "--check-config: $(cat "$T/said")"
grep -A3 '^peer alice' "$T/said" | grep -q "forward *unix:$T/target" || fail "alice's right is not told: $(cat "$T/said")"
grep -A1 '^peer bob' "$T/said" | grep -q 'may do nothing' || fail "bob's lack of rights is not told"
grep -A1 '^everybody else' "$T/said" | grep -q 'may do nothing' || fail "everybody else's is not told"
[ ! -e "$T/run" ] || fail '--check-config made something'
wrong() { # LINE TEXT: with that line behind the others it is an error, told with its place
    cp "$T/adit.conf" "$T/wrong.conf"
    printf '%s\n' "$1" >>"$T/wrong.conf"
    "$ADIT" serve --config "$T/wrong.conf" --check-config >"$T/said" 2>&1
    expect_equal "status with $1" 1 $?
    grep -q -- "$T/wrong.conf:$2" "$T/said" || fail "with $1: $(cat "$T/said")"
    expect_equal "lines with $1" 1 "$(wc -l <"$T/said")"
}
wrong 'foreward = unix:/x' '16: there is no key foreward'
wrong 'migrate = perhaps' '16: migrate: "perhaps"'
wrong 'launch = /nonexistent/qemu' '16: launch: /nonexistent/qemu'
wrong 'forward = unix:/a/../b' '16: forward: .*would never match'
wrong '[peers]' '16: \[peers\] is no section'
wrong '[serve]' '16: \[serve\] is there already'
wrong '[peer alice]' '16: peer alice is there already'
wrong 'bandwidth = fast' '16: bandwidth: "fast"'
wrong 'launch-user = nosuch' '16: launch-user: there is no user nosuch'
wrong 'launch-user = nobody' '15: peer bob: launch-user needs launch'
if [ "$(id -u)" = 0 ]; then
    # [serve]'s is for those who launch and name none
    cp "$T/adit.conf" "$T/users.conf"
    sed -i 's/^\[serve\]/&\nlaunch-user = nobody/' "$T/users.conf"
    printf '%s\n' 'migrate = yes' 'launch = /bin/true' '[peer carol]' 'migrate = yes' 'launch = /bin/true' 'launch-user = daemon:nogroup' >>"$T/users.conf"
    "$ADIT" serve --config "$T/users.conf" --check-config >"$T/said" 2>&1 || fail "users: $(cat "$T/said")"
    for want in alice: bob:nobody carol:daemon:nogroup; do
        expect_equal "the launch-user of ${want%%:*}" "${want#*:}" \
            "$(sed -nE "/^peer ${want%%:*}/,/^peer|^every/s/^ *launch-user +//p" "$T/said")"
    done
    [ ! -e "$T/run" ] || fail '--check-config made something'
else
    say 'SKIPPED: launch-user, without root'
fi
wrong 'nonsense' '16: this is neither'
wrong 'libvirt = yes
libvirt = yes' '17: libvirt stands in line 16 already'
chmod o+w "$T/adit.conf"
! "$ADIT" serve --config "$T/adit.conf" --check-config >"$T/said" 2>&1 || fail 'a file that all may write to was read'
grep -q 'chmod go-w' "$T/said" || fail "no mend for the mode: $(cat "$T/said")"
chmod 600 "$T/adit.conf"
! "$ADIT" serve --config "$T/adit.conf" --psk "$T/nothing" --check-config >"$T/said" 2>&1 || fail 'credentials are not looked at'
grep -q "$T/nothing" "$T/said" || fail "an option does not hold against the file: $(cat "$T/said")"

say 'two peers'
serve_with --config "$T/adit.conf"
forward a alice || fail "alice: $(cat "$T/a.log")"
! forward b bob || fail 'bob may not, and is not told'
grep -qF 'forward = in its adit.conf, [peer psk:bob]' "$T/b.log" || fail "bob is not told the mend: $(cat "$T/b.log")"
expect_equal 'what alice gets' fine "$(ask "$T/a")"
refused alice "alice's second session" 'too many sessions of this peer'

api=$(sed -n 's|.*API on http://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$T/serve.log")
answer() { # TOKEN: the status of the API's answer
    printf 'GET /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n' "$1" |
        timeout 5 socat -t5 - "TCP:127.0.0.1:$api" | sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p'
}
expect_equal 'the answer to the token' 200 "$(answer the-first-token-of-two)"

say 'a reload'
expect_reload='read .* and the credentials anew'
keys "$T/psk2" bob carol
sed -e "s|^psk.*|psk = $T/psk2|" -e "s|^\[peer bob\]|[peer carol]\nforward = unix:$T/target\n&|" "$T/adit.conf" >"$T/next"
printf 'forward = unix:%s/target\n' "$T" >>"$T/next"
cp "$T/next" "$T/adit.conf"
echo the-second-token-of-two >"$T/token"
reload "$expect_reload"
expect_equal 'the answer to the old token' 401 "$(answer the-first-token-of-two)"
expect_equal 'the answer to the new one' 200 "$(answer the-second-token-of-two)"
expect_equal 'what alice still gets' fine "$(ask "$T/a")"
forward b bob || fail "bob, with a right: $(cat "$T/b.log")"
expect_equal 'what bob gets now' fine "$(ask "$T/b")"
kill "$(cat "$T/a.pid")"
wait_until 5 'alice goes' gone_file "$T/a.pid"
refused alice 'a key that is no longer there' 'does not know the PSK identity "alice"'
forward c carol || fail "carol: $(cat "$T/c.log")"

say 'rights that are taken away'
sed -e '/^forward/d' -e '/^ .*unix:/d' "$T/next" >"$T/adit.conf"
reload "$expect_reload"
expect_equal 'what bob keeps' fine "$(ask "$T/b")"
grep -qF "peer=psk:bob its session keeps, until it ends, what the peer is not allowed any more: forward = unix:$T/target" "$T/serve.log" ||
    fail "what bob keeps is not told: $(cat "$T/serve.log")"
! forward another bob || fail 'bob got anew what was taken away'
cp "$T/next" "$T/adit.conf"
reload "$expect_reload"

say 'a cap on what a peer moves'
sed -e '/^psk/a memory = 1M\nhandshakes = 2' -e "/^\[peer carol\]/,/^\[peer bob\]/s|^forward.*|bandwidth = 4M\nforward = unix:$T/bulk|" "$T/next" >"$T/adit.conf"
reload "$expect_reload"
grep -q "peer=psk:carol its session keeps.*: forward = unix:$T/target, and 1 more" "$T/serve.log" ||
    fail "what carol keeps is not told: $(cat "$T/serve.log")"
kill "$(cat "$T/c.pid")"
wait_until 5 'carol goes' gone_file "$T/c.pid"
TARGET=$T/bulk forward c carol || fail "carol: $(cat "$T/c.log")"
begun=$(date +%s%N)
"$HELPERS/streams" "$T/bulk" "$T/c" 2 4000000 || fail 'two streams with a cap'
took=$((($(date +%s%N) - begun) / 1000000))
say "  8 MB there and 8 MB back at 4 MiB/s each way: $took ms"
[ "$took" -gt 1500 ] || fail "the cap does not hold: $took ms"
[ "$took" -lt 12000 ] || fail "the cap holds too much: $took ms"

for fd in 21 22 23 24; do eval "exec $fd<>/dev/tcp/127.0.0.1/$PORT"; done
wait_until 5 'the oldest of four that say nothing give way' eval '[ "$(grep -c "too many handshakes" "$T/serve.log")" = 2 ]'
for fd in 21 22 23 24; do eval "exec $fd>&-"; done

say 'a reload of what is wrong'
for wrong in 'sessions = many' "[serve]" "[peer dave]
launch = /bin/true"; do
    cp "$T/next" "$T/adit.conf"
    printf '%s\n' "$wrong" >>"$T/adit.conf"
    reload 'the old configuration and credentials stay in force: .*adit.conf:[0-9]'
done
cp "$T/next" "$T/adit.conf"
echo broken >"$T/psk2"
reload 'the old configuration and credentials stay in force: .*psk2'
forward a bob || fail "after reloads that failed: $(cat "$T/a.log")"
expect_equal 'what bob gets after them' fine "$(ask "$T/a")"
keys "$T/psk2" bob carol
sed -e 's/^listen.*/listen = 127.0.0.1:1/' -e 's/^run-dir.*/&2/' -e '/^psk/a sessions = 3' "$T/next" >"$T/adit.conf"
reload 'listen, run-dir: changed in .*restart it'
refused bob 'one session more than in all' 'too many sessions'

say 'SIGTERM'
kill -TERM "$SERVE"
wait "$SERVE"
expect_equal 'status of adit serve' 0 $?
wait_until 10 'the reason is told' grep -q 'this adit is ending' "$T/c.log"

say 'a reload to no credentials, and back: one-time keys'
bring() { # [NAME]: what adit serve says to a key that this user brings
    echo "${1:-once} $(printf '%064d' 7) there" | timeout 5 socat -t5 - "UNIX:$T/once/once.sock" 2>/dev/null
}
ticks() { sed 's/.*) //' "/proc/$SERVE/stat" | awk '{ print $12 + $13 }'; }
for how in 'insecure = yes' "psk = $T/psk2" 'insecure = yes'; do
    printf '%s\n' '[serve]' 'listen = 127.0.0.1:0' "run-dir = $T/once" "$how" >"$T/adit.conf"
    if [ -z "${ONCE:-}" ]; then
        : >"$T/serve.log"
        "$ADIT" serve --config "$T/adit.conf" 2>"$T/serve.log" &
        SERVE=$! ONCE=$!
        started "$SERVE"
        wait_until 10 'adit serve listens' grep -q 'listening on' "$T/serve.log"
        [ ! -e "$T/once/once.sock" ] || fail 'without credentials it takes keys'
        continue
    fi
    reload "$expect_reload"
    case $how in
    psk*)
        bring | grep -q '^ok [0-9]' || fail 'after the reload to keys it takes no one-time key'
        # no descriptor is left for who comes: it waits, and does not spin
        free=0
        while [ -e "/proc/$SERVE/fd/$free" ]; do free=$((free + 1)); done
        limit=$(prlimit --pid "$SERVE" --nofile --output SOFT --noheadings)
        prlimit --pid "$SERVE" --nofile="$free:"
        before=$(ticks)
        bring another >"$T/brought" &
        bringing=$!
        sleep 0.5
        spent=$(($(ticks) - before))
        prlimit --pid "$SERVE" --nofile="$limit:"
        wait "$bringing"
        grep -q '^ok [0-9]' "$T/brought" || fail "a key that had to wait is told: $(cat "$T/brought")"
        grep -q 'no one-time keys for a moment' "$T/serve.log" || fail 'it had descriptors left'
        [ "$spent" -lt 10 ] || fail "it spun for $spent hundredths of a second"
        ;;
    *) bring | grep -q '^no without TLS' || fail 'after the reload to no credentials it says nothing to a key' ;;
    esac
done
kill -TERM "$SERVE"
wait "$SERVE"
expect_equal 'status of adit serve' 0 $?
! grep -E 'Sanitizer|runtime error' "$T"/*.log || fail 'a sanitizer spoke'

#!/usr/bin/env bash
# Goal: of a key file with several identities a client shows the one that DEST, --identity or [client] of adit.conf names,
# in this order, and the far adit calls it so; --check-config, and adit serve as it starts, warn of sections of peers that
# nobody can be.
. "$(dirname "$0")/lib.sh"
unset ADIT_PSK ADIT_TLS_CREDS

(umask 077; for name in host-a host-b; do "$ADIT" keygen $name; done >"$T/keys"; "$ADIT" keygen host-c >"$T/other")
cat >"$T/adit.conf" <<END
[serve]
psk = $T/keys
[peer host-a]
forward = unix:$T/*
[peer host-b]
forward = unix:$T/*
END
start_serve --config "$T/adit.conf"
! grep -i warning "$T/serve.log" || fail 'a warning of a configuration that is in order'
conf() { printf '%s\n' "$@" >"$T/etc.conf"; }
# on FILE COMMAND...: with that /etc/adit/adit.conf, and the keys in /etc/adit/psk
on() {
    unshare -m sh -c 'mount -t tmpfs none "$1" && mkdir -p "$1/adit" && cp "$2" "$1/adit/adit.conf" && cp "$3" "$1/adit/psk" &&
        shift 3 && exec "$@"' sh /etc "$T/etc.conf" "$T/keys" "$@"
}
# is NAME COMMAND...: the far adit calls it so
is() {
    local name=$1 mark
    shift
    mark=$(($(wc -l <"$T/serve.log") + 1))
    "$@" 2>"$T/client.log" || fail "$*: $(cat "$T/client.log")"
    wait_until 5 "a session of $name" eval "tail -n +$mark '$T/serve.log' | grep -q psk:$name"
    ! tail -n "+$mark" "$T/serve.log" | grep psk: | grep -v "psk:$name" || fail "not $name alone"
}
dest=127.0.0.1:$PORT

is host-a "$ADIT" run tls://host-a@$dest --psk "$T/keys" -L x=unix:"$T"/x -- true
is host-b "$ADIT" run tls://$dest --psk "$T/keys" --identity host-b -L x=unix:"$T"/x -- true
is host-b "$ADIT" run tls://host-b@$dest --psk "$T/keys" --identity host-b -L x=unix:"$T"/x -- true
is host-b env ADIT_PSK="$T/keys" "$ADIT" run tls://$dest --identity host-b -L x=unix:"$T"/x -- true
"$ADIT" run tls://$dest --psk "$T/keys" -L x=unix:"$T"/x -- true 2>"$T/said" && fail 'one of two keys was taken'
grep -q 'several identities (host-a, host-b).*--identity.*\[client\]' "$T/said" || fail "without a name: $(cat "$T/said")"

conf "[client]"
if on true 2>/dev/null; then
    conf '[client]' 'identity = host-b' '[peer x]' 'this = is for adit serve'
    is host-b on "$ADIT" run tls://$dest -L x=unix:"$T"/x -- true
    is host-b on "$ADIT" run tls://$dest --psk "$T/keys" -L x=unix:"$T"/x -- true
    is host-a on "$ADIT" run tls://$dest --identity host-a -L x=unix:"$T"/x -- true
    is host-a on "$ADIT" run tls://host-a@$dest -L x=unix:"$T"/x -- true
    conf '[client]' "psk = $T/keys" 'identity = host-a'
    is host-a on "$ADIT" run tls://$dest -L x=unix:"$T"/x -- true
    # a file with the only key of another name is none of its business
    conf '[client]' 'identity = host-a'
    on "$ADIT" run tls://$dest --psk "$T/other" -L x=unix:"$T"/x -- true 2>"$T/said" && fail 'a key that is not known was taken'
    ! grep 'has no identity' "$T/said" || fail 'the name was held against a file with one key'
    conf '[client]' 'identiti = host-a'
    on "$ADIT" run tls://$dest -L x=unix:"$T"/x -- true 2>"$T/said" && fail 'a wrong key in [client] was passed over'
    grep -q 'adit.conf:2: .*identiti.*did you mean identity' "$T/said" || fail "a wrong key: $(cat "$T/said")"
else
    skip_part '[client] of /etc/adit/adit.conf' 'no mounts of its own can be had here'
fi

# warned WORDS SECTION: by --check-config, which ends with 0, and by adit serve
warned() {
    printf '[serve]\npsk = %s\n[peer %s]\nmigrate = no\n' "$T/keys" "$2" >"$T/warned.conf"
    "$ADIT" serve --config "$T/warned.conf" --check-config >/dev/null 2>"$T/said" || fail "--check-config of $2: $(cat "$T/said")"
    if [ -z "$1" ]; then
        [ ! -s "$T/said" ] || fail "$2: $(cat "$T/said")"
        return
    fi
    expect_equal "lines of $2: $(cat "$T/said")" 1 "$(wc -l <"$T/said")"
    grep -qF -- "warning: $T/warned.conf: [peer $2]: $1" "$T/said" || fail "$2: $(cat "$T/said")"
}
for good in host-a 'host-*' psk:host-b 'psk:*' ssh:vm 'ssh:vm@10.0.0.*' '*'; do warned '' "$good"; done
warned "no key in $T/keys has that name; it has: host-a, host-b" host-c
warned "no key in $T/keys has that name" 'web-*'
warned "no key in $T/keys has that name" psk:host
warned 'the quotation marks are taken as part of the name: write [peer host-a]' '"host-a"'
warned 'the quotation marks are taken as part of the name: write [peer host-a]' "'host-a'"
warned 'nobody is called so here: peers come as psk:... or ssh:...' 'x509:CN=host-a'
warned 'nobody is called so here' 'tcp:10.0.0.1'
printf '[serve]\npsk = %s\n[peer host-c]\nforward = unix:/x\n' "$T/keys" >"$T/adit.conf"
kill -HUP "$SERVE"
wait_until 5 'the reload' grep -q 'anew' "$T/serve.log"
grep -q 'warning: .*\[peer host-c\]: no key' "$T/serve.log" || fail "no warning at a reload: $(cat "$T/serve.log")"
kill -TERM "$SERVE"
wait "$SERVE"
start_serve --config "$T/adit.conf"
grep -q 'warning: .*\[peer host-c\]: no key' "$T/serve.log" || fail "no warning at the start: $(cat "$T/serve.log")"
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"
! grep -E 'Sanitizer|runtime error' "$T"/*.log "$T/said" || fail 'a sanitizer spoke'

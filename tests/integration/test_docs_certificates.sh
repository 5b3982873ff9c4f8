#!/usr/bin/env bash
# Goal: the lines of docs/certificates.md, run as they stand there, with certtool and with openssl, make certificates that two
# hosts can go by: the far adit is who it says, under its name and its address, and calls this one by its certificate's name.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../lib/docs.sh"
unset ADIT_PSK ADIT_TLS_CREDS
page=docs/certificates.md

# made HEADING: the authority and host-a's certificate in a folder of their own, which is where the shell is then
made() {
    mkdir "$T/$1" && cd "$T/$1" || exit 1
    { docs_block $page "$1" 1 && docs_block $page "$1" 2 && docs_block $page 'On the host' 1; } >lines.sh
    bash -eu lines.sh >"$T/made.log" 2>&1 || fail "$1: $(tail -n 3 "$T/made.log")"
    # the host's configuration, with this folder for /etc/adit/pki
    docs_block $page 'On the host' 2 | sed "s|/etc/adit/pki|$PWD/host-a|; s|^migrate = yes|&\nforward = unix:$T/*|" >adit.conf
    chmod 600 adit.conf
}
works() {
    start_serve --config "$PWD/adit.conf"
    "$ADIT" serve --config "$PWD/adit.conf" --check-config >"$T/checked.log" 2>&1 || fail "--check-config: $(cat "$T/checked.log")"
    grep -q '^warning' "$T/checked.log" && fail "--check-config: $(cat "$T/checked.log")"
    "$ADIT" run "tls://127.0.0.1:$PORT" --tls-creds "$PWD/host-a" -L "x=unix:$T/x" -- true 2>"$T/client.log" ||
        fail "by its address: $(cat "$T/client.log")"
    # by its name, where this test may say whose that is
    printf '127.0.0.1 host-a host-b\n' >"$T/hosts"
    if unshare -m mount --bind "$T/hosts" /etc/hosts 2>/dev/null; then
        as() { unshare -m sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$T/hosts" "$@"; }
        as "$ADIT" run "tls://host-a:$PORT" --tls-creds "$PWD/host-a" -L "x=unix:$T/x" -- true 2>"$T/client.log" ||
            fail "by its name: $(cat "$T/client.log")"
        as "$ADIT" run "tls://host-b:$PORT" --tls-creds "$PWD/host-a" -L "x=unix:$T/x" -- true 2>"$T/client.log" &&
            fail "by a name that it does not have"
    fi
    wait_until 5 'the name of the peer' grep -q 'x509:CN=host-a' "$T/serve.log"
    kill -TERM "$SERVE"
    wait "$SERVE" || fail "adit serve ended with status $?"
}

need openssl
made 'With openssl'
works
if command -v certtool >/dev/null; then
    made 'With certtool'
    works
else
    docs_block $page 'With certtool' 1 >"$T/not-run" && docs_block $page 'With certtool' 2 >>"$T/not-run"
    skip_part 'With certtool' 'certtool is not installed'
fi
docs_done

#!/usr/bin/env bash
# Goal: who comes through ssh has the rights that adit.conf gives to that user, and no others, without a word on his own
# command line: over ssh://, and over ssh+tls:// at the adit serve that has the port, root's for a user who is not root too,
# unless it does not know him. Whoever is not root has that user's own rights on the host besides.
[ -n "${ADIT_TEST_INSIDE:-}" ] || ! unshare -m true 2>/dev/null || ADIT_TEST_INSIDE=1 exec unshare -m bash "$0"
. "$(dirname "$0")/lib.sh"
[ -n "${ADIT_TEST_INSIDE:-}" ] && [ "$(id -u)" = 0 ] || skip "mounts may not be made here: no user can be added"
. "$(dirname "$0")/ssh.sh"
need socat

make_ssh_keys
# another user, /etc/adit, and that user's way to the program, for this test only
cp /etc/passwd "$T/passwd"
echo "alice:*:4711:4711::$T/home:/bin/sh" >>"$T/passwd"
mount --bind "$T/passwd" /etc/passwd || skip "nothing may be mounted"
[ -d /etc/adit ] || { made=1 && mkdir /etc/adit; }
mount -t tmpfs none /etc/adit || fail mount
clean_etc() { umount /etc/adit; [ -z "${made:-}" ] || rmdir /etc/adit; }
trap 'clean_up; clean_etc' EXIT
chmod 711 "$T" "$T/bin" "$T/ssh"
chmod 644 "$T/ssh/authorized"
mkdir -m 755 "$T/home" "$T/far"
mkdir -m 700 "$T/run"
# (setpriv itself still gets through root's folders)
if ! setpriv --reuid 4711 --regid 4711 --clear-groups sh -c '"$0" --version' "$ADIT" >/dev/null 2>&1; then
    rm "$T/bin/adit" && cp "$ADIT" "$T/bin/adit" && chmod 755 "$T/bin/adit"
fi
start_sshd "AllowTcpForwarding no"
for user in alice root; do
    ssh_config user
    sed -i "s/^User .*/User $user/" "$T/ssh/config"
    cp "$T/ssh/config" "$T/ssh/config-$user"
done

# every target answers with its name
for name in one two shut; do
    socat UNIX-LISTEN:"$T/far/$name",fork,mode=666 SYSTEM:"echo $name" &
    started $!
    wait_until 5 "a target" test -S "$T/far/$name"
done
chmod 600 "$T/far/shut"

# sees USER SCHEME NAME...: of the targets, those can be reached
sees() {
    local user=$1 scheme=$2 name got
    shift 2
    got=$(for name in one two shut; do
        timeout 50 "$ADIT" run "$scheme://far" --ssh-config "$T/ssh/config-$user" -L "near=unix:$T/far/$name" -- \
            timeout 10 socat -u UNIX:{near} - 2>"$T/said" && continue
        # (one that is allowed, and shut to that user's own process, is told at the connection)
        grep -qE 'unix:.* is not allowed here|cannot connect to unix:.*Permission denied' "$T/said" ||
            echo "not told: $(cat "$T/said")"
    done | paste -sd' ')
    say "$user over $scheme: ${got:-nothing}"
    expect_equal "what $user reaches over $scheme" "$*" "$got"
}
# refused USER SCHEME PATTERN
refused() {
    timeout 30 "$ADIT" forward "$2://far" --ssh-config "$T/ssh/config-$1" -L "unix:$T/one=unix:$T/far/one" 2>"$T/said"
    expect_equal "status of $1 over $2" 1 $?
    say "$1 over $2: $(cat "$T/said")"
    grep -qE "$3" "$T/said" || fail "$1 over $2: not what was expected ($3)"
}
configure() { printf "%s\n" "$@" >/etc/adit/adit.conf && chmod 644 /etc/adit/adit.conf; }

say 'no configuration: nobody may do anything'
sees root ssh

port=$(free_port)
make_psk
serve=("[serve]" "listen = 127.0.0.1:$port" "psk = $PSK" "run-dir = $T/run" "state-dir = $T/state")
sections=("[peer ssh:root]" "forward = unix:$T/far/one" "[peer ssh:alice]" "forward = unix:$T/far/two" "forward = unix:$T/far/shut"
    "[peer psk:tester]" "migrate = yes" "[peer *]" "forward = unix:$T/far/*")
configure "${serve[@]}" "${sections[@]}"
say 'each by a section'
sees root ssh one
sees alice ssh two # the other one is closed to that user, whatever the section says
say 'the same without an adit serve: the port is taken for the session'
sees root ssh+tls one
sees alice ssh+tls two

say 'an adit serve has the port'
"$ADIT" serve 2>"$T/serve.log" &
SERVE=$!
started "$SERVE"
wait_until 10 "adit serve listens" grep -q 'listening on' "$T/serve.log"
sees root ssh+tls one
sees alice ssh+tls two shut # for it is root's adit serve that connects
grep -q 'peer=ssh:alice@local .*session from 127.0.0.1' "$T/serve.log" || fail "alice is not named: $(cat "$T/serve.log")"
configure "${serve[@]}" "[peer ssh:root]" "forward = unix:$T/far/two" "[peer *]" "forward = unix:$T/far/*"
kill -HUP "$SERVE"
wait_until 5 "the reload" grep -q 'read /etc/adit/adit.conf' "$T/serve.log"
sees root ssh+tls two
refused alice ssh+tls 'refuses: .*knows no ssh:alice: .*\[peer ssh:alice\]'
sees alice ssh one two # a process of that user's own: everybody's rights, as far as they go
chmod 600 /etc/adit/adit.conf
sees alice ssh
chmod 644 /etc/adit/adit.conf
# a command with a file of its own is held to that file
printf '%s\n' "${serve[@]}" "[peer ssh:root]" "forward = unix:$T/far/shut" >"$T/limited.conf"
timeout 30 "$ADIT" forward ssh+tls://far --ssh-config "$T/ssh/config-root" -L "unix:$T/one=unix:$T/far/one" \
    --remote-command "adit serve --stdio --config $T/limited.conf" 2>"$T/said"
expect_equal "status of a way round the command's file" 1 $?
grep -q 'rights of its own.* in use' "$T/said" || fail "a way round: $(cat "$T/said")"
# those who come and say nothing, all too slowly, or nonsense, hold up nobody, and are told so
configure "${serve[@]}" "${sections[@]}"
kill -HUP "$SERVE"
wait_until 5 "the second reload" eval '[ "$(grep -c "read /etc/adit/adit.conf" "$T/serve.log")" = 2 ]'
as_alice() { setpriv --reuid 4711 --regid 4711 --clear-groups "$@"; }
for i in 1 2 3 4; do
    as_alice socat -u ABSTRACT-CONNECT:"adit-once\:$T/run" - >"$T/silent.$i" &
    started $!
done
expect_equal "the answer to nonsense" "no that is no one-time key" "$(echo nonsense | as_alice socat -t2 - ABSTRACT-CONNECT:"adit-once\:$T/run")"
expect_equal "the answer to half a line" "no no key came" "$(printf half | as_alice socat -t2 - ABSTRACT-CONNECT:"adit-once\:$T/run")"
sees alice ssh+tls two shut
told() { [ "$(cat "$T"/silent.*)" = "$(printf 'no no key came\n%.0s' 1 2 3 4)" ]; }
wait_until 10 "the silent ones are told" told
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"

say 'somebody else was there first: a key is not for him'
configure "${serve[@]}" "${sections[@]}"
rm -rf "$T/run"
setpriv --reuid 4712 --regid 4712 --clear-groups socat -u ABSTRACT-LISTEN:"adit-once\:$T/run",fork OPEN:/dev/null &
started $!
wait_until 5 "a stranger" grep -q "@adit-once:$T/run" /proc/net/unix
sees alice ssh+tls two

#!/usr/bin/env bash
# Goal: ssh's own files are taken as ssh takes them: ~/.ssh/config with its Host sections and what they include, identities,
# hashed known_hosts, ProxyCommand and ProxyJump, HostKeyAlias; and an sshd that allows one channel only is enough, however
# long the path is.
[ -n "${ADIT_TEST_INSIDE:-}" ] || ! unshare -m true 2>/dev/null || ADIT_TEST_INSIDE=1 exec unshare -m bash "$0"
. "$(dirname "$0")/lib.sh"
[ -n "${ADIT_TEST_INSIDE:-}" ] || skip "mounts may not be made here: ~/.ssh cannot be replaced"
. "$(dirname "$0")/ssh.sh"
need socat ssh

pair="unix:$T/near=unix:$T/target"
far=(--remote-command "adit serve --stdio --allow-forward unix:$T/target")
make_ssh_keys
start_sshd "MaxSessions 1"
# over this shell's mounts only
dot=$(getent passwd "$(id -u)" | cut -d: -f6)/.ssh
[ -d "$dot" ] || { made=$dot && mkdir -m 700 "$dot"; }
mount -t tmpfs -o mode=700 none "$dot" || skip "no tmpfs may be mounted"
clean_dot() { umount "$dot"; [ -z "${made:-}" ] || rmdir "$made"; }
trap 'clean_up; clean_dot' EXIT
cp "$T/ssh/user" "$dot/id_ed25519"
say_config() { (umask 077 && printf '%s\n' "$@" >"$dot/config"); }
host_key=$(cut -d' ' -f1,2 "$T/ssh/host.pub")
knows() { printf '%s %s\n' "$1" "$host_key" >"$dot/known_hosts"; }
works() { # WHAT [DEST] [OPTION]...
    local what=$1 dest=${2:-ssh://far}
    shift $(($# > 1 ? 2 : 1))
    start_forward "$dest" "${far[@]}" -L "$pair" "$@"
    end_forward
    say "works: $what"
}
fails() { # WHAT PATTERN [DEST]
    timeout 40 "$ADIT" forward "${3:-ssh://far}" -L "$pair" 2>"$T/said" </dev/null
    expect_equal "status of $1" 1 $?
    say "$1: $(cat "$T/said")"
    grep -qE "$2" "$T/said" || fail "$1: not what was expected ($2)"
}

host=("Host far f*r2" "HostName 127.0.0.1" "Port $SSHD_PORT" "User $(id -un)")
say_config "Include more/*.conf" "Host far" "Port 1" "Host *" "User nobody-here"
mkdir "$dot/more"
printf '%s\n' "${host[@]}" >"$dot/more/far.conf"
knows "[127.0.0.1]:$SSHD_PORT"
works "Host, HostName, Port, User, Include and the key where ssh has it"
works "a Host pattern" ssh://far2
fails "another host" 'cannot|refused|no address|known|resolve' ssh://near.invalid
ssh-keygen -q -H -f "$dot/known_hosts" 2>/dev/null || fail 'ssh-keygen -H'
rm -f "$dot/known_hosts.old"
! grep -q 127.0.0.1 "$dot/known_hosts" || fail 'known_hosts is not hashed'
works "a hashed known_hosts"
mv "$dot/id_ed25519" "$dot/other-key"
fails "no key" 'takes none of the keys'
say_config "${host[@]}" "IdentityFile ~/.ssh/other-key" "UserKnownHostsFile ~/.ssh/hosts"
fails "an empty UserKnownHostsFile" "is not in .*/.ssh/hosts"
mv "$dot/known_hosts" "$dot/hosts"
works "IdentityFile and UserKnownHostsFile"

# by way of a program, and of another sshd (which here is the same)
host+=("IdentityFile ~/.ssh/other-key")
knows "[127.0.0.1]:$SSHD_PORT"
say_config "${host[@]}" "ProxyCommand socat -d -d -lf $T/socat.log STDIO TCP4:%h:%p"
works "ProxyCommand"
grep -q "$SSHD_PORT" "$T/socat.log" || fail 'the ProxyCommand was not run'
# Ctrl-C is for whoever started the tunnel, not for that program (socat sets a handler, ignored or not)
# shellcheck disable=SC2016
timeout -s KILL 20 setsid env --default-signal=INT,QUIT "$ADIT" run ssh://far "${far[@]}" -L "near=unix:$T/target" -- \
    bash -c 'trap "echo INT" INT; kill -INT 0; sleep 0.3; [ -S "$ADIT_NEAR" ]' >"$T/said" 2>&1
expect_equal "a Ctrl-C with a ProxyCommand" "0 INT" "$? $(cat "$T/said")"
say_config "${host[@]}" "ProxyCommand exit 1"
fails "a ProxyCommand that fails" '^adit forward: ssh://far: no ssh connection by way of the ProxyCommand "exit 1", which does not say why'
say_config "${host[@]}" "ProxyCommand socat STDIO TCP4:%h:1"
fails "a ProxyCommand that cannot connect" 'by way of the ProxyCommand "socat STDIO TCP4:127.0.0.1:1": .*Connection refused$'
expect_equal "lines of a ProxyCommand that cannot connect" 1 "$(wc -l <"$T/said")"
say_config "${host[@]}" "ProxyCommand no-such-program %h"
fails "a ProxyCommand that is not there" 'by way of the ProxyCommand "no-such-program 127.0.0.1": .*not found$'
# what it says is a line, and clean, whatever it says, however much
printf '#!/bin/sh\nyes noise | head -c 100000 >&2; exit 1\n' >"$T/noisy"
printf '#!/bin/sh\nprintf "\\033[31mfirst\\nthe door\\tis\\007shut\\r\\n\\n" >&2; exit 1\n' >"$T/colourful"
chmod 755 "$T/noisy" "$T/colourful"
say_config "${host[@]}" "ProxyCommand $T/colourful"
fails "a ProxyCommand that colours" ': [^[:cntrl:]]*first; the door.is.shut$'
say_config "${host[@]}" "ProxyCommand $T/noisy"
fails "a ProxyCommand that says much" ': noise; noi?s?e?$'
say_config "${host[@]}" "ProxyCommand sh -c 'yes noise | head -c 100000 >\&2; exec socat STDIO TCP4:%h:%p'"
works "a ProxyCommand that says much, and connects"
jump=("Host jump" "HostName 127.0.0.1" "Port $SSHD_PORT" "User $(id -un)" "IdentityFile ~/.ssh/other-key")
say_config "${jump[@]}" "${host[@]}" "ProxyJump jump"
# (ssh is seen at work: the host could be reached without it)
mkdir "$T/path"
printf '#!/bin/sh\necho "$@" >>%s/jumped\nexec %s "$@"\n' "$T" "$(command -v ssh)" >"$T/path/ssh"
chmod 755 "$T/path/ssh"
PATH=$T/path:$PATH works "ProxyJump"
grep -q -- '-W .* jump$' "$T/jumped" || fail 'the jump host was left out'
say_config "${jump[@]/#Port */Port 1}" "${host[@]}" "ProxyJump jump"
fails "a jump host that is not there" 'by way of the jump host, "ssh -W .*jump": .*port 1: Connection refused$'
say_config "${jump[@]/#User */User nobody-here}" "BatchMode yes" "${host[@]}" "ProxyJump jump"
fails "a jump host that lets nobody in" 'by way of the jump host, "ssh -W .*jump": .*nobody-here@127.0.0.1: Permission denied'
say_config "${jump[@]}" "${host[@]/#Port */Port 1}" "ProxyJump jump"
fails "a host that the jump host cannot reach" 'by way of the jump host, "ssh -W .*jump": .*open failed.*; stdio forwarding failed$'

# the name in known_hosts
knows alias-of-far
say_config "${host[@]}"
fails "a name that known_hosts does not have" "of \[127.0.0.1\]:$SSHD_PORT .* is not in"
say_config "${host[@]}" "HostKeyAlias alias-of-far"
works "HostKeyAlias"
say_config "${host[@]}" "HostKeyAlias alias-of-far" "ProxyCommand socat STDIO TCP4:%h:%p"
works "HostKeyAlias behind a ProxyCommand"
say_config "${host[@]}" "HostKeyAlias another-alias"
fails "an alias that known_hosts does not have" "of another-alias .* is not in"

# so long a path that several channels would be had
far_port=$(free_port)
"$HELPERS/../../bench/delay" "$far_port" "$SSHD_PORT" 15 &
started $!
wait_until 5 "the long path" port_listens "$far_port"
say_config "Host far" "HostName 127.0.0.1" "Port $far_port" "User $(id -un)" "IdentityFile ~/.ssh/other-key" "HostKeyAlias alias-of-far"
start_forward ssh://far "${far[@]}" -L "$pair" --log-level debug
"$HELPERS/streams" "$T/target" "$T/near" 20 131072 || fail '20 streams in the one channel'
end_forward
grep -q 'ssh: 1 channels, not' "$T/forward.log" || fail 'sshd gave more than one channel'
say 'works: MaxSessions 1 over a long path'

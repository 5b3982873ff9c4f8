#!/usr/bin/env bash
# Goal: whatever is wrong between ssh and the far adit, adit forward ends soon, with status 1 and one line that names it and
# its mend; a session that sshd or the far adit takes down with it ends with a line too; and known_hosts is held to whatever
# ssh's configuration says.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ssh.sh"

pair="unix:$T/near=unix:$T/target"
far="adit serve --stdio --allow-forward unix:$T/target"
make_ssh_keys
start_sshd

# attempt WHAT PATTERN OPTION...: must fail in one line that matches PATTERN
attempt() {
    local what=$1 pattern=$2 status
    shift 2
    timeout 50 "$ADIT" forward "${DEST:-ssh://far}" --ssh-config "$T/ssh/config" "$@" -L "$pair" 2>"$T/said" </dev/null
    status=$?
    say "$what: $(cat "$T/said")"
    expect_equal "status of $what" 1 "$status"
    expect_equal "lines of $what" 1 "$(wc -l <"$T/said")"
    grep -qE "$pattern" "$T/said" || fail "$what: not what was expected ($pattern)"
    [ ! -e "$T/near" ] || fail "$what: the socket is left"
}
works() {
    start_forward ssh://far --ssh-config "$T/ssh/config" -L "$pair" "${@:---remote-command=$far}"
    end_forward
}

works

# the host
: >"$T/ssh/known"
attempt "an unknown host" "127.0.0.1\]:$SSHD_PORT .*ed25519 SHA256:.* is not in $T/ssh/known" --log-level error
ssh_config user "StrictHostKeyChecking no"
attempt "an unknown host, and ssh would not ask" "is not in $T/ssh/known"
[ ! -s "$T/ssh/known" ] || fail "the host was taken into known_hosts"
know other-host
attempt "a changed host key" "has changed .*$T/ssh/known.*ssh-keygen -f $T/ssh/known -R"
{ know host; cat "$T/ssh/known"; } >"$T/ssh/known2"
printf '@revoked * %s\n' "$(cut -d' ' -f1,2 "$T/ssh/host.pub")" >>"$T/ssh/known2"
cp "$T/ssh/known2" "$T/ssh/known"
attempt "a revoked host key" "is revoked in $T/ssh/known"
know host

# the user
ssh_config stranger
attempt "a key that sshd does not know" "takes none of the keys for $(id -un).*ssh-copy-id"
ssh_config missing
attempt "no key" "takes none of the keys"
ssh_config locked
attempt "a locked key and no agent" "$T/ssh/locked is locked by a passphrase and no agent runs.*ssh-add $T/ssh/locked"
eval "$(ssh-agent -a "$T/agent")" >/dev/null || fail ssh-agent
started "$SSH_AGENT_PID"
attempt "a locked key and an agent without it" "locked is locked .*the agent does not have it: ssh-add"
printf '#!/bin/sh\necho secret\n' >"$T/askpass"
chmod 700 "$T/askpass"
SSH_ASKPASS=$T/askpass SSH_ASKPASS_REQUIRE=force DISPLAY=:0 ssh-add -q "$T/ssh/locked" </dev/null 2>/dev/null || fail ssh-add
works
ssh_config missing
works
export SSH_AUTH_SOCK=$T/no-such-agent
attempt "an agent that has gone" "takes none of the keys"
unset SSH_AUTH_SOCK
ssh_config user

# the far adit
attempt "no adit there" '"no-such-adit serve --stdio" is not found there.*--remote-command' --remote-command "no-such-adit serve --stdio"
attempt "a program that cannot be run" 'cannot be run' --remote-command "$T/ssh/host serve --stdio"
printf '#!/bin/sh\necho "adit serve: there is no option --stdio; see adit serve --help" >&2; exit 2\n' >"$T/bin/old"
printf '#!/bin/sh\necho "Welcome to this host"; exec adit serve --stdio\n' >"$T/bin/chatty"
printf '#!/bin/sh\necho "ADIT-SSH 2 ok 9.9.9"; sleep 5\n' >"$T/bin/newer"
printf '#!/bin/sh\necho "no space left" >&2; exit 3\n' >"$T/bin/sick"
printf '#!/bin/sh\nprintf "ADIT-SSH 1 ok 0.0.1\\n\\0\\0\\0\\104\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0ADIT\\0\\011\\0\\011"; head -c 100 /dev/zero; sleep 5\n' >"$T/bin/future"
chmod 700 "$T"/bin/{old,chatty,newer,sick,future}
attempt "an adit that is too old" 'does not know --stdio .*too old' --remote-command old
attempt "a shell that talks" '"Welcome to this host" came instead.*bashrc' --remote-command chatty
attempt "a greeting of another version" 'ADIT-SSH 2.*same release' --remote-command newer
attempt "a far side that fails" 'ended with status 3: no space left' --remote-command sick
attempt "a far adit that is told nonsense" 'ended with status 2' --remote-command "adit serve --stdio --psk $T/x"
DEST=ssh+tls://far attempt "a key for a port that is taken" "the far adit refuses: .*$SSHD_PORT.*in use.*half a minute" --remote-command \
    "adit serve --stdio --run-dir $T --listen 127.0.0.1:$SSHD_PORT"

# the port, and the user: what DEST says goes before the configuration
DEST=ssh://nobody-here@far attempt "another user" 'sshd (takes none|ended).* nobody-here'
port=$SSHD_PORT
DEST=ssh://far:$(free_port) attempt "nobody listens" 'refused.*is sshd running there'
"$ADIT" keygen -o "$T/psk" tester
start_serve --psk "$T/psk"
printf '[127.0.0.1]:%s %s\n' "$PORT" "$(cut -d' ' -f1,2 "$T/ssh/host.pub")" >>"$T/ssh/known"
DEST=ssh://far:$PORT attempt "an adit where sshd is expected" 'is it sshd that listens there'
timeout 30 "$ADIT" forward "tls://127.0.0.1:$port" --psk "$T/psk" -L "$pair" 2>"$T/said"
expect_equal "status of TLS to sshd" 1 $?
grep -qi ssh "$T/said" || fail "TLS to sshd: $(cat "$T/said")"

# what ends a session that is up
far_pids() { ps -eo pid=,args= | awk '$2 ~ /^adit$/ && /serve --stdio --run-dir/ && /'"${T##*/}"'/ { print $1 }'; }
far_pid() { far_pids | head -n 1; } # on a long path there are several: that of the session
port=$(free_port)
DEST=ssh+tls://far attempt "a shut port for the data" "ssh\+tls://far \(data at 127.0.0.1:$port\): .*firewall" --remote-command \
    "adit serve --stdio --run-dir $T --listen 127.0.0.2:$port"
kill -KILL "$(far_pid)" || fail "no far adit waited for its key"
session_ends() { # WHAT PATTERN COMMAND...
    local what=$1 pattern=$2
    shift 2
    start_forward ssh://far --ssh-config "$T/ssh/config" --remote-command "adit serve --stdio --run-dir $T/run ${far##*stdio}" -L "$pair"
    "$@" || fail "$what: nothing was killed"
    wait_until 10 "$what ends the session" gone "$FORWARD"
    say "$what: $(grep 'session lost' "$T/forward.log")"
    grep 'session lost' "$T/forward.log" | grep -qE "$pattern" || fail "$what: $(cat "$T/forward.log")"
    [ ! -e "$T/near" ] || fail "$what: the socket is left"
    wait_until 10 "$what leaves no far adit" eval '[ -z "$(far_pids)" ]'
}
kill_far() { kill -KILL "$(far_pid)"; }
stop_far() { kill -TERM "$(far_pid)"; }
kill_sshd_session() { kill -KILL "$(ps -o ppid= -p "$(far_pid)" | tr -d ' ')"; }
session_ends "a far adit that is killed" 'ended by signal KILL$' kill_far
session_ends "a far adit that is told to end" 'session lost: the peer ended the session: this adit is ending' stop_far
session_ends "an sshd that is killed" 'the ssh connection broke: [^:]*: disconnected$' kill_sshd_session
end_sshd

start_sshd "MaxSessions 0"
attempt "an sshd that opens no session" 'sshd opens no session'
end_sshd
# one channel: a busy machine looks like a long path, on which an adit that knows nothing of strands is refused for that
start_sshd "MaxSessions 1"
attempt "a HELLO of another version" 'no protocol version in common' --log-level error --remote-command future
end_sshd
start_sshd "PubkeyAuthentication no"
attempt "an sshd that takes no keys" 'takes no keys'
end_sshd
if sshd_knows "$T/ssh/host" 'PerSourcePenalties authfail:60s'; then
    start_sshd 'PerSourcePenalties authfail:60s min:1s'
    ssh_config stranger
    attempt "a key before the penalty" "takes none of the keys"
    attempt "an address that sshd turns away for it" 'PerSourcePenalties'
    ssh_config user
    end_sshd
else
    skip_part penalties "this sshd ($(ssh -V 2>&1 | cut -d, -f1)) has no PerSourcePenalties"
fi
start_sshd "ForceCommand echo not for you >&2; exit 1"
attempt "an sshd that runs something else" 'not for you'
end_sshd
# one that repeats what it is told must not have the one-time key repeated here
start_sshd "ForceCommand cat"
for DEST in ssh://far ssh+tls://far; do
    attempt "a program that repeats, over ${DEST%%:*}" 'is not adit.*repeats.*authorized_keys'
    timeout 50 "$ADIT" forward "$DEST" --ssh-config "$T/ssh/config" --log-level debug -L "$pair" 2>"$T/said" </dev/null
    ! grep -E '[0-9a-f]{32}' "$T/said" || fail "the key was printed"
done
end_sshd
start_sshd "ForceCommand sed -u 's/^/I say: /'"
attempt "a program that talks back" 'I say: ADIT-SSH 1 psk once-[0-9a-f]* [*]*" came instead'
end_sshd
start_sshd "ForceCommand sh"
attempt "a shell" 'takes the greeting for a command .*ADIT-SSH: not found.*authorized_keys'
unset DEST
end_sshd
# the rights stand where the key is: whatever the peer asks for, this is run
start_sshd "ForceCommand adit serve --stdio --allow-forward unix:$T/target"
works --remote-command "anything else"

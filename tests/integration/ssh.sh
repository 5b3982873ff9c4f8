# A real sshd for the tests of ssh://, with keys, configuration and known_hosts of its own; on 127.0.0.1, for the user who
# runs the test. Sourced after lib.sh.
# shellcheck shell=bash
need ssh-keygen ssh-agent ssh-add
SSHD_PROGRAM=$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null) || skip "sshd is missing"
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
. "$(dirname "${BASH_SOURCE[0]}")/../lib/sshd.sh"
unset SSH_AUTH_SOCK

# a leak or worse of the far adit is in the log of the near one, as everything that it says
export ASAN_OPTIONS=${ASAN_OPTIONS:-}

# make_ssh_keys: the host's, another host's, the user's, one locked by a passphrase
make_ssh_keys() {
    local name
    mkdir -m 700 "$T/ssh" "$T/bin" || fail mkdir
    for name in host other-host user stranger; do
        ssh-keygen -q -t ed25519 -N '' -f "$T/ssh/$name" || fail ssh-keygen
    done
    ssh-keygen -q -t ed25519 -N secret -f "$T/ssh/locked" || fail ssh-keygen
    cat "$T/ssh/user.pub" "$T/ssh/locked.pub" >"$T/ssh/authorized"
    ln -s "$ADIT" "$T/bin/adit"
}

# start_sshd [LINE...]: sshd with these lines in its configuration; sets SSHD, SSHD_PORT; writes $T/ssh/config and
# $T/ssh/known, with which it is known and lets the user in
start_sshd() {
    SSHD_PORT=$(free_port)
    {
        printf '%s\n' "Port $SSHD_PORT" "ListenAddress 127.0.0.1" "HostKey $T/ssh/host" \
            "AuthorizedKeysFile $T/ssh/authorized" "StrictModes no" "UsePAM no" "PidFile none" \
            "PermitRootLogin prohibit-password" "SetEnv PATH=$T/bin:$PATH ${ASAN_OPTIONS:+ASAN_OPTIONS=$ASAN_OPTIONS}" "$@" \
            "$(sshd_patient "$T/ssh/host")"
    } >"$T/ssh/sshd_config"
    "$SSHD_PROGRAM" -D -f "$T/ssh/sshd_config" 2>"$T/sshd.log" &
    SSHD=$!
    started "$SSHD"
    wait_until 10 "sshd listens" port_listens "$SSHD_PORT"
    ssh_config user
    know host
}

end_sshd() {
    kill -KILL "$SSHD"
    wait "$SSHD" 2>/dev/null || true
}

# ssh_config KEY [LINE...]: the user's configuration, with that key
ssh_config() {
    printf '%s\n' "Host far" "HostName 127.0.0.1" "Host *" "Port $SSHD_PORT" "User $(id -un)" "IdentityFile $T/ssh/$1" \
        "UserKnownHostsFile $T/ssh/known" "GlobalKnownHostsFile /dev/null" "${@:2}" >"$T/ssh/config"
}

# know KEY: what known_hosts has for it
know() { printf '[127.0.0.1]:%s %s\n' "$SSHD_PORT" "$(cut -d' ' -f1,2 "$T/ssh/$1.pub")" >"$T/ssh/known"; }

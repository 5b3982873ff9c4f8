# A real sshd on dst, with keys, configuration and known_hosts of its own, for tests of ssh:// and ssh+tls://. Sourced after
# lib.sh.
# shellcheck shell=bash disable=SC2034

need ssh-keygen
SSHD_PROGRAM=$(command -v sshd) || skip "sshd is not installed"
[ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ] || skip "sshd cannot change users in this namespace"
SSHD_PORT=22016
. "$TOP/tests/lib/sshd.sh"

# sshd_make [LINE...]: sshd on dst as proc "sshd", which forbids all that it can but running a program; from then on adit
# migrate goes to ssh://dst.test
sshd_make() {
    local name
    mkdir -p -m 755 /run/sshd
    mkdir -m 700 "$T/ssh"
    for name in host user; do
        ssh-keygen -q -t ed25519 -N '' -f "$T/ssh/$name"
    done
    printf '%s\n' "Port $SSHD_PORT" "ListenAddress $DST_IP" "HostKey $T/ssh/host" "AuthorizedKeysFile $T/ssh/user.pub" \
        "StrictModes no" "UsePAM no" "PidFile none" "PermitRootLogin prohibit-password" "DisableForwarding yes" \
        "PermitTTY no" "SetEnv PATH=$PATH ASAN_OPTIONS=$ASAN_OPTIONS UBSAN_OPTIONS=$UBSAN_OPTIONS" "$@" "$(sshd_patient "$T/ssh/host")" \
        >"$T/ssh/sshd_config"
    printf '%s\n' "Port $SSHD_PORT" "User root" "IdentityFile $T/ssh/user" "UserKnownHostsFile $T/ssh/known" \
        "GlobalKnownHostsFile /dev/null" >"$T/ssh/config"
    printf '[%s]:%s,[%s]:%s %s\n' "$DST_NAME" "$SSHD_PORT" "$DST_IP" "$SSHD_PORT" "$(cut -d' ' -f1,2 "$T/ssh/host.pub")" >"$T/ssh/known"
    proc_start sshd dst "$SSHD_PROGRAM" -D -e -f "$T/ssh/sshd_config"
    wait_until 10 "sshd to listen" sshd_listens
    ADIT_DEST=ssh://$DST_NAME
}
sshd_listens() { listeners dst | grep -q ":$SSHD_PORT "; }

# sshd_runs OPTION...: what sshd is asked to run, with these options
sshd_runs() {
    (umask 077 && mkdir -p "$T/run-dst/vms")
    adit_client --ssh-config "$T/ssh/config" --remote-command \
        "$(printf '%q ' "$ADIT" serve --stdio --listen "$DST_IP:$ADIT_PORT" "$@")"
}

# sshd_serves [OPTION]...: the same with the rights that a migration needs
sshd_serves() {
    adit_images
    sshd_runs --allow-migrate --allow-launch "$QEMU" --images "$ADIT_IMAGES" --run-dir "$T/run-dst" --state-dir "$T/state-dst" "$@"
}

# sshd_far: the process of the far adit; sshd_session: that of the sshd which has the connection
sshd_far() { host_processes dst | awk '$2 ~ /\/adit$/ && $3 == "serve" && $4 == "--stdio" { print $1; exit }'; }
sshd_session() { ps -o ppid= -p "$(sshd_far)" | tr -d ' '; }

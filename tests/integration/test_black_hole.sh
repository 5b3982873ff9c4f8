#!/usr/bin/env bash
# Goal: where small packets pass and large ones are lost, in either direction, as behind a path of a smaller MTU that nobody
# tells of, the attempt ends with one line that names that as the likely cause: over TLS with certificates, and over ssh;
# and so does a session that such a path has cut. Where nothing is lost, nothing is said of it.
# (a namespace of processes too: the connections of sshd that wait behind a hole would outlive the test, and hold its output)
alone=(--mount --net --pid --fork --kill-child --mount-proc)
[ -n "${ADIT_TEST_INSIDE:-}" ] || ! unshare "${alone[@]}" true 2>/dev/null ||
    ADIT_TEST_INSIDE=1 exec unshare "${alone[@]}" bash "$0"
. "$(dirname "$0")/lib.sh"
[ -n "${ADIT_TEST_INSIDE:-}" ] || skip "networks may not be made here"
. "$(dirname "$0")/ssh.sh"
need openssl socat ip nft nsenter

# the far host is a network of its own; a packet is not more than it looks like (no segments in one piece)
unshare -n sleep 1000 &
FAR_NET=$!
started "$FAR_NET"
wait_until 5 "the far network" eval '[ "$(readlink "/proc/$FAR_NET/ns/net")" != "$(readlink /proc/self/ns/net)" ]'
far() { nsenter -t "$FAR_NET" -n "$@"; }
ip link set lo up
far ip link set lo up
ip link add near type veth peer name far netns "$FAR_NET" || skip "no veth here"
ip address add 10.99.0.1/24 dev near
far ip address add 10.99.0.2/24 dev far
ip link set near gso_max_segs 1 up
far ip link set far gso_max_segs 1 up
for host in '' far; do
    $host nft "add table inet t; add chain inet t in { type filter hook input priority 0; }" || skip "no nftables here"
done
# hole here|there|none SIZE: packets of more do not arrive (a packet that the sender's own rules drop is none that was sent)
hole() {
    nft flush chain inet t in
    far nft flush chain inet t in
    case $1 in
    here) nft add rule inet t in meta length '>' "$2" drop ;;
    there) far nft add rule inet t in meta length '>' "$2" drop ;;
    esac || fail nft
}

pair="unix:$T/near=unix:$T/target"
socat UNIX-LISTEN:"$T/target",fork SYSTEM:"cat >/dev/null; echo fine" &
started $!
# attempt WHAT PATTERN ARG...
attempt() {
    local what=$1 pattern=$2 status
    shift 2
    timeout 60 "$ADIT" forward "$@" -L "$pair" --log-level error 2>"$T/said" </dev/null
    status=$?
    expect_equal "status of $what: $(cat "$T/said")" 1 "$status"
    say "$what: $(cat "$T/said")"
    expect_equal "lines of $what" 1 "$(wc -l <"$T/said")"
    grep -qE "$pattern" "$T/said" || fail "$what: not what was expected ($pattern)"
}
theirs='small packets get through, but large ones of the far host do not arrive: is the path.s MTU smaller'
ours='small packets get through, but large ones of this host are not acknowledged: is the path.s MTU smaller'

# a CA, and certificates of both sides
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/ca-key.pem" -out "$T/ca-cert.pem" -subj /CN=ca -days 3 2>/dev/null || fail openssl
for side in server client; do
    mkdir "$T/$side"
    cp "$T/ca-cert.pem" "$T/$side"
    printf 'extendedKeyUsage=%sAuth\nsubjectAltName=IP:10.99.0.2\n' "$side" >"$T/ext"
    openssl req -newkey rsa:2048 -nodes -keyout "$T/$side/$side-key.pem" -out "$T/csr" -subj "/CN=$side" 2>/dev/null &&
        openssl x509 -req -in "$T/csr" -CA "$T/ca-cert.pem" -CAkey "$T/ca-key.pem" -CAcreateserial -days 3 -extfile "$T/ext" \
            -out "$T/$side/$side-cert.pem" 2>/dev/null || fail "the certificate of the $side"
    chmod 600 "$T/$side/$side-key.pem"
done
serve() {
    : >"$T/serve.log"
    nsenter -t "$FAR_NET" -n "$ADIT" serve --listen 10.99.0.2:0 --allow-forward "unix:$T/target" --run-dir "$T/run" --state-dir "$T/state" "$@" 2>"$T/serve.log" &
    SERVE=$!
    started "$SERVE"
    wait_until 10 "adit serve listens" grep -q 'listening on' "$T/serve.log"
    PORT=$(sed -n 's/.*listening on [^ ]*:\([0-9]*\) .*/\1/p' "$T/serve.log")
}
end_serve() {
    kill -TERM "$SERVE"
    wait "$SERVE" || fail "adit serve ended with $?"
}

serve --tls-creds "$T/server"
creds=("tls://10.99.0.2:$PORT" --tls-creds "$T/client")
hole none
start_forward "${creds[@]}" -L "$pair"
expect_equal 'an exchange without a hole' fine "$(echo x | timeout 10 socat -t10 - "UNIX:$T/near")"
end_forward
hole here 1200
attempt "certificates, a hole on the way here" "$theirs" "${creds[@]}"
hole there 1200
attempt "certificates, a hole on the way there" "$ours" "${creds[@]}"
# a session whose path is cut for large packets
hole none
start_forward "${creds[@]}" -L "$pair" --log-level error
hole there 1200
head -c 200000 /dev/zero | timeout 5 socat -t5 - "UNIX:$T/near" >/dev/null 2>&1
wait_until 60 "the session ends" gone "$FORWARD"
say "a session: $(cat "$T/forward.log")"
# (all that is under way is large: the far host hears nothing, and only this one knows what became of it)
grep 'session lost: .*nothing was heard' "$T/forward.log" | grep -q "$ours" || fail "a session, and why it was lost: $(cat "$T/forward.log")"
hole none
end_serve
# a server that says nothing has lost no packets
far socat -u TCP-LISTEN:7777,bind=10.99.0.2,reuseaddr,fork OPEN:/dev/null &
started $!
attempt "a silent server" 'is it adit that listens there' "tls://10.99.0.2:7777" --tls-creds "$T/client"
! grep -q MTU "$T/said" || fail "a silent server is said to have an MTU"

make_ssh_keys
SSHD_PORT=$(free_port)
printf '%s\n' "Port $SSHD_PORT" "ListenAddress 10.99.0.2" "HostKey $T/ssh/host" "AuthorizedKeysFile $T/ssh/authorized" \
    "StrictModes no" "UsePAM no" "PidFile none" "PermitRootLogin prohibit-password" >"$T/ssh/sshd_config"
far "$SSHD_PROGRAM" -D -f "$T/ssh/sshd_config" 2>"$T/sshd.log" &
started $!
ssh_config user
printf '[10.99.0.2]:%s %s\n' "$SSHD_PORT" "$(cut -d' ' -f1,2 "$T/ssh/host.pub")" >"$T/ssh/known"
wait_until 10 "sshd listens" eval 'far sh -c "echo | timeout 1 socat -t1 - TCP:10.99.0.2:$SSHD_PORT" 2>/dev/null | grep -q SSH'
hole there 600
ours='but larger packets of this host were not acknowledged: is the path.s MTU smaller'
attempt "ssh, a hole on the way there" "$ours" "ssh://10.99.0.2" --ssh-config "$T/ssh/config"
attempt "ssh+tls, a hole on the way there" "$ours" "ssh+tls://10.99.0.2" --ssh-config "$T/ssh/config"

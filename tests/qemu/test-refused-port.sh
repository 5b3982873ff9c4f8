#!/usr/bin/env bash
# Goal: where no adit answers, one line says so within 20 s, and the VM runs on: packets that a firewall drops, a closed
# port, an SSH server, an HTTP server, silence, a server that hangs up, and a name that nobody knows.
. "$(dirname "$0")/lib.sh"

# answering WHAT REGEX FIRST [COMMAND]: with something behind the port that says FIRST, and then runs COMMAND
answering() {
    printf %b "$3" >"$T/first"
    proc_start server dst socat "TCP-LISTEN:$ADIT_PORT,fork,reuseaddr" "SYSTEM:cat $T/first; ${4:-cat >/dev/null}"
    wait_until 5 'the server to listen' eval 'listeners dst | grep -q socat'
    move_refused "$1" a 1 "$2" "$DST_IP"
    proc_end server
}

move_hosts
move_disks a 8M raw:virtio
move_vm a append='ram=8 rate=1000 sectors=256 diskrate=20'
ADIT_DEST=tls://$DST_IP:16517 move_refused 'a port that the firewall drops' a 1 "$DST_IP:16517|$DST_IP port 16517" 'reach|answer|time|firewall'
move_refused 'a closed port' a 1 "$DST_IP" 'refused'
ADIT_DEST=tls://nowhere.test move_refused 'a name that nobody knows' a 1 'nowhere.test'
answering 'an SSH server' 'ssh' 'SSH-2.0-OpenSSH_9.2p1\r\n'
answering 'an HTTP server' 'http' 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'
answering 'silence' 'no handshake|answer|time|silent' ''
answering 'a server that hangs up' 'closed|hung up|ended|no adit|not an adit' '' true
guest_quiet a
guest_still a
say "  guest on src: $(guest_verify a)"
guest_go a
adit_serve_launch
adit_migrate a
move_succeeded a twin raw:virtio

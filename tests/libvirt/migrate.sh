# virsh migrate through a tunnel, as somebody would type it, and all that must hold when it has ended.
# shellcheck shell=bash disable=SC2034

# where domains go from and to; migrate_turn turns it round
FROM=src TO=dst
declare -A HOST_IP=([src]=$SRC_IP [dst]=$DST_IP)
migrate_turn() { local was=$FROM; FROM=$TO TO=$was; }

# migrate_hosts: two hosts, a firewall that lets each reach one TCP port of the other, one key, a daemon and adit serve on each
migrate_hosts() {
    local host
    adit_needed
    hosts_make
    firewall_make_both $ADIT_PORT
    adit_keys
    daemons_start
    for host in src dst; do
        migrate_serve "$host"
    done
}
# its rights come from options on dst, and from a file on src
MIGRATE_RIGHTS=(--allow-libvirt)
migrate_serve() {
    local how=(--listen "${HOST_IP[$1]}:$ADIT_PORT" --psk "$T/psk" --run-dir /run/adit "${MIGRATE_RIGHTS[@]}")
    if [ "$1" = src ]; then
        printf '%s\n' '[serve]' "listen = $SRC_IP:$ADIT_PORT" "psk = $T/psk" 'run-dir = /run/adit' '[peer test*]' 'libvirt = yes' >"$T/src.conf"
        how=(--config "$T/src.conf")
    fi
    proc_start "serve-$1" "$1" "$ADIT" serve "${how[@]}"
    wait_until 10 "adit serve on $1" migrate_serves "$1"
}
migrate_serves() {
    proc_runs "serve-$1" || fail "adit serve on $1 ended: $(tail -n 1 "${PROC_LOG[serve-$1]}")"
    listeners "$1" | grep -q ":$ADIT_PORT "
}

# migrate_start DOMAIN [OPTION]...: adit run --libvirt and virsh migrate on $FROM, as proc "migrate"
MIGRATE_KEYS=
migrate_start() {
    local domain=$1 command uris=(--migrateuri {migrate})
    shift
    case " $* " in
    *' --tunnelled '*) uris=() ;;
    *' --copy-storage-'*) uris+=(--disks-uri {disks}) ;;
    esac
    # what an earlier stay there left in the log is no word of this one
    [ -n "$(domain_state "$domain" "$TO")" ] || rm -f "$T/$TO/lib/libvirt/qemu/$domain.log"
    firewall_reset
    MIGRATE_BEGAN=$(now_ms)
    command=("$ADIT" run --libvirt "tls://$TO.test" --psk "$T/psk" -- virsh migrate --live "$domain" "$@" --desturi {libvirt} "${uris[@]}")
    if [ -n "$MIGRATE_KEYS" ]; then
        proc_start migrate "$FROM" sh -c 'exec script -qec "$1" /dev/null <"$2"' sh "$(printf '%q ' "${command[@]}")" "$MIGRATE_KEYS"
    else
        proc_start migrate "$FROM" "${command[@]}"
    fi
}

# migrate_on_terminal: from now on it runs on a terminal of its own; migrate_type CHARACTERS are typed there
migrate_on_terminal() {
    MIGRATE_KEYS=$T/keys
    mkfifo "$MIGRATE_KEYS"
    exec 7<>"$MIGRATE_KEYS"
}
# shellcheck disable=SC2059
migrate_type() { printf "$1" >&7; }
migrate_on_no_terminal() {
    exec 7>&-
    rm "$MIGRATE_KEYS"
    MIGRATE_KEYS=
}

# migrate_wait [SECONDS]: for its end, and virsh's where it was killed; the exit status is in MIGRATE_STATUS
migrate_wait() {
    proc_wait migrate "${1:-60}"
    MIGRATE_STATUS=$PROC_STATUS
    wait_until "${1:-60}" "the end of virsh migrate" migrate_over
    MIGRATE_MS=$(($(now_ms) - MIGRATE_BEGAN))
    say "  virsh ended with $MIGRATE_STATUS after $MIGRATE_MS ms$(sed -nE 's/^(.C)?error: /: /p' "$T/migrate.log" | tr -d '\r' | paste -sd' ')"
}

migrate_over() { [ -z "$(proc_list '^virsh migrate ')" ]; }

# migrate_moved DOMAIN: it has just ended, and well: the guest is on $TO and whole, so are its disks; one TCP connection
migrate_moved() {
    local domain=$1 from=$1 to=$1-twin i=0 kind
    [ "$FROM" = src ] || from=$1-twin to=$1
    [ "$MIGRATE_STATUS" = 0 ] || fail "virsh migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/migrate.log")"
    firewall_expect_alone
    expect_equal "the state of $domain on $TO" running "$(domain_state "$domain" "$TO")"
    expect_equal "the state of $domain on $FROM" '' "$(domain_state "$domain" "$FROM")"
    guest_continues "$from" "$to"
    for kind in ${DOMAIN_DISKS[@]+"${DOMAIN_DISKS[@]}"}; do
        disk_same_but_guest "${kind%:*}" "$(domain_image "$FROM" "$domain" $i "$kind")" "${kind%:*}" \
            "$(domain_image "$TO" "$domain" $i "$kind")" $i "${DOMAIN_READY[$domain]}"
        i=$((i + 1))
    done
    guest_quiet "$to"
    guest_still "$to"
    say "  guest on $TO: $(guest_verify "$to")"
    guest_go "$to"
    migrate_left_nothing
}

# firewall_expect_alone: as firewall_expect_connections 1, whichever way it went
firewall_expect_alone() {
    local host
    expect_equal "TCP connections that reached $TO" 1 "$(firewall_count "$TO" conns)"
    for host in src dst; do
        expect_equal "packets dropped by the firewall of $host" 0 "$(firewall_count "$host" dropped)"
    done
}

# migrate_failed DOMAIN REGEX...: it has just ended with virsh's own error, each REGEX is in it; the guest runs on where it was,
# whole. What matches MIGRATE_MAY_STAY may be left.
migrate_failed() {
    local domain=$1 word
    shift
    [ "$MIGRATE_STATUS" != 0 ] || fail "virsh migrate succeeded"
    grep -q 'error: ' "$T/migrate.log" || fail "virsh gave no error: $(tail -n 1 "$T/migrate.log")"
    for word; do
        grep -qiE -- "$word" "$T/migrate.log" || fail "nothing about '$word' in: $(tail -n 2 "$T/migrate.log" | paste -sd' ')"
    done
    expect_equal "the state of $domain on $FROM" running "$(domain_state "$domain" "$FROM")"
    wait_until 20 "no $domain on $TO" domain_is "$domain" "$TO" ''
    guest_beats_on "$domain" 4
    guest_quiet "$domain"
    guest_still "$domain"
    say "  guest on $FROM: $(guest_verify "$domain")"
    guest_go "$domain"
    migrate_left_nothing
}

# migrate_left_nothing: no adit but the two that serve, and none of their sockets; no job, no QEMU that listens for anything
MIGRATE_MAY_STAY='^$'
migrate_left_nothing() {
    local end=$(($(now_ms) + 10000)) left
    while left=$(migrate_left) && [ -n "$left" ]; do
        [ "$(now_ms)" -lt "$end" ] || fail "left behind: $(paste -sd, <<<"$left")"
        sleep 0.1
    done
}
migrate_left() {
    local host
    proc_list '^[^ ]*/adit run '
    for host in src dst; do
        (cd "$T/$host" && find run lib -path '*adit*' ! -path run/adit ! -path run/adit/once.sock) | grep -vE -- "$MIGRATE_MAY_STAY" || true
        listeners "$host" | grep qemu || true
    done
}

# migrate_reaches DOMAIN mirror|ram: waits until that is under way
migrate_reaches() { wait_until 30 "the $2 phase of $1" migrate_is_in "$1" "$2"; }
migrate_is_in() {
    local info
    proc_runs migrate || fail "virsh migrate ended early: $(tail -n 1 "$T/migrate.log")"
    info=$(virsh_on "$FROM" domjobinfo "$1" 2>/dev/null) || return 1
    case $2 in
    mirror) job_has "$info" 'File processed' && ! job_has "$info" 'Memory processed' ;;
    ram) job_has "$info" 'Memory processed' ;;
    esac
}
# job_has INFO LABEL: is that more than nothing, and all of a MiB?
job_has() { grep -qE "^$2: +[1-9][0-9.]* [MG]iB" <<<"$1"; }

# migrate_kill: kill -9 for the tunnel's near end
migrate_kill() { kill -KILL "$(proc_list '^[^ ]*/adit run ' | sed 's/ .*//;1q')"; }

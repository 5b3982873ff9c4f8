# The program under test.
# shellcheck shell=bash disable=SC2034

# ADIT may name another build; the release build is what users get.
ADIT=${ADIT:-$TOP/build/release/cli/adit}
ADIT_PORT=16516
# What both sides prove themselves with, where adit migrate goes, and where adit serve keeps images of VMs that it
# launches; a test changes them for what it is about.
ADIT_SERVE_CREDS=(--psk "$T/psk") ADIT_CREDS=(--psk "$T/psk") ADIT_DEST=tls://$DST_IP ADIT_IMAGES=$T/images
# The host that VMs are made on, and that adit migrate runs on.
ADIT_FROM=src
# the monitors of VMs that a test has waiting
ADIT_DEST_QMP=$T/*/*.sock

# tls, ssh or ssh+tls: a test that takes its adit serve from here can be run over each (run.sh: "Over"). Over ssh there is no
# adit serve: sshd starts a far adit with its options for each session. Over ssh+tls there is one, and keys that are good
# once get to it through ssh; each session then takes two TCP connections.
ADIT_SCHEME=${ADIT_SCHEME:-tls} ADIT_CONNECTIONS=1
[ "$ADIT_SCHEME" != ssh+tls ] || ADIT_CONNECTIONS=2

# adit_client OPTION..., adit_server OPTION...: from now on those prove themselves so
adit_client() { ADIT_CREDS=("$@"); }
adit_server() { ADIT_SERVE_CREDS=("$@"); }

adit_needed() { [ -x "$ADIT" ] || skip "the program is not built: ${ADIT#"$TOP"/}"; }

# adit_keys: one key for both hosts, in $T/psk
adit_keys() { (umask 077 && "$ADIT" keygen -o "$T/psk" tester >/dev/null) || fail "adit keygen failed"; }

# adit_serve [OPTION]...: on dst, as proc "serve", its private files in $T/run-dst, its
# journal in $T/state-dst; --images only where VMs may be launched
adit_serve() {
    (umask 077 && mkdir -p "$T/run-dst/vms")
    case " $* " in
    *' --allow-launch '*) [ -z "$ADIT_IMAGES" ] || { adit_images && set -- "$@" --images "$ADIT_IMAGES"; } ;;
    esac
    [ "$ADIT_SCHEME" = tls ] || set -- "$@" --run-dir "$T/run-dst"
    case " $* " in
    *' --allow-migrate '*)
        set -- "$@" --run-dir "$T/run-dst" --state-dir "$T/state-dst"
        [ -z "$ADIT_DEST_QMP" ] || set -- "$@" --allow-dest-qmp "$ADIT_DEST_QMP"
        ;;
    esac
    case $ADIT_SCHEME in
    ssh) sshd_runs "$@"; return ;;
    ssh+tls) sshd_runs --run-dir "$T/run-dst" ;;
    esac
    proc_start serve dst "$ADIT" serve --listen "$DST_IP:$ADIT_PORT" "${ADIT_SERVE_CREDS[@]}" "$@"
    wait_until 10 "adit serve to listen" adit_serves
}
# a launched twin's kernel comes from that folder too, and somebody has to have put it there
adit_images() {
    mkdir -p "$ADIT_IMAGES"
    cp "$GUEST_ELF" "$ADIT_IMAGES/"
    [ -z "${NEED_LINUX:-}" ] || cp "$LINUX_GUEST/vmlinuz" "$LINUX_GUEST/initrd" "$ADIT_IMAGES/"
}
# adit_users_pass: other users may reach what is in $T, where its own mode lets them (--launch-user)
adit_users_pass() {
    local dir
    for dir in "$T" "$(dirname "$T")"; do
        [ "$(stat -c %u "$dir")" != "$(id -u)" ] || chmod o+x "$dir"
    done
}
# adit_launch_user: a user of this test's only, for adit serve to run VMs as: LAUNCH_USER are the words for that, LAUNCH_UID is the
# user. (Where there are no other users, LAUNCH_USER is empty.) To a QEMU in root's own folders $QEMU leads this user too.
LAUNCH_USER=() LAUNCH_UID=0
adit_launch_user() {
    local file
    [ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ] && command -v setpriv >/dev/null || return 0
    for file in passwd group; do cp "/etc/$file" "$T/$file"; done
    echo 'adit-vm:x:64911:64911::/nonexistent:/usr/sbin/nologin' >>"$T/passwd"
    echo 'adit-vm:x:64911:' >>"$T/group"
    for file in passwd group; do mount --bind "$T/$file" "/etc/$file"; done
    adit_users_pass
    case $QEMU in
    "$QEMU_CACHE"/*/usr/bin/*)
        mkdir "$T/qemu"
        mount --bind "${QEMU%/usr/bin/*}" "$T/qemu"
        mount -o remount,bind,ro "$T/qemu"
        QEMU=$T/qemu/usr/bin/${QEMU##*/}
        [ ! -d "$T/qemu/libraries" ] || export LD_LIBRARY_PATH=$T/qemu/libraries
        ;;
    esac
    setpriv --reuid=64911 --regid=64911 --clear-groups "$QEMU" --version >"$T/version.log" 2>&1 ||
        fail "$QEMU is not to be run by another user: $(tail -n 1 "$T/version.log")"
    LAUNCH_USER=(--launch-user adit-vm) LAUNCH_UID=64911
}
# adit_serve_launch [OPTION]...: one that may do all that a migration can ask for
adit_serve_launch() { adit_serve --allow-migrate --allow-launch "$QEMU" "$@"; }

# The way back, after move_hosts both. adit_serve_back [OPTION]...: another adit serve, on src (proc "serve-back"), whose images are in
# $T/disks, where those are still that the VM had before. adit_turn HOST: from now on adit runs on that one, and VMs go to the other
adit_serve_back() {
    ADIT_IMAGES=$T/disks adit_images
    (umask 077 && mkdir -p "$T/run-src/vms")
    proc_start serve-back src "$ADIT" serve --listen "$SRC_IP:$ADIT_PORT" "${ADIT_SERVE_CREDS[@]}" --allow-migrate --allow-launch "$QEMU" \
        --images "$T/disks" --overwrite-images --run-dir "$T/run-src" --state-dir "$T/state-src" "$@"
    wait_until 10 'adit serve on src to listen' adit_serves_back
}
adit_serves_back() {
    proc_runs serve-back || fail "adit serve on src ended: $(tail -n 1 "${PROC_LOG[serve-back]}")"
    grep -q ' listening on ' "${PROC_LOG[serve-back]}" && listeners src | grep -q ":$ADIT_PORT "
}
adit_turn() {
    ADIT_FROM=$1 ADIT_DEST=tls://$DST_IP
    [ "$1" = src ] && return
    ADIT_DEST=tls://$SRC_IP
    # (here root's QEMU had them, on hosts that are alike this user's)
    chown -R "$LAUNCH_UID:$LAUNCH_UID" "$T/disks"
}
adit_serves() {
    proc_runs serve || fail "adit serve ended: $(tail -n 1 "${PROC_LOG[serve]}")"
    # it says so when all its sockets are there
    grep -q ' listening on ' "${PROC_LOG[serve]}" && listeners dst | grep -q ":$ADIT_PORT "
}

# adit_start VM [OPTION]...: adit migrate on src in the background, as proc $MIGRATE (migrate). What it prints goes to
# $T/$MIGRATE.json, what it says on stderr to $T/$MIGRATE.log
MIGRATE=migrate
adit_start() {
    local vm=$1
    shift
    : >"$T/$MIGRATE.json"
    beats_watch
    BEATS_FROM[$MIGRATE]=${EPOCHREALTIME/[.,]/}
    # a shell's background processes ignore SIGINT; a user's do not
    proc_start "$MIGRATE" "$ADIT_FROM" env --default-signal=INT,QUIT sh -c 'out=$1; shift; exec "$@" >"$out"' sh \
        "$T/$MIGRATE.json" "$ADIT" migrate --qmp "${VM_QMP[$vm]}" "${ADIT_CREDS[@]}" \
        --state-dir "$T/state-$ADIT_FROM" --json "$@" "$ADIT_DEST"
}

# adit_wait [SECONDS]: for its end; its exit status is in MIGRATE_STATUS
adit_wait() {
    wait_until "${1:-90}" "the end of adit migrate (it last said: $(adit_last .event,.phase,.status))" proc_gone "$MIGRATE"
    proc_wait "$MIGRATE" 1
    MIGRATE_STATUS=$PROC_STATUS
}

# adit_migrate VM [OPTION]...: both
adit_migrate() {
    adit_start "$@"
    adit_wait
}

# adit_last JQ...: of the last object that it printed, those that are there in one line
adit_last() { tail -n 1 "$T/$MIGRATE.json" 2>/dev/null | jq -r "[$1 // empty | tostring] | join(\" \")" 2>/dev/null || true; }

# adit_adopt_twin NAME: the VM that adit launched on the other host, as its last words tell
adit_adopt_twin() {
    local dir qmp pid there=dst
    [ "$ADIT_FROM" = src ] || there=src
    # (the folder last: a VM that a hook started has none)
    IFS=$'\t' read -r pid qmp dir < <(tail -n 1 "$T/$MIGRATE.json" |
        jq -r 'select(.event == "completed").destination // empty | [.pid, .qmp, .dir] | @tsv') ||
        fail "adit's last line does not tell of a destination: $(tail -n 1 "$T/$MIGRATE.json")"
    vm_adopt "$1" $there "$qmp" "$dir/serial0.sock" "$dir/serial.log" "$pid"
}

# adit_recover [OPTION]...: adit recover on src; its exit status; what it said is in $T/recover.out and recover.err
adit_recover() {
    local status=0
    in_host src "$ADIT" recover --state-dir "$T/state-src" "$@" >"$T/recover.out" 2>"$T/recover.err" || status=$?
    sed 's/^/  recover: /' "$T/recover.out" "$T/recover.err"
    return "$status"
}

# adit_caretaker: an adit serve on src settles what was cut off there, and ends again
adit_caretaker() {
    (umask 077 && mkdir -p "$T/run-src")
    proc_start caretaker src "$ADIT" serve --listen "$SRC_IP:$ADIT_PORT" "${ADIT_SERVE_CREDS[@]}" --allow-migrate \
        --run-dir "$T/run-src" --state-dir "$T/state-src" --log-level info
    wait_until 30 'adit serve on src to settle it' adit_cared
    sed -n 's/^.*\(recovery: .*\)/  adit serve: \1/p' "${PROC_LOG[caretaker]}"
    proc_kill caretaker TERM
    proc_wait caretaker 20
    expect_equal 'the exit status of adit serve on src' 0 "$PROC_STATUS"
}
adit_cared() {
    proc_runs caretaker || fail "adit serve on src ended: $(tail -n 1 "${PROC_LOG[caretaker]}")"
    grep -q 'recovery: settled' "${PROC_LOG[caretaker]}" && [ -z "$(find "$T/state-src/journal" -name '*.json')" ]
}

# adit_record FILE [JQ]: the record in a file of the journal that counts (base/slots.h: lines of a head and a text each; a
# file with one text alone is that text)
adit_record() {
    [ -e "$1" ] || return 1
    jq -s "if .[0] | has(\"slots\") then [range(0; length - 1; 2) as \$i | {at: .[\$i].sequence, is: .[\$i + 1]}] | max_by(.at).is else .[0] end |
        ${2:-.}" -r "$1"
}

# The program under test.
# shellcheck shell=bash disable=SC2034

# ADIT may name another build; the release build is what users get.
ADIT=${ADIT:-$TOP/build/release/cli/adit}
ADIT_PORT=16516

adit_needed() { [ -x "$ADIT" ] || skip "the program is not built: ${ADIT#"$TOP"/}"; }

# adit_keys: one key for both hosts, in $T/psk
adit_keys() { (umask 077 && "$ADIT" keygen -o "$T/psk" tester >/dev/null) || fail "adit keygen failed"; }

# adit_serve [OPTION]...: on dst, as proc "serve", with $T/psk, images in $T/images, its private files in $T/run-dst
adit_serve() {
    mkdir -p "$T/images"
    (umask 077 && mkdir -p "$T/run-dst")
    proc_start serve dst "$ADIT" serve --listen "$DST_IP:$ADIT_PORT" --psk "$T/psk" --run-dir "$T/run-dst" \
        --images "$T/images" "$@"
    wait_until 10 "adit serve to listen" adit_serves
}
adit_serves() {
    proc_runs serve || fail "adit serve ended: $(tail -n 1 "${PROC_LOG[serve]}")"
    listeners dst | grep -q ":$ADIT_PORT "
}

# adit_migrate VM [OPTION]...: on src, to its end; what it printed as JSON is in $T/migrate.json, its exit status in
# MIGRATE_STATUS, what it said on stderr in $T/migrate.log
adit_migrate() {
    local vm=$1
    shift
    MIGRATE_STATUS=0
    in_host src "$ADIT" migrate --qmp "${VM_QMP[$vm]}" --psk "$T/psk" --json "$@" "tls://$DST_IP" \
        </dev/null >"$T/migrate.json" 2>"$T/migrate.log" || MIGRATE_STATUS=$?
}

# adit_adopt_twin NAME: the VM that adit launched on dst, as its last words tell
adit_adopt_twin() {
    local to dir
    to=$(tail -n 1 "$T/migrate.json" | jq -c 'select(.event == "completed").destination') ||
        fail "adit's last line does not tell of a destination"
    dir=$(jq -r .dir <<<"$to")
    vm_adopt "$1" dst "$(jq -r .qmp <<<"$to")" "$dir/serial0.sock" "$dir/serial.log" "$(jq -r .pid <<<"$to")"
}

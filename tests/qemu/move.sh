# A whole migration: one that must succeed, with all that must hold of it, and one that must fail without a trace.
# shellcheck shell=bash disable=SC2034

# move_hosts [both]: two hosts, the firewall, one key; both: either may go to the other
move_hosts() {
    adit_needed
    hosts_make
    if [ "$ADIT_SCHEME" = tls ]; then
        "firewall_make${1:+_both}" "$ADIT_PORT"
    else
        . "$TESTS_QEMU/sshd.sh"
        firewall_make "{ $ADIT_PORT, $SSHD_PORT }"
        sshd_make
        ADIT_DEST=$ADIT_SCHEME://$DST_IP
    fi
    adit_keys
}

# move_disks NAME SIZE KIND...: images $T/disks/NAME-N.FORMAT of that size, a KIND each (FORMAT:BUS); what vm_start
# takes for them is in MOVE_DISKS
move_disks() {
    local name=$1 size=$2 i=0 kind
    shift 2
    MOVE_DISKS=()
    for kind; do
        rm -f "$T/disks/$name-$i.${kind%:*}"
        disk_make "$T/disks/$name-$i.${kind%:*}" "${kind%:*}" "$size"
        MOVE_DISKS+=("disk=$kind:$T/disks/$name-$i.${kind%:*}")
        i=$((i + 1))
    done
}

# move_vm NAME [KEY=VALUE]...: on $ADIT_FROM, with MOVE_DISKS and a second monitor (NAME2) to look on with; up and at work
move_vm() {
    local name=$1
    shift
    vm_start "$name" "$ADIT_FROM" monitors=2 ${MOVE_DISKS[@]+"${MOVE_DISKS[@]}"} "$@"
    VM_HOST[${name}2]=$ADIT_FROM VM_QMP[${name}2]=$T/$name/qmp2.sock
    VM_SERIAL[${name}2]=${VM_SERIAL[$name]} VM_LOG[${name}2]=${VM_LOG[$name]}
    VM_DISKS[${name}2]=${VM_DISKS[$name]}
    guest_ready "$name"
    guest_reaches "$name" beat 8 20
}

# move_twin NAME SIZE KIND...: one that waits on dst, with new images $T/dst/NAME-N.FORMAT; further words for vm_start
# in MOVE_TWIN
MOVE_TWIN=()
move_twin() {
    local name=$1 size=$2 i=0 kind disks=()
    shift 2
    mkdir -p "$T/dst"
    for kind; do
        rm -f "$T/dst/$name-$i.${kind%:*}"
        qemu-img create -q -f "${kind%:*}" "$T/dst/$name-$i.${kind%:*}" "$size"
        disks+=("disk=$kind:$T/dst/$name-$i.${kind%:*}")
        i=$((i + 1))
    done
    rm -rf "${T:?}/$name"
    vm_start "$name" dst incoming=1 ${disks[@]+"${disks[@]}"} ${MOVE_TWIN[@]+"${MOVE_TWIN[@]}"}
}

# move_succeeded VM TWIN [KIND...]: adit migrate has just ended. It succeeded, and all that must hold does. TWIN was
# launched by adit, unless a VM of that name was there. The KINDs are those of the disks that were copied from
# $T/disks/VM-N.FORMAT, to $T/images or, where TWIN was there, to $T/dst/TWIN-N.FORMAT.
move_succeeded() {
    local vm=$1 twin=$2 i=0 kind to ready
    shift 2
    [ "$MIGRATE_STATUS" = 0 ] || fail "adit migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/$MIGRATE.log")"
    json_complete
    [ -n "${VM_QMP[$twin]:-}" ] || adit_adopt_twin "$twin"
    wait_until 5 "the end of the source's QEMU" proc_gone "$vm"
    [ -n "${MOVE_PAUSED:-}" ] || { guest_continues "$vm" "$twin" && move_checked "$twin"; }
    say "  $vm: $(jq -r '"total \(.total_ms) ms, downtime \(.downtime_ms) ms, pause \(.pause_ms) ms, longest stall \(.longest_stall_ms) ms"' \
        <<<"$(tail -n 1 "$T/$MIGRATE.json")"), longest gap of the guest $(beats_gap "$vm" "$twin" | sed -E 's/(.*) (.*) (.*)/\1 ms (from \2 ms on; \3 ms before the switchover)/')"
    [ $# = 0 ] || ready=$(guest_find "$vm" '^READY')
    for kind; do
        kind=${kind%:*}
        to=$ADIT_IMAGES/$vm-$i.$kind
        [ -n "${VM_PROC[$twin]}" ] && to=$T/dst/$twin-$i.$kind
        disk_same_but_guest "$kind" "$T/disks/$vm-$i.$kind" "$kind" "$to" "$i" "$ready"
        i=$((i + 1))
    done
    no_secrets
}

# move_checked VM: the guest counts on and finds all that it wrote whole; then it goes on
move_checked() {
    guest_beats_on "$1"
    guest_quiet "$1"
    guest_still "$1"
    say "  guest on $1: $(guest_verify "$1")"
    guest_go "$1"
}

# json_complete: every line that adit printed is an object, and the last one tells the whole story; the stream that MOVE_IDLE
# names may have carried nothing
json_complete() {
    jq -e -s 'all(type == "object" and has("event"))' "$T/$MIGRATE.json" >"$T/jq.log" 2>&1 ||
        fail "a line of --json is no object with an event: $(tail -n 1 "$T/jq.log")"
    tail -n 1 "$T/$MIGRATE.json" | jq --arg idle "${MOVE_IDLE:-}" -e '.event == "completed" and .total_ms > 0 and .downtime_ms >= .pause_ms and
        .pause_ms >= 0 and .longest_stall_ms >= 0 and
        (.streams | length > 0 and all(.bytes > 0 or .name == $idle))' >"$T/jq.log" 2>&1 ||
        fail "the last object of --json is not complete: $(tail -n 1 "$T/$MIGRATE.json")"
}

# no_secrets: no key in anything that was printed
no_secrets() {
    local key
    [ -e "$T/psk" ] || return 0
    for key in $(cut -d: -f2 "$T"/psk*); do
        ! grep -lai -- "$key" "$T"/*.log "$T"/*.json || fail "a key was printed"
    done
}

# move_phase VM mirror|ram: waits until the migration of VM, as its second monitor tells, is well into that phase
move_phase() {
    wait_until 30 "the $2 phase of $1" phase_is "$1" "$2"
    sleep 0.3
    phase_is "$1" "$2" || fail "the $2 phase of $1 was over at once"
}
phase_is() {
    proc_runs "$MIGRATE" || fail "adit migrate ended early: $(tail -n 1 "$T/$MIGRATE.log")"
    case $2 in
    # (one is "paused" for a moment while QEMU drains its disk, as the next one's begin has it do)
    mirror) [ "$(vm_query "${1}2" query-block-jobs '[.[] | select((.ready | not) and .offset > 0)] | length')" -gt 0 ] ;;
    ram) [ "$(vm_query "${1}2" query-migrate 'select(.status == "active").ram.transferred // 0')" -gt 500000 ] ;;
    esac
}

# said_one_line REGEX...: on stderr stood exactly one line, and each REGEX (any case) is in it
said_one_line() {
    local word lines
    lines=$(wc -l <"$T/$MIGRATE.log")
    sed 's/^/  said: /' "$T/$MIGRATE.log"
    [ "$lines" = 1 ] || fail "adit migrate said $lines lines, not one: $(head -n 3 "$T/$MIGRATE.log" | paste -sd'|')"
    for word; do
        grep -qiE -- "$word" "$T/$MIGRATE.log" || fail "nothing about '$word' in: $(cat "$T/$MIGRATE.log")"
    done
}

# move_refused WHAT VM STATUS REGEX... [-- OPTION...]: such a migration fails within 20 s with that status and one line;
# the VM runs on, and nothing is left behind
move_refused() {
    local what=$1 vm=$2 status=$3 words=()
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    [ $# = 0 ] || shift
    say "$what:"
    left_mark
    left_clock
    adit_start "$vm" "$@"
    adit_wait 20
    move_failed "$vm" "$status" ${words[@]+"${words[@]}"}
}

# move_failed VM STATUS REGEX...: adit migrate has just ended so. (left_mark was before it, left_clock at the fault.)
move_failed() {
    local vm=$1
    expect_equal "the exit status of adit migrate" "$2" "$MIGRATE_STATUS"
    shift 2
    said_one_line "$@"
    move_runs_on "$vm"
    left_nothing "${LEFT_MAY:-}"
    no_secrets
}

# move_runs_on VM: at the source, whole, nothing of the migration left in its QEMU
move_runs_on() {
    local left=$((20000 - ($(now_ms) - LEFT_CLOCK)))
    wait_until "$((left > 1000 ? left / 1000 : 1))" "the VM running on src" vm_is "$1" running
    expect_equal "block jobs of $1 that are left" 0 "$(vm_query "$1" query-block-jobs length)"
    expect_equal "nodes of $1 that are left" "" \
        "$(vm_query "$1" query-named-block-nodes 'map(select(.drv == "nbd"))[] | ."node-name"')"
    guest_beats_on "$1" 4
}

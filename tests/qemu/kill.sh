# One cell of the kill table (docs/kill-table.md): a migration is stopped at one of its points (base/point.h), somebody is
# killed or the link fails, everybody who is left goes on, the link heals, both adits run again, and `adit recover` is run
# until it says that all is settled. Then exactly one VM must run, whole, with its disks, and the other side must be clean;
# and at no moment may two have run. Sourced by test-kill-table-*.sh.
# shellcheck shell=bash disable=SC2034,SC2086,SC2016

. "$TESTS_QEMU/fault.sh"
. "$TESTS_QEMU/folder.sh"
# the build with points; the release build has none
[ "$ADIT" != "$TOP/build/release/cli/adit" ] || ADIT=$TOP/build/asan-ubsan/cli/adit
grep -qs ADIT_STOP_AT "$ADIT" || skip "the program is not built with points (preset asan-ubsan): ${ADIT#"$TOP"/}"

KILL_PARTS=$TOP/build/check/kill-table
KILL_STATE=$T/state
# the host of the process that stops at a point, by the point's first letter
declare -A KILL_STOPS=([s]=migrate [d]=serve)
KILL_CELL=0

# kill_row ROW: the cells that follow are of that row of the table. KILL_ONLY in the environment, a regular expression over
# "POINT FAULT", picks some of them.
kill_row() {
    KILL_ROW=$1
    mkdir -p "$KILL_PARTS"
    rm -f "$KILL_PARTS/$1.cells"
    kill_hosts
}
kill_hosts() {
    move_hosts
    adit_images
    mkdir -p "$T/run-dst/vms"
    chmod 700 "$T/run-dst" "$T/run-dst/vms"
}

# kill_table: all cells of the row are done, and what they saw is what the page says
kill_table() {
    local said
    [ -z "${KILL_ONLY:-}" ] || { say 'note: only some cells were run; the page is not compared'; return 0; }
    bash "$TESTS_QEMU/kill-table.sh" --row "$KILL_ROW" >"$T/row.seen"
    sed -n "/^<!-- $KILL_ROW -->/,/^<!-- end of $KILL_ROW -->/p" "$TOP/docs/kill-table.md" >"$T/row.said"
    said=$(diff "$T/row.said" "$T/row.seen") ||
        fail "docs/kill-table.md is not what was seen ($(grep -m 2 '^[<>]' <<<"$said" | paste -sd' ')): if that is meant," \
            'run tests/qemu/run.sh kill-table, then tests/qemu/kill-table.sh --docs'
    # the whole page, where all rows are there
    bash "$TESTS_QEMU/kill-table.sh" 2>/dev/null || true
}

kill_is_stopped() {
    proc_stopped "$1" && return 0
    proc_runs migrate || fail "adit migrate ended before it was at the point: $(tail -n 1 "$T/migrate.log")"
    proc_runs serve || fail "adit serve ended before it was at the point: $(tail -n 1 "$T/serve.log")"
    return 1
}

# kill_serve [POINT]: adit serve on dst, as ever or to stop at that point
kill_serve() { ADIT_STOP_AT=${1:-} adit_serve_launch; }

# kill_twin_pid: of the QEMU on dst
kill_twin_pid() { host_processes dst | awk '/-incoming/ && /qemu/ && !/adit serve/ { print $1; exit }'; }
kill_no_twin() { [ -z "$(kill_twin_pid)" ]; }

# link_reset: every connection is reset on both hosts, and refused until link_accept
link_reset() {
    local host
    in_host dst nft insert rule inet fw input iif eth0 reject with tcp reset
    for host in src dst; do
        in_host "$host" ss -K "dport = $ADIT_PORT or sport = $ADIT_PORT" >/dev/null 2>&1 || true
    done
}
# link_accept: the link is as ever, whether it was cut or reset
link_accept() {
    local handle
    link_heal
    handle=$(in_host dst nft -a list chain inet fw input | sed -nE 's/.*reject.*# handle ([0-9]+)$/\1/p')
    [ -z "$handle" ] || in_host dst nft delete rule inet fw input handle "$handle"
}

# kill_watch: from now on nobody else looks at the guests so closely. VM's further monitor is the watcher's.
kill_watch() {
    proc_start watch - "$WATCH" "source=$T/$1/watch.sock" "destination=${2:-$T/run-dst/vms/*/chardev-watch.sock}"
}
kill_watched() {
    local looks
    proc_kill watch TERM
    proc_wait watch 5
    [ "$PROC_STATUS" = 0 ] || fail "two ran at one moment: $(grep -m 1 'TWO RUN' "$T/watch.log")"
    looks=$(sed -n 's/.* looked \([0-9]*\) times/\1/p' "$T/watch.log")
    [ "$looks" -ge 2 ] && grep -q 'source runs' "$T/watch.log" || fail "the watcher looked $looks times only"
    say "  watched: $looks looks, $(sed -nE 's/^[0-9]+ (source|destination) (runs|stands|gone)/\1 \2/p' "$T/watch.log" |
        paste -sd, | sed 's/,/, /g')"
}

# kill_fault FAULT: does it, and has those who were stopped go on
kill_fault() {
    local stopped=$2 pid
    case $1 in
    source-adit) proc_kill migrate KILL ;;
    destination-adit) proc_kill serve KILL ;;
    both-adits) proc_kill migrate KILL && proc_kill serve KILL ;;
    source-qemu) proc_kill "$VM" KILL ;;
    destination-qemu | waiting-qemu)
        pid=$(kill_twin_pid)
        [ -n "$pid" ] || fail 'no QEMU is there on dst to be killed'
        kill -9 "$pid"
        # it is dead, and not about to be, when the others go on
        wait_until 5 'the end of the QEMU on dst' kill_process_dead "$pid"
        ;;
    silent | blink) link_cut ;;
    reset) link_reset ;;
    *) fail "kill_fault: $1 is not known" ;;
    esac
    case $stopped.$1 in
    migrate.source-adit | serve.destination-adit | *.both-adits) ;;
    *) proc_kill "$stopped" CONT ;;
    esac
}
kill_process_dead() {
    local state
    { read -r _ _ state _ <"/proc/$1/stat"; } 2>/dev/null || return 0
    [ "$state" = Z ]
}

# kill_mend FAULT: the link heals, and adit serve runs again if it was killed
kill_mend() {
    case $1 in
    silent) sleep 17 ;;       # longer than it takes both to know that the peer is dead
    blink | reset) sleep 2 ;;
    *) sleep 0.3 ;;
    esac
    link_accept
    [[ $1 =~ ^(destination-adit|both-adits)$ ]] || return 0
    proc_end serve
    kill_serve
}

# kill_recover: until it says that all is settled; how often it had to be asked is in RECOVERIES
kill_recover() {
    local end=$(($(now_ms) + 40000))
    RECOVERIES=0
    : >"$T/recovered.log"
    while :; do
        RECOVERIES=$((RECOVERIES + 1))
        proc_start recover src "$ADIT" recover --state-dir "$KILL_STATE-src"
        proc_wait recover 60
        { printf 'status %s\n' "$PROC_STATUS" && cat "$T/recover.log"; } >>"$T/recovered.log"
        [ "$PROC_STATUS" != 0 ] || break
        [ "$(now_ms)" -lt "$end" ] || fail "adit recover does not settle it: $(tail -n 1 "$T/recover.log")"
        sleep 0.5
    done
    sed 's/^/  recover: /' "$T/recover.log"
}
# kill_journal SIDE: the records that are there
kill_journal() { find "$KILL_STATE-$1/journal" -name '*.json' 2>/dev/null || true; }

# kill_boot VM: on src, with a further monitor for the watcher; up and at work
kill_boot() {
    move_disks $1 16M raw:virtio
    vm_start $1 src monitors=2 "${MOVE_DISKS[@]}" append='ram=16 rate=1000 sectors=256 diskrate=20' \
        arg=-chardev arg="socket,id=watch,path=$T/$1/watch.sock,server=on,wait=off" arg=-mon arg=chardev=watch,mode=control
    VM_QMP[${1}2]=$T/$1/qmp2.sock
    guest_ready $1
    guest_reaches $1 beat 3 20
}

# kill_is_at VM POINT: QEMU itself says that it is there, where it can tell
kill_is_at() {
    case $2 in
    s-disks) expect_equal 'mirrors under way' 1 "$(vm_query ${1}2 query-block-jobs '[.[] | select(.status == "running")] | length')" ;;
    s-ram) expect_equal "QEMU's migration" active "$(vm_migration ${1}2)" ;;
    s-switchover) expect_equal "QEMU's migration" pre-switchover "$(vm_migration ${1}2)" ;;
    s-completed | s-fini* | s-confirm* | d-[fcr]* | d-decided) expect_equal "QEMU's migration" completed "$(vm_migration ${1}2)" ;;
    d-begin | d-prepared | s-begin | s-prepare) expect_equal "QEMU's migration" none "$(vm_migration ${1}2)" ;;
    esac
}

# kill_cell MOMENT POINT FAULT WHO: WHO must run in the end: source, destination, either (exactly one of
# the two, but which one is a race between the loss and the decision), none (it was lost with the source's QEMU) or crashed (on the destination, where it had moved to)
kill_cell() {
    local moment=$1 point=$2 fault=$3 who=$4 options=() stopped ran how status watch=
    [[ "$point $fault" =~ ${KILL_ONLY:-.} ]] || return 0
    VM=k$((KILL_CELL += 1))
    stopped=${KILL_STOPS[${point%%-*}]}
    say "$moment, at $point: $fault; then $who"
    CELL_BEGIN=$(now_ms)
    kill_boot $VM
    if [ "$fault" = waiting-qemu ]; then
        mkdir -p "$T/dst"
        qemu-img create -q -f raw "$T/dst/$VM-twin-0.raw" 16M
        vm_start $VM-twin dst incoming=1 disk=raw:virtio:"$T/dst/$VM-twin-0.raw" append='ram=16 rate=1000 sectors=256 diskrate=20' \
            arg=-chardev arg="socket,id=watch,path=$T/$VM-twin/watch.sock,server=on,wait=off" arg=-mon arg=chardev=watch,mode=control
        options+=(--dest-qmp "${VM_QMP[$VM-twin]}")
        watch=$T/$VM-twin/watch.sock
    fi
    left_mark
    kill_watch $VM "$watch"
    if [ "$stopped" = serve ]; then
        kill_serve "$point"
        adit_start $VM ${options[@]+"${options[@]}"}
    else
        kill_serve
        ADIT_STOP_AT=$point adit_start $VM ${options[@]+"${options[@]}"}
    fi
    wait_until 20 "$stopped to stop at $point" kill_is_stopped "$stopped"
    kill_is_at $VM "$point"
    left_clock
    kill_fault "$fault" "$stopped"
    kill_mend "$fault"
    adit_wait 60
    status=$MIGRATE_STATUS
    [ -z "$(kill_journal src)" ] && how='by itself' || how='`adit recover`'
    kill_recover
    case $fault.$status.$who in
    source-adit.* | both-adits.*) ran=killed ;;
    *.either) ran='moved or failed' ;;
    *.0.*) ran='moved' ;;
    *) ran='failed' ;;
    esac
    sed 's/^/  migrate: /' "$T/migrate.log"
    kill_verify "$who"
    kill_watched
    expect_equal 'records that are left in the journals' '' "$(kill_journal src)$(kill_journal dst)"
    kill_clear
    say "  settled $how, $(($(now_ms) - CELL_BEGIN)) ms in all"
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$moment" "$point" "$fault" "$ran" "$who" "$how" >>"$KILL_PARTS/$KILL_ROW.cells"
}

# kill_verify WHO: that one runs, whole; the other side is clean
kill_verify() {
    # what adit serve has for itself
    local may="^process ${PROC_PID[serve]} |:$ADIT_PORT | (@adit-once:)?$T/run-dst(/once\\.sock)?$|^folder $T/state-|/host-id$|^folder $T/run-dst(/vms)?$" pid dir
    if [ "$1" = either ]; then
        # which of the two is a race; that it is one of them is not
        set -- "$(if kill_no_twin; then echo source; else echo destination; fi)"
        say "  it is the $1"
    fi
    case $1 in
    source)
        LEFT_CLOCK=$(now_ms)
        proc_runs $VM || fail "the source's QEMU has gone"
        move_runs_on $VM
        wait_until 10 'the end of the QEMU on dst' kill_no_twin
        left_nothing "$may"
        fault_whole $VM
        ;;
    destination)
        wait_until 10 "the end of the source's QEMU" proc_gone $VM
        pid=$(kill_twin_pid)
        [ -n "$pid" ] || fail 'no QEMU runs on dst'
        dir=$(echo "$T"/run-dst/vms/*)
        [ -d "$dir" ] || fail "there is no one folder of a VM: $dir"
        vm_adopt $VM-twin dst "$dir/qmp.sock" "$dir/serial0.sock" "$dir/serial.log" "$pid"
        wait_until 10 'the VM running on dst' vm_is $VM-twin running
        guest_continues $VM $VM-twin
        move_checked $VM-twin
        disk_same_but_guest raw "$T/disks/$VM-0.raw" raw "$T/images/$VM-0.raw" 0 "$(guest_find $VM '^READY')"
        LEFT_CLOCK=$(now_ms)
        left_nothing "$may|^process $pid |^[a-z]* $dir|^listening $dir|^file $T/images/$VM-0.raw$"
        ;;
    none)
        proc_gone $VM || fail "the source's QEMU is there"
        wait_until 10 'the end of the QEMU on dst' kill_no_twin
        LEFT_CLOCK=$(now_ms)
        left_nothing "$may"
        [ "$MIGRATE_STATUS" = 1 ] || fail "adit migrate ended with $MIGRATE_STATUS, and no VM is left"
        said_one_line 'QEMU'
        ;;
    crashed)
        proc_gone $VM || fail "the source's QEMU is there"
        kill_no_twin || fail 'a QEMU runs on dst, though it was killed'
        LEFT_CLOCK=$(now_ms)
        # its disk is all that is left of the VM: nobody may remove that
        [ -e "$T/images/$VM-0.raw" ] || fail 'the disk of the VM has gone, too'
        left_nothing "$may|^file $T/images/$VM-0.raw$|^[a-z]* $T/run-dst/vms/"
        ;;
    esac
    no_secrets
}

# kill_clear: room for the next cell
kill_clear() {
    vm_end $VM
    proc_end $VM-twin
    proc_end serve
    rm -rf "$T/images/$VM-0.raw" "$T/disks/$VM-0.raw" "$T/dst" "$T/run-dst/vms/"* "$KILL_STATE-src" "$KILL_STATE-dst"
}

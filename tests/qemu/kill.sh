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

. "$TESTS_QEMU/kill-cells.sh"
. "$TESTS_QEMU/kill-faults.sh"
. "$TESTS_QEMU/kill-folders.sh"
. "$TESTS_QEMU/postcopy.sh"

KILL_STATE=$T/state
# the host of the process that stops at a point, by the point's first letter
declare -A KILL_STOPS=([s]=migrate [d]=serve)
KILL_CELL=0
KILL_VERSION=$("$QEMU" --version | sed -nE '1s/.*version ([0-9]+\.[0-9]+).*/\1/p')
KILL_COMMIT=$(kill_commit)
KILL_DONE=()
# what the cell that is under way has to write, or the last one
KILL_NOW=
# the folder for temporary files of cells that are run apart: the paths of sockets must be short
KILL_APART=${T%/*}

# kill_row ROW: the cells that follow are of that row of the table. KILL_ONLY in the environment, a regular expression over
# "POINT FAULT", picks some of them.
kill_row() {
    KILL_ROW=$1
    kill_hosts
}
kill_hosts() {
    move_hosts
    adit_images
    mkdir -p "$T/run-dst/vms"
    chmod 700 "$T/run-dst" "$T/run-dst/vms"
    KILL_NET=
    [ -c /dev/net/tun ] || { skip_part 'the NIC of the VM' 'no /dev/net/tun'; return 0; }
    KILL_NET=br0
    for host in src dst; do
        in_host "$host" ip link add "$KILL_NET" type bridge
        in_host "$host" ip link set "$KILL_NET" up
    done
}
# kill_nic HOST VM: into KILL_NIC, QEMU's arguments for a NIC in a tap in that host's bridge
kill_nic() {
    KILL_NIC=()
    [ -n "$KILL_NET" ] || return 0
    in_host "$1" ip tuntap add dev "$2" mode tap vnet_hdr
    in_host "$1" ip link set dev "$2" master "$KILL_NET" up
    KILL_NIC=(arg=-netdev arg="tap,id=net0,ifname=$2,script=no,downscript=no" arg=-device
        arg=virtio-net-pci,netdev=net0,id=nic0,mac=52:54:00:66:00:02)
}
# kill_nic_moved: the twin has one tap, up and in the bridge
kill_nic_moved() {
    [ -n "$KILL_NET" ] && [ ! -e "$T/$VM-twin" ] || return 0
    in_host dst ip -o link show type tun >"$T/taps.log"
    [ "$(wc -l <"$T/taps.log")" = 1 ] && grep -q ",UP.* master $KILL_NET " "$T/taps.log" ||
        fail "the VM's NIC on dst: $(cat "$T/taps.log")"
}

# kill_cells: all of the row, one after the other
kill_cells() {
    local row point fault who
    while read -r row point fault who <&4; do
        kill_cell "$row" "$point" "$fault" "$who"
    done 4< <(kill_cells_of "$KILL_ROW")
}

# How many cells work at the same time on this machine, of all tests that run cells apart, and how many of those that stand still
# for a while are under way: most of a cell is waiting (three seconds of a processor in twelve), but its guest works on.
KILL_TURNS=${KILL_TURNS:-$((3 * $(nproc)))} KILL_STILL=$((12 * $(nproc)))
# kill_ticket KIND COUNT: waits for one of so many; KILL_TICKET is its descriptor
kill_ticket() {
    local dir=$TOP/build/check/kill-table/turns i gate
    mkdir -p "$dir"
    # one looks for it, the others wait behind that one
    exec {gate}>"$dir/$1"
    flock "$gate"
    KILL_TICKET=
    while [ -z "$KILL_TICKET" ]; do
        for ((i = 0; i < $2; i++)); do
            exec {KILL_TICKET}>"$dir/$1.$i"
            ! flock -n "$KILL_TICKET" || break
            exec {KILL_TICKET}>&-
            KILL_TICKET=
        done
        [ -n "$KILL_TICKET" ] || sleep 0.2
    done
    flock -u "$gate"
    exec {gate}>&-
}
# kill_stand_still SECONDS: in which another cell may work. A cell that runs apart has the descriptor of its turn, KILL_TURN, from
# its parent, and needs none any more for the little that follows.
kill_stand_still() {
    [ -z "${KILL_TURN:-}" ] || flock -u "$KILL_TURN"
    sleep "$1"
}

# kill_cells_apart N < CELLS: each of those lines of kill-cells.in in namespaces of its own, N at a time, as far as there are
# turns. Fails once all are done.
kill_cells_apart() {
    local row point fault who log running=0 bad=()
    mkdir -p "$TOP/build/check/kill-table/logs"
    while read -r row point fault who; do
        [[ "$point $fault" =~ ${KILL_ONLY:-.} ]] || continue
        log=$TOP/build/check/kill-table/logs/$row.$point.$fault@$KILL_VERSION.log
        : >"$T/$row.$point.$fault.runs"
        [ "$running" -lt "$1" ] || { wait -n && running=$((running - 1)); }
        (
            trap - ERR EXIT
            # (first, so that nobody who has a turn waits for it)
            [[ $fault != stop-* ]] || kill_ticket still "$KILL_STILL"
            kill_ticket turn "$KILL_TURNS"
            begin=$(now_ms)
            if KILL_TURN=$KILL_TICKET TMPDIR=$KILL_APART timeout -k 10 600 bash "$TESTS_QEMU/kill-one.sh" "$row" "$point" "$fault" "$who" >"$log" 2>&1 </dev/null; then
                word=passed
            else
                word="failed: $(grep -a -m 1 '^FAIL: ' "$log" || tail -n 1 "$log")"
            fi
            say "$row, at $point: $fault; then $who: $word ($(($(now_ms) - begin)) ms)"
            [ "$word" != passed ] || rm "$T/$row.$point.$fault.runs"
        ) &
        running=$((running + 1))
        KILL_DONE+=("$row $point $fault")
    done
    wait
    [ ${#KILL_DONE[@]} -gt 0 ] || fail 'there are no such cells'
    for log in "$T"/*.runs; do
        [ ! -e "$log" ] || bad+=("$(basename "$log" .runs)")
    done
    [ ${#bad[@]} = 0 ] || fail "${#bad[@]} of ${#KILL_DONE[@]} cells failed: ${bad[*]}; see build/check/kill-table/logs"
}

# kill_table: what the cells have seen is what the page says of them; where it says that one was not run there is nothing to
# compare
kill_table() {
    local row point fault ran who how line said=()
    while read -r row point fault; do
        IFS=$'\t' read -r _ ran who how <"$KILL_SEEN/$KILL_VERSION/$row/$point.$fault"
        line=$(kill_line "$row" "$point" "$fault" "$ran" "$who" "$how")
        sed -n "/^<!-- $row -->/,/^<!-- end of $row -->/p" "$TOP/docs/kill-table.md" >"$T/row.said"
        grep -qF "$line" "$T/row.said" || grep -F "$(kill_line "$row" "$point" "$fault" '' '' '' | cut -d '|' -f -4)" "$T/row.said" |
            grep -q '\*\*not run\*\*' || said+=("$line")
    done < <(printf '%s\n' ${KILL_DONE[@]+"${KILL_DONE[@]}"})
    [ ${#said[@]} = 0 ] || fail "docs/kill-table.md does not say what was seen (${said[*]}): if that is meant, run" \
        'tests/qemu/run.sh kill-table, then tests/qemu/kill-table.sh --docs'
    bash "$TESTS_QEMU/kill-table.sh"
}

# kill_end STATUS: lib.sh's, at the end of the test
kill_end() { [ "$1" = 0 ] || [ "$1" = 77 ] || [ -z "$KILL_NOW" ] || printf '%s\tfailed\n' "$KILL_COMMIT" >"$KILL_NOW"; }

kill_is_stopped() {
    proc_stopped "$1" && return 0
    proc_runs migrate || fail "adit migrate ended before it was at the point: $(tail -n 1 "$T/migrate.log")"
    proc_runs serve || fail "adit serve ended before it was at the point: $(tail -n 1 "$T/serve.log")"
    return 1
}

# kill_serve [POINT]: adit serve on dst, as ever or to stop at that point
kill_serve() { local ADIT=$(kill_program dst); ADIT_STOP_AT=${1:-} adit_serve_launch ${KILL_NET:+--allow-networks "$KILL_NET"}; }

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

# kill_recover: until it says that all is settled; how often it had to be asked is in RECOVERIES
kill_recover() {
    local end=$(($(now_ms) + 40000))
    RECOVERIES=0
    : >"$T/recovered.log"
    while :; do
        RECOVERIES=$((RECOVERIES + 1))
        proc_start recover src "$(kill_program src)" recover --state-dir "$KILL_STATE-src"
        proc_wait recover 60
        { printf 'status %s\n' "$PROC_STATUS" && cat "$T/recover.log"; } >>"$T/recovered.log"
        [ "$PROC_STATUS" != 0 ] || break
        # the job was settled, and then its folder went: there is none to be looked into, as is said
        [ "$row.$fault" != source-state.removed ] || [ -e "$KILL_STATE-src" ] || { grep -q -- "--state-dir $KILL_STATE-src" "$T/recover.log" && break; }
        [ "$(now_ms)" -lt "$end" ] || fail "adit recover does not settle it: $(tail -n 1 "$T/recover.log")"
        sleep 0.5
    done
    sed 's/^/  recover: /' "$T/recover.log"
}
# kill_journal SIDE: the records that are there
kill_journal() { find "$KILL_STATE-$1/journal" -name '*.json' 2>/dev/null || true; }

# kill_boot VM [POINT]: on src, with a further monitor for the watcher; up and at work
kill_boot() {
    local mem=32 append='ram=16 rate=1000 sectors=256 diskrate=20'
    KILL_OPTIONS=()
    if [[ ${2:-} = postcopy:* ]]; then
        # it writes faster than the line carries, which still has seconds' worth of RAM to carry when the guest has moved
        mem=64 append='ram=40 rate=max sectors=256 diskrate=20'
        KILL_OPTIONS=(--postcopy --timeout 1 --on-timeout postcopy --downtime-limit 20)
        link_rate 80mbit
    fi
    move_disks $1 16M raw:virtio
    # all of it, so that nobody needs more room once it was copied
    qemu-io -f raw -c 'write -q -P 7 12M 4M' "$T/disks/$1-0.raw"
    kill_nic src $1
    vm_start $1 src monitors=2 mem=$mem "${MOVE_DISKS[@]}" append="$append" ${KILL_NIC[@]+"${KILL_NIC[@]}"} \
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

# kill_cell ROW POINT FAULT WHO: a line of kill-cells.in
kill_cell() {
    local row=$1 point=$2 fault=$3 who=$4 options stopped ran how status watch='' seen=$KILL_SEEN/$KILL_VERSION/$1/$2.$3
    [[ "$point $fault" =~ ${KILL_ONLY:-.} ]] || return 0
    mkdir -p "${seen%/*}"
    # which is no result; a page that is written meanwhile takes it for a cell that was not run
    printf '%s\tunder way\n' "$KILL_COMMIT" >"$seen"
    KILL_NOW=$seen
    VM=k$((KILL_CELL += 1))
    say "$(kill_moment "$point"), at $point: $fault; then $who"
    CELL_BEGIN=$(now_ms)
    kill_folder_make "$row" "$fault"
    kill_boot $VM "$point"
    options=(${KILL_OPTIONS[@]+"${KILL_OPTIONS[@]}"})
    point=${point#*:}
    stopped=${KILL_STOPS[${point%%-*}]}
    if [ "$fault" = waiting-qemu ]; then
        mkdir -p "$T/dst"
        qemu-img create -q -f raw "$T/dst/$VM-twin-0.raw" 16M
        kill_nic dst $VM-twin
        vm_start $VM-twin dst incoming=1 ${KILL_NIC[@]+"${KILL_NIC[@]}"} disk=raw:virtio:"$T/dst/$VM-twin-0.raw" append='ram=16 rate=1000 sectors=256 diskrate=20' \
            arg=-chardev arg="socket,id=watch,path=$T/$VM-twin/watch.sock,server=on,wait=off" arg=-mon arg=chardev=watch,mode=control
        options+=(--dest-qmp "${VM_QMP[$VM-twin]}")
        watch=$T/$VM-twin/watch.sock
    fi
    left_mark
    LEFT_GONE=
    [ "$fault" != removed ] || LEFT_GONE=" ${KILL_FOLDER}(/|\$)"
    kill_watch $VM "$watch"
    if [ "$stopped" = serve ]; then
        kill_serve "$point"
        adit_start $VM ${options[@]+"${options[@]}"}
    else
        kill_serve
        ADIT_STOP_AT=$point adit_start $VM ${options[@]+"${options[@]}"}
    fi
    wait_until 60 "$stopped to stop at $point" kill_is_stopped "$stopped"
    [ "$point" != "$2" ] || kill_is_at $VM "$point"
    left_clock
    kill_fault "$fault" "$stopped"
    kill_mend "$fault"
    adit_wait 90
    status=$MIGRATE_STATUS
    [ -z "$(kill_journal src)" ] && how='by itself' || how='`adit recover`'
    [[ $who.$fault != either.stop-* ]] || how='by itself or `adit recover`'
    kill_recover
    # where it was found that no host has the VM any more, that is no success (at s-begin there is no record yet)
    ! { [[ $fault.$who = *-host*.none ]] && grep -q 'found in state' "$T/recovered.log"; } && ! grep -q 'ended on both hosts' "$T/recovered.log" ||
        expect_equal 'the first exit status of adit recover' 'status 1' "$(head -n 1 "$T/recovered.log")"
    case $fault.$status.$who in
    source-adit.* | both-adits.* | source-host.* | both-hosts.*) ran=killed ;;
    *.either) ran='moved or failed' ;;
    *.0.*) ran='moved' ;;
    *) ran='failed' ;;
    esac
    sed 's/^/  migrate: /' "$T/migrate.log"
    kill_verify "$who" "$fault"
    kill_watched
    expect_equal 'records that are left in the journals' '' "$(kill_journal src)$(kill_journal dst)"
    kill_clear
    say "  settled $how, $(($(now_ms) - CELL_BEGIN)) ms in all"
    printf '%s\t%s\t%s\t%s\n' "$KILL_COMMIT" "$ran" "$who" "$how" >"$seen"
    KILL_DONE+=("$row $2 $fault")
}

# kill_verify WHO FAULT: that one runs, whole; the other side is clean
kill_verify() {
    # what adit serve has for itself
    local may="^process ${PROC_PID[serve]} |:$ADIT_PORT | (@adit-once:)?$T/run-dst(/once\\.sock)?$|^folder $T/state-|/host-id$|^folder $T/run-dst(/vms)?$|^file $T/(adit|boot)-(src|dst)$|^[a-z]* $T/gone-" pid dir
    if [ "$1" = either ]; then
        # which of the two is a race; that it is one of them is not
        set -- "$(if kill_no_twin; then echo source; else echo destination; fi)" "$2"
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
        dir=$(echo "$(kill_path "$T/run-dst/vms")"/*)
        [ -d "$dir" ] || fail "there is no one folder of a VM: $dir"
        vm_adopt $VM-twin dst "$dir/qmp.sock" "$dir/serial0.sock" "$dir/serial.log" "$pid"
        wait_until 10 'the VM running on dst' vm_is $VM-twin running
        # (what the guest said while the folder was full that its log is in is not there)
        [ "$row.$2" = destination-run.full ] || guest_continues $VM $VM-twin
        move_checked $VM-twin
        kill_nic_moved
        disk_same_but_guest raw "$T/disks/$VM-0.raw" raw "$(kill_path "$T/images/$VM-0.raw")" 0 "$(guest_find $VM '^READY')"
        LEFT_CLOCK=$(now_ms)
        # (a socket is known by the name that it was made under, wherever its folder is by now)
        left_nothing "$may|^process $pid |^[a-z]* $dir|^listening $T/run-dst/vms/${dir##*/}/|^interface |^file $T/images/$VM-0.raw$"
        ;;
    none)
        proc_gone $VM || fail "the source's QEMU is there"
        wait_until 10 'the end of the QEMU on dst' kill_no_twin
        LEFT_CLOCK=$(now_ms)
        left_nothing "$may"
        # where adit was killed too nobody is left to say it
        [[ $2 = *-host* ]] || [ "$MIGRATE_STATUS" = 1 ] || fail "adit migrate ended with $MIGRATE_STATUS, and no VM is left"
        [[ $2 = *-host* ]] || said_one_line 'QEMU'
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
    [ -z "$KILL_NET" ] || in_host src ip link del dev $VM
    link_rate none
    kill_folder_clear
    rm -f "$T/adit-src" "$T/adit-dst" "$T/boot-src" "$T/boot-dst"
    rm -rf "$T/images/$VM-0.raw" "$T/disks/$VM-0.raw" "$T/dst" "$T/run-dst/vms/"* "$KILL_STATE-src" "$KILL_STATE-dst"
}

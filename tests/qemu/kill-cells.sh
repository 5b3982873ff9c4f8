# What the tests and the page of the kill table share: its cells (kill-cells.in), and what was seen of each. $TOP is set.
# shellcheck shell=bash disable=SC2034,SC2016

KILL_LIST=$TOP/tests/qemu/kill-cells.in
# seen/VERSION/ROW/POINT.FAULT, of each version of QEMU: the commit, what became of adit migrate, who ran in the end, and how
# it was settled, with tabs between; or the commit and "failed", or "under way"
KILL_SEEN=$TOP/build/check/kill-table/seen

# kill_cells_of [ROW]: "ROW POINT FAULT WHO" of each of its cells, or of all
kill_cells_of() { awk -v row="${1:-}" '$1 && !/^#/ { sub(/^[+=]/, "", $1); if (!row || row == $1) print $1, $2, $3, $4 }' "$KILL_LIST"; }
# kill_cells_sampled: those of the rows that ./check runs a sample of
kill_cells_sampled() { awk '/^\+/ { sub(/^\+/, "", $1); print $1, $2, $3, $4 }' "$KILL_LIST"; }

# kill_moment POINT: the moment of the migration that it belongs to
kill_moment() {
    case $1 in
    postcopy:*) echo postcopy ;;
    s-begin | d-begin) echo Begin ;;
    s-prepare | d-prepared) echo Prepare ;;
    s-disks) echo mirroring ;;
    s-ram) echo RAM ;;
    s-switchover) echo pre-switchover ;;
    s-completed) echo 'between Perform and Finish' ;;
    d-finish) echo 'Finish, before the decision' ;;
    d-decided | d-committed | d-runs) echo 'Finish, after the decision' ;;
    s-finished) echo 'before Confirm' ;;
    *) echo Confirm ;;
    esac
}

# kill_commit: what is tried: a commit, with a + behind it where more than the page was changed since
kill_commit() {
    local commit
    commit=$(git -C "$TOP" rev-parse HEAD 2>/dev/null) || { echo unknown && return; }
    [ -z "$(git -C "$TOP" status --porcelain -- . ':!docs/kill-table.md')" ] || commit+=+
    echo "$commit"
}

# kill_line ROW POINT FAULT RAN WHO HOW: its line of the page, but for the last column
kill_line() {
    local fault=$3 who=$5
    case $3 in
    waiting-qemu) fault='`kill -9` of a QEMU that waits (`--dest-qmp`)' ;;
    *-host | *-hosts) fault='all processes, and a new boot' ;;
    stop-guardian-and-kill) fault="SIGSTOP for $KILL_STOP_S s, and \`kill -9\` of adit serve" ;;
    stop-*) fault="SIGSTOP for $KILL_STOP_S s" ;;
    reset) fault='reset, refused for 2 s' ;;
    silent) fault='silent for 17 s' ;;
    blink) fault='silent for 2 s' ;;
    full | read-only | removed) ;;
    *) fault='`kill -9`' ;;
    esac
    case $5 in
    either) who='source or destination' ;;
    none) who='none: the only whole VM was killed' ;;
    crashed) who='none: the VM had moved, and was killed there' ;;
    esac
    printf '| %s | `%s` | %s | %s | %s | %s |' "$(kill_moment "$2")" "${2#*:}" "$fault" "$4" "$who" "$6"
}
# longer than any limit of adit's that it can be in the way of: the keepalive and the minute that is asked for (75 s), or
# FINISH's answer and that minute (90 s)
KILL_STOP_S=95

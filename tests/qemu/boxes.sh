# The lines of docs/integrations.md, run as they stand there: its boxes, and a shell of each host that runs them in order.
# shellcheck shell=bash
. "$TOP/tests/lib/docs.sh"

# boxes_take SECTION: each box of that section that names a host, to $T/boxes/NN.HOST (source, destination or both)
boxes_take() {
    local n host
    mkdir -p "$T/boxes"
    while IFS=$'\t' read -r n host; do
        docs_block docs/integrations.md "$1" "$n" >"$T/boxes/$(printf %02d "$n").$host"
    done < <(docs_blocks docs/integrations.md | awk -F '\t' -v s="$1" '$1 == s && !seen[$2]++ { sub(/^sh /, "", $3); print $2 "\t" $3 }')
    [ -n "$(ls "$T/boxes")" ] || fail "docs/integrations.md has no box in \"$1\""
}

# boxes_shell HOST: starts that host's shell, after BOXES_PRELUDE (a file); adit is in its PATH
BOXES_PRELUDE=/dev/null
boxes_shell() {
    mkdir -p "$T/$1" "$T/bin"
    [ -e "$T/bin/adit" ] || ln -s "$ADIT" "$T/bin/adit"
    cat >"$T/shell.sh" <<'END'
host=$1 T=$2
export BOX_HOST=$host PATH=$T/bin:$PATH
. "$3" || exit
exec 3<>"$T/$host/in"
set -E
trap 'echo "FAIL: $host: status $?: $BASH_COMMAND"; bad=1' ERR
while read -r box <&3; do
    bad=0
    . "$box"
    [ $? = 0 ] || bad=1
    echo "$bad" >"$T/$host/status.new"
    mv "$T/$host/status.new" "$T/$host/status"
done
END
    mkfifo "$T/$1/in"
    proc_start "shell-$1" "$1" unshare --mount bash "$T/shell.sh" "$1" "$T" "$BOXES_PRELUDE"
}

# boxes_run FILE: where its name says
boxes_run() {
    say "$(basename "$1"): $(head -n 1 "$1" | cut -c 1-100)"
    case $1 in
    *.source) boxes_run_on src "$1" ;;
    *.destination) boxes_run_on dst "$1" ;;
    *.both) boxes_run_on src "$1" && boxes_run_on dst "$1" ;;
    esac
}
boxes_run_on() {
    local said
    said=$(wc -c <"${PROC_LOG[shell-$1]}")
    rm -f "$T/$1/status"
    echo "$2" >"$T/$1/in"
    wait_until 60 "the end of: $(head -n 1 "$2") (on $1)" boxes_done "$1"
    [ "$(cat "$T/$1/status")" = 0 ] || fail "on $1: $(tail -c "+$((said + 1))" "${PROC_LOG[shell-$1]}" | tail -n 5)"
    # QEMU answers what it cannot do with an error, and the box goes on
    ! tail -c "+$((said + 1))" "${PROC_LOG[shell-$1]}" | grep '"error": *{' || fail "QEMU on $1 refused: $(cat "$2")"
}
boxes_done() { [ -e "$T/$1/status" ] || { proc_gone "shell-$1" && fail "the shell of $1 ended"; }; }

#!/usr/bin/env bash
# The page of the kill table, from what the tests test-kill-table-*.sh have seen (build/check/kill-table/ROW.cells, a line a
# cell with tabs between):
#
#     kill-table.sh              writes build/check/kill-table.md
#     kill-table.sh --docs       ... and copies it to docs/kill-table.md
#     kill-table.sh --row ROW    prints only what stands of that row in the page
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
parts=$top/build/check/kill-table

rows=(source-adit destination-adit both-adits source-qemu destination-qemu link-reset link-silent)
declare -A titles=([source-adit]='adit on the source' [destination-adit]='adit on the destination'
    [both-adits]='both adits at once' [source-qemu]="the source's QEMU" [destination-qemu]="the destination's QEMU"
    [link-reset]='the link, reset' [link-silent]='the link, silent')
moments=(Begin Prepare mirroring RAM pre-switchover 'between Perform and Finish' 'Finish, before the decision'
    'Finish, after the decision' 'before Confirm' Confirm)

cells() {
    cat "$parts/$1.cells" 2>/dev/null || {
        printf 'kill-table.sh: no cells of the row %s yet: run tests/qemu/run.sh kill-table\n' "$1" >&2
        exit 1
    }
}

row() {
    printf '<!-- %s -->\n' "$1"
    printf '| moment | at | fault | `adit migrate` | who runs in the end | settled |\n|---|---|---|---|---|---|\n'
    cells "$1" | awk -F '\t' '
        BEGIN {
            say["waiting-qemu"] = "`kill -9` of a QEMU that waits (`--dest-qmp`)"
            say["source-adit"] = say["destination-adit"] = say["both-adits"] = say["source-qemu"] = say["destination-qemu"] = "`kill -9`"
            say["reset"] = "reset, refused for 2 s"; say["silent"] = "silent for 17 s"; say["blink"] = "silent for 2 s"
            who["source"] = "source"; who["destination"] = "destination"
            who["either"] = "source or destination"
            who["none"] = "none: the only whole VM was killed"
            who["crashed"] = "none: the VM had moved, and was killed there"
        }
        { printf "| %s | `%s` | %s | %s | %s | %s |\n", $1, $2, say[$3], $4, who[$5], $6 }'
    printf '<!-- end of %s -->\n' "$1"
}

overview() {
    local row moment line
    printf '|'
    printf ' | %s' "${moments[@]}"
    printf ' |\n|---|'
    printf -- '---|%.0s' "${moments[@]}"
    printf '\n'
    for row in "${rows[@]}"; do
        line="| ${titles[$row]}"
        for moment in "${moments[@]}"; do
            line+=" | $(cells "$row" | awk -F '\t' -v moment="$moment" '
                $1 == moment && !seen[$5]++ { said = said (said ? ", " : "") $5 } END { print said ? said : "-" }')"
        done
        printf '%s |\n' "$line"
    done
}

page() {
    local row
    cat "$top/tests/qemu/kill-table.in.md"
    printf '\n## Who runs in the end\n\n'
    printf '*either*: one of the two, see above; *none*: the only whole VM was killed; *crashed*: it had moved, and was\n'
    printf 'killed there. Two words: it depends on the exact point, or on the fault, as told below.\n\n'
    overview
    printf '\n## Cell by cell\n'
    for row in "${rows[@]}"; do
        printf '\n### %s\n\n' "${titles[$row]^}"
        row "$row"
    done
}

case ${1:-} in
--row) row "$2" ;;
'' | --docs)
    page >"$parts.new"
    mv "$parts.new" "$parts.md"
    [ -z "${1:-}" ] || cp "$parts.md" "$top/docs/kill-table.md"
    ;;
*) exit 2 ;;
esac

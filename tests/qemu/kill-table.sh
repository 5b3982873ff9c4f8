#!/usr/bin/env bash
# The page of the kill table, from what the tests test-kill-*.sh have seen at this commit:
#
#     kill-table.sh              writes build/check/kill-table.md
#     kill-table.sh --docs       ... and copies it to docs/kill-table.md
#
# A cell that was seen at another commit only, or with changes that were not committed, counts as not run, unless nothing
# but documents, this script and the runner differ between the two.
# shellcheck disable=SC2016
set -euo pipefail
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$TOP/tests/qemu/kill-cells.sh"

rows=(source-adit destination-adit both-adits source-qemu destination-qemu link-reset link-silent
    source-host destination-host both-hosts
    stop-source-adit stop-source-qemu stop-destination-adit stop-destination-qemu stop-guardian
    source-state destination-state source-run destination-run destination-images)
declare -A titles=([source-adit]='adit on the source' [destination-adit]='adit on the destination'
    [both-adits]='both adits at once' [source-qemu]="the source's QEMU" [destination-qemu]="the destination's QEMU"
    [link-reset]='the link, reset' [link-silent]='the link, silent'
    [source-host]='the whole source host' [destination-host]='the whole destination host' [both-hosts]='both hosts at once'
    [stop-source-adit]='adit on the source, stopped' [stop-source-qemu]="the source's QEMU, stopped"
    [stop-destination-adit]='adit on the destination, stopped' [stop-destination-qemu]="the destination's QEMU, stopped"
    [stop-guardian]='the guardian, stopped'
       [source-run]="the source's run folder"
    [source-state]="the source's state folder" [destination-state]="the destination's state folder"
    [destination-run]="the destination's run folder" [destination-images]="the destination's image folder")
moments=(Begin Prepare mirroring RAM pre-switchover 'between Perform and Finish' 'Finish, before the decision'
    'Finish, after the decision' 'before Confirm' Confirm postcopy)

commit=$(kill_commit)
mapfile -t versions < <(cd "$KILL_SEEN" 2>/dev/null && printf '%s\n' * | sort -V)
counted=0 green=0

# is_of COMMIT: what was seen there counts here
declare -A same=()
is_of() {
    if [ -z "${same[$1]:-}" ]; then
        same[$1]=no
        [ "$1" != "$commit" ] || same[$1]=yes
        [[ $1$commit == *+* ]] || ! git -C "$TOP" diff --quiet "$1" "$commit" -- . ':!docs' ':!*.md' ':!tests/qemu/kill-table.sh' ':!tests/qemu/run.sh' 2>/dev/null || same[$1]=yes
    fi
    [ "${same[$1]}" = yes ]
}

# cell ROW POINT FAULT WHO: its lines of the page, one for each way in which it was seen; into LINES
cell() {
    local version at ran who how line seen=() with=() i
    for version in "${versions[@]}"; do
        IFS=$'\t' read -r at ran who how 2>/dev/null <"$KILL_SEEN/$version/$1/$2.$3" || continue
        is_of "$at" && [ "$ran" != 'under way' ] || continue
        # (a migration that failed, as it is to, has a how)
        if [ "$ran" = failed ] && [ -z "$how" ]; then
            line=$(kill_line "$1" "$2" "$3" '**failed**' "$4" '**failed**')
        else
            line=$(kill_line "$1" "$2" "$3" "$ran" "$who" "$how")
        fi
        for ((i = 0; i < ${#seen[@]}; i++)); do
            [ "${seen[i]}" != "$line" ] || break
        done
        seen[i]=$line
        with[i]+="${with[i]:+, }$version"
    done
    LINES_OF=()
    for ((i = 0; i < ${#seen[@]}; i++)); do
        LINES_OF+=("${seen[i]} ${with[i]} |")
    done
    [ ${#seen[@]} -gt 0 ] || LINES_OF=("$(kill_line "$1" "$2" "$3" '**not run**' '**not run**' '**not run**') - |")
}

page() {
    local row point fault who line words title
    local -A overview=()
    {
        for row in "${rows[@]}"; do
            title=${titles[$row]}
            printf '\n### %s\n\n<!-- %s -->\n' "${title^}" "$row"
            printf '| moment | at | fault | `adit migrate` | who runs in the end | settled | seen with QEMU |\n|---|---|---|---|---|---|---|\n'
            while read -r _ point fault who; do
                cell "$row" "$point" "$fault" "$who"
                printf '%s\n' "${LINES_OF[@]}"
                counted=$((counted + 1))
                case ${LINES_OF[*]} in
                *'**failed**'*) who='**failed**' ;;
                *'**not run**'*) who='*not run*' ;;
                *) green=$((green + 1)) ;;
                esac
                line=$row/$(kill_moment "$point")
                case ", ${overview[$line]:-}, " in
                *", $who, "*) ;;
                *) overview[$line]+="${overview[$line]:+, }$who" ;;
                esac
            done < <(kill_cells_of "$row")
            printf '<!-- end of %s -->\n' "$row"
        done
    } >"$parts.cells"
    cat "$TOP/tests/qemu/kill-table.in.md"
    printf '\n## Who runs in the end\n\n'
    printf 'Made at commit `%s`. Of %d cells %d were run there and are as the page says; ' "${commit:0:12}$([[ $commit != *+ ]] || echo ' and changes')" "$counted" "$green"
    printf 'one that was not is *not run*, and\none that failed is **failed**.\n\n'
    printf '*either*: one of the two, see above; *none*: the only whole VM was killed; *crashed*: it had moved, and was\n'
    printf 'killed there. Two words: it depends on the exact point, or on the fault, as told below.\n\n|'
    printf ' | %s' "${moments[@]}"
    printf ' |\n|---|'
    printf -- '---|%.0s' "${moments[@]}"
    printf '\n'
    for row in "${rows[@]}"; do
        printf '| %s' "${titles[$row]}"
        for words in "${moments[@]}"; do
            printf ' | %s' "${overview[$row/$words]:--}"
        done
        printf ' |\n'
    done
    printf '\n## Cell by cell\n'
    cat "$parts.cells"
    rm "$parts.cells"
}

for row in $(kill_cells_of | awk '!seen[$1]++ { print $1 }'); do
    [ -n "${titles[$row]:-}" ] || { echo "kill-table.sh: the row $row has no title" >&2; exit 1; }
done
parts=$TOP/build/check/kill-table
mkdir -p "$parts"
# several rows may end at one time
exec 9>"$parts.lock"
flock 9
page >"$parts.new"
mv "$parts.new" "$parts.md"
case ${1:-} in
'') ;;
--docs) cp "$parts.md" "$TOP/docs/kill-table.md" ;;
*) echo 'usage: kill-table.sh [--docs]' >&2; exit 2 ;;
esac

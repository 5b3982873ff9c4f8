#!/usr/bin/env bash
# Goal: each block of README.md, docs/ and the manual pages is in tests/docs.table: a test that is run takes it out of the page
# and runs it, on both releases; or it has the words of one for which that holds; or the table says why nobody runs it.
. "$(dirname "$0")/../integration/lib.sh"
. "$TOP/tests/lib/docs.sh"
bad=0
complain() { say "$*"; bad=1; }

for page in $(docs_pages); do
    docs_blocks "$page" | awk -F '\t' -v OFS='\t' -v page="$page" '!seen[$1, $2]++ { print page, $1, $2 }'
done >"$T/blocks"
[ "$(wc -l <"$T/blocks")" -gt 50 ] || fail "the pages have $(wc -l <"$T/blocks") blocks"
docs_table >"$T/table"
cut -f 1-3 "$T/table" >"$T/listed"
while IFS=$'\t' read -r page section n; do
    complain "$page, '$section': block $n is not in tests/docs.table: $(docs_text "$page" "$section" "$n" | head -n 1)"
done < <(grep -vxFf "$T/listed" "$T/blocks")
while IFS=$'\t' read -r page section n; do
    complain "tests/docs.table: $page has no block $n in '$section'"
done < <(grep -vxFf "$T/blocks" "$T/listed")
while IFS= read -r line; do
    complain "tests/docs.table: twice: $line"
done < <(sort "$T/listed" | uniq -d)

# run_as FILE: what ./check calls that test, or nothing where it does not run it
run_as() {
    local name=${1##*/test[-_]}
    name=${name%.sh}
    case $1 in
    qemu/test-*) [ -e "$TOP/tests/$1" ] && printf '%s\n' "$name" ;;
    libvirt/test-*) [ -e "$TOP/tests/$1" ] && printf 'libvirt-%s\n' "$name" ;;
    *) grep -qE "^adit_(integration|package)_test\($name\)" "$TOP/tests/${1%/*}/CMakeLists.txt" && printf '%s\n' "${1%/*}.$name" ;;
    esac
}
mapfile -t trixie < <(awk '!/^#/ && NF { print $1 }' "$TOP/tests/on-trixie")
on_trixie() {
    local name
    for name in "${trixie[@]}"; do
        [[ $1 =~ $name || $1@10.0 =~ $name ]] && return 0
    done
    return 1
}
# words TEXT: without what only makes lines of it
words() { tr -s ' \\\n' ' '; }

while IFS=$'\t' read -r page section n what; do
    block="$page, '$section', block $n"
    case $what in
    -\ ?*) continue ;;
    as\ *)
        IFS='#' read -r page2 section2 n2 <<<"${what#as }"
        [ "$(docs_text "$page" "$section" "$n" | words)" = "$(docs_text "$page2" "$section2" "$n2" | words)" ] ||
            complain "$block: not the words of block $n2 of '$section2' in $page2"
        awk -F '\t' -v p="$page2" -v s="$section2" -v n="$n2" '$1 == p && $2 == s && $3 == n && $4 !~ /^(as|-) / { found = 1 } END { exit !found }' \
            "$T/table" || complain "$block: nobody runs that one"
        ;;
    *)
        new=
        for test in $(docs_tests "$what"); do
            name=$(run_as "$test") || { complain "$block: there is no test $test"; continue; }
            grep -q '^docs_done' "$TOP/tests/$test" || complain "$test does not end with docs_done"
            ! on_trixie "$name" || new=1
        done
        [ -n "$new" ] || [[ $what == *'(here only: '* ]] || complain "$block: no test of it is in tests/on-trixie"
        ;;
    esac
done <"$T/table"
say "$(wc -l <"$T/blocks") blocks, $(grep -c '	- ' "$T/table") of which nobody runs"
[ "$bad" = 0 ] || fail 'what the pages say is not what is run'

#!/usr/bin/env bash
# Goal: each link of a Markdown page to something of this repository leads to a file that is there, and to a heading that
# is there where it names one.
. "$(dirname "$0")/../integration/lib.sh"
TOP=${TOP:-$(cd "$(dirname "$0")/../.." && pwd)}

# prose FILE: without what is in blocks and in `code`, where brackets are no links
prose() { awk '/^ *```/ { off = !off; next } off || /^    [^ ]/ && before == "" { next } { before = $0; gsub(/`[^`]*`/, "code"); print }' "$1"; }
# anchors FILE: what its headings can be found by, as GitHub makes it: small letters, words joined by "-", nothing else
# but "-" and "_"; a second one of the same words has -1 behind it
anchors() {
    awk '/^ *```/ { off = !off } !off && /^#+ / { sub(/^#+ +/, ""); gsub(/\]\([^)]*\)/, ""); print tolower($0) }' "$1" |
        sed -E 's/[^[:alnum:] _-]//g; s/ /-/g' | awk '{ print $0 (seen[$0] ? "-" seen[$0] : ""); seen[$0]++ }'
}
# links FILE: a line each, as it stands there
links() { prose "$1" | grep -oE '\]\([^) ]+\)' | sed 's/^](//; s/)$//'; }

# broken FOLDER: a line for each link of its pages that leads nowhere
broken() {
    local page link to anchor
    while IFS= read -r page; do
        while IFS= read -r link; do
            case $link in
            http://* | https://* | mailto:*) continue ;;
            esac
            to=${link%%#*} anchor=
            [ "$to" = "$link" ] || anchor=${link#*#}
            to=${to:+${page%/*}/$to}
            to=${to:-$page}
            if [ ! -e "$to" ]; then
                printf '%s: %s is not there\n' "${page#"$1"/}" "$link"
            elif [ -n "$anchor" ] && ! anchors "$to" | grep -qxF -e "$anchor"; then
                printf '%s: %s has no such heading\n' "${page#"$1"/}" "$link"
            fi
        done < <(links "$page")
    done < <(find "$1" \( -path "$1/build" -o -name .git \) -prune -o -name '*.md' ! -name '*.in.md' -print | sort)
}

say 'what is broken is found'
mkdir "$T/pages" "$T/pages/docs"
printf '%s\n' '# A page' '## What it is, and `why`' '[good](docs/b.md#ab-c) [good](#what-it-is-and-why) [good](docs/b.md)' \
    '`[no](link)` [gone](docs/c.md) [gone](docs/b.md#other) [gone](#what)' '```' '[no](link)' '```' '[far](https://example.com/x)' \
    '' '    [no](block)' >"$T/pages/a.md"
printf '%s\n' '# A/B: c' '[good](../a.md#a-page)' '## Two' '## Two' '[good](#two-1) [gone](#two-2) [gone](a.md)' >"$T/pages/docs/b.md"
expect_equal 'what is broken in two pages' 'a.md: docs/c.md is not there
a.md: docs/b.md#other has no such heading
a.md: #what has no such heading
docs/b.md: #two-2 has no such heading
docs/b.md: a.md is not there' "$(broken "$T/pages")"

say 'the pages of this repository'
count=$(find "$TOP" \( -path "$TOP/build" -o -name .git \) -prune -o -name '*.md' -print | while IFS= read -r page; do links "$page"; done | wc -l)
[ "$count" -gt 60 ] || fail "the pages have $count links"
found=$(broken "$TOP")
[ -z "$found" ] || fail "links that lead nowhere:"$'\n'"$found"
say "$count links"

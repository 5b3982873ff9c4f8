# The commands of README.md, docs/*.md and the manual pages, taken out of the page itself by the test that runs them. Which
# test that is stands in tests/docs.table, and package.docs fails where a block of a page is not in there.
# shellcheck shell=bash
TOP=${TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
DOCS_TABLE=$TOP/tests/docs.table

# docs_pages: all that the table is about
docs_pages() { (cd "$TOP" && printf '%s\n' README.md docs/*.md docs/man/*); }

# docs_blocks PAGE: a line for each line of its blocks, tabs between: the section ("-" above the first), the number of the
# block in it, what stands behind ```, the line. A block is between ``` and ```, is indented by four blanks, or is between
# .Bd and .Ed.
docs_blocks() {
    case $1 in
    docs/man/*)
        awk '
            /^\.Sh / { section = substr($0, 5); n = 0 }
            /^\.Bd -literal/ { within = 1; n++; next }
            /^\.Ed/ { within = 0 }
            within { gsub(/\\e/, "\\"); gsub(/\\-/, "-"); gsub(/\\&/, ""); print section "\t" n "\t\t" $0 }' "$TOP/$1"
        ;;
    *)
        awk '
            BEGIN { section = "-" }
            function out(line) { print section "\t" n "\t" info "\t" line }
            /^ *```/ {
                if (fence) { fence = 0; next }
                fence = 1; n++; indent = index($0, "`"); info = $0; sub(/^ *``` */, "", info); within = 0
                next
            }
            fence { out(substr($0, indent)); next }
            /^## / { section = substr($0, 4); n = 0 }
            /^    / && (within || blank) {
                if (!within) { within = 1; n++; info = "" }
                while (held-- > 0) out("")
                held = 0; blank = 0
                out(substr($0, 5))
                next
            }
            /^$/ { blank = 1; if (within) held++; next }
            { within = held = blank = 0 }' "$TOP/$1"
        ;;
    esac
}

# docs_table: a line for each block that it lists, tabs between: page, section, number, what becomes of it
docs_table() {
    awk -F ' *[|] *' -v OFS='\t' '!/^#/ && NF {
        split($3, of, "-")
        for (i = of[1]; i <= (of[2] ? of[2] : of[1]); i++) print $1, $2, i, $4
    }' "$DOCS_TABLE"
}

# docs_tests WORDS: those that the table names there
docs_tests() { case $1 in as\ * | -*) ;; *) printf '%s\n' ${1%%(*} ;; esac; }

# docs_text PAGE SECTION N: the block as it stands there
docs_text() { docs_blocks "$1" | awk -F '\t' -v s="$2" -v n="$3" '$1 == s && $2 == n { sub(/^[^\t]*\t[^\t]*\t[^\t]*\t/, ""); print }'; }

# docs_block PAGE SECTION N: the same, for a test that the table says runs it
export DOCS_TAKEN=${DOCS_TAKEN:-${T:-}/docs-taken.log}
DOCS_TEST=$(realpath "$0")
DOCS_TEST=${DOCS_TEST#"$TOP"/tests/}
docs_block() {
    local text
    docs_tests "$(docs_table | awk -F '\t' -v p="$1" -v s="$2" -v n="$3" '$1 == p && $2 == s && $3 == n { print $4 }')" |
        grep -xF "$DOCS_TEST" >/dev/null || fail "tests/docs.table does not say that $DOCS_TEST runs block $3 of '$2' in $1"
    text=$(docs_text "$@")
    [ -n "$text" ] || fail "$1 has no block $3 in '$2'"
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$DOCS_TAKEN"
    printf '%s\n' "$text"
}

# docs_done: at the end of such a test: it has taken every block that the table says it runs
docs_done() {
    local page section n words
    while IFS=$'\t' read -r page section n words; do
        docs_tests "$words" | grep -xF "$DOCS_TEST" >/dev/null || continue
        grep -qxF "$page	$section	$n" "$DOCS_TAKEN" || fail "block $n of '$section' in $page was not run, as tests/docs.table says"
    done < <(docs_table)
}

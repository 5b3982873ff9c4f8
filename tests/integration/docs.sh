# The lines that a document has in a section, for the tests that run them.
# shellcheck shell=bash
TOP=${TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}

# docs_block FILE HEADING N: the N-th block of indented lines below that heading, as it stands there
docs_block() {
    local text
    text=$(awk -v heading="## $2" -v n="$3" '
        /^## / { on = $0 == heading; next }
        on && /^    / { if (!within) { within = 1; block++ } if (block == n) print substr($0, 5); next }
        on && /^$/ && within { if (block == n) held = held "\n"; getline; if (/^    /) { if (block == n) print held substr($0, 5); held = ""; next } within = 0 }
        { within = 0 }' "$TOP/$1")
    [ -n "$text" ] || fail "$1 has no block $3 below '$2'"
    printf '%s\n' "$text"
}

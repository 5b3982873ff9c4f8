#!/usr/bin/env bash
# Goal: what --help, the manual pages and the completions of bash, zsh and fish say of a command are the same options,
# each of them in all of them; every option that the sources know is in a help; mandoc has nothing to say against the
# pages; the wire's numbers in adit-protocol(7) are those of docs/protocol.md.
. "$(dirname "$0")/../integration/lib.sh"
TOP=${TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$TOP/tests/lib/docs.sh"
need mandoc
bad=0
complain() { say "$*"; bad=1; }

# one NAME for each command, from adit --help
mapfile -t commands < <("$ADIT" --help | sed -nE '/^commands:/,/^$/s/^  ([a-z]+) .*/\1/p')
[ ${#commands[@]} -ge 10 ] || fail "adit --help lists ${#commands[@]} commands"

# options of a command's help: lines that begin with two spaces and a '-', up to where the words begin
help_options() { "$ADIT" "$@" --help | sed -nE 's/^  (-[^ ].*)/\1/p' | sed 's/  .*//' | grep -oE -e '--[a-z][a-z-]+' | sort -u; }
page_of() {
    case $1 in
    status | set | cancel) printf 'adit-jobs' ;;
    console | start) printf 'adit-vms' ;;
    *) printf 'adit-%s' "$1" ;;
    esac
}
page_options() { sed -nE '/^\.It /s/Fl -([a-z][a-z-]*)/\n--\1\n/gp' "$1" | grep -E '^--' | sort -u; }
# the same for those that stand behind a comma: .It Fl h , -help
page_more() { sed -nE 's/^\.It Fl .* , -([a-z][a-z-]*).*/--\1/p' "$1"; }

# differ WHERE WANT GOT: sorted lists; says what is missing and what is too much
differ() {
    local line
    while IFS= read -r line; do
        complain "$1: $line is missing"
    done < <(comm -23 <(printf '%s\n' "$2") <(printf '%s\n' "$3"))
    while IFS= read -r line; do
        complain "$1: there is no $line"
    done < <(comm -13 <(printf '%s\n' "$2") <(printf '%s\n' "$3"))
}

say 'manual pages'
declare -A wanted=()
for command in "${commands[@]}"; do
    page=$(page_of "$command")
    wanted[$page]+=$(help_options "$command")$'\n'
done
wanted[adit]=$(printf '%s\n' --help --version --psk --tls-creds)
for page in "${!wanted[@]}"; do
    file=$(ls "$TOP/docs/man/$page".[1-8] 2>/dev/null) || { complain "docs/man/: no page $page"; continue; }
    differ "${file#"$TOP"/}" "$(grep . <<<"${wanted[$page]}" | sort -u)" "$({ page_options "$file"; page_more "$file"; } | sort -u)"
done
for command in "${commands[@]}"; do
    grep -qE "^\.(It Cm|Xr) .*\b$command\b" "$TOP/docs/man/adit.1" || complain "docs/man/adit.1: nothing of adit $command"
done

say 'mandoc'
# pages of others need not be here
mandoc -T lint -W style "$TOP"/docs/man/*.[1-8] 2>"$T/mandoc.log" | grep -v 'STYLE: referenced manual not found: Xr' >"$T/lint.log"
[ ! -s "$T/lint.log" ] || complain "$(cat "$T/lint.log")"
while read -r name section; do
    [ -e "$TOP/docs/man/$name.$section" ] || complain "a page refers to $name($section), which is not there"
done < <(sed -nE 's/^\.Xr (adit[a-z.-]*) ([1-8]).*/\1 \2/p' "$TOP"/docs/man/* | sort -u)

say 'keys of adit.conf(5)'
# conf_keys SERVE|PEER|CLIENT, in the table of the sources; page_keys SECTION, in the page
conf_keys() { sed -nE "s/^ *\\{\"([a-z-]+)\", CONFIG_$1, .*/\1/p" "$TOP/cli/serve/config_keys.c" | sort; }
page_keys() { sed -nE "/^\.Ss Sections? $1/,/^\.S[sh] /s/^\.It Ic ([a-z-]+) .*/\1/p" "$TOP/docs/man/adit.conf.5" | sort; }
[ "$(conf_keys SERVE | wc -l)" -gt 5 ] && [ "$(conf_keys PEER | wc -l)" -gt 5 ] || fail 'no table of keys in cli/serve/config_keys.c'
differ 'adit.conf(5), [serve]' "$(conf_keys SERVE)" "$(page_keys serve)"
differ 'adit.conf(5), [peer ...]' "$(conf_keys PEER)" "$(page_keys peer)"
differ 'adit.conf(5), [client]' "$(conf_keys CLIENT)" "$(page_keys client)"
differ 'adit.conf(5), [network ...]' "$(conf_keys NETWORK)" "$(page_keys network)"
differ 'adit.conf(5), [storage ...]' "$(conf_keys STORAGE)" "$(page_keys storage)"
# its example is one, where the key, the program and the folder are there
make_psk
mkdir "$T/images"
docs_block docs/man/adit.conf.5 EXAMPLES 1 |
    sed "s|= /etc/adit/psk|= $PSK|; s|= /usr/bin/qemu-.*|= /bin/true|; s|= /var/lib/vms|= $T/images|" >"$T/adit.conf"
grep -q '^bandwidth = ' "$T/adit.conf" || fail 'no example in adit.conf(5)'
"$ADIT" serve --config "$T/adit.conf" --check-config >"$T/config.log" 2>&1 || complain "adit.conf(5), the example: $(cat "$T/config.log")"

say 'every option of the sources is in a help'
for command in "${commands[@]}"; do help_options "$command"; done | sort -u >"$T/all"
while IFS= read -r option; do
    grep -qx -e "--$option" "$T/all" || complain "no help tells of --$option"
done < <(grep -ohE '\{"[a-z][a-z-]+", (no|required|optional)_argument' "$TOP"/cli/*/*.[ch] | cut -d'"' -f2 | sort -u)

say 'the wire in adit-protocol(7)'
while read -r number name; do
    grep -qE "\b$number (Ta )?$name\b" "$TOP/docs/man/adit-protocol.7" || complain "adit-protocol(7): $number $name is missing"
done < <(sed -nE 's/^\| ([0-9]+) \| ([A-Z]+) \|.*/\1 \2/p' "$TOP/docs/protocol.md")

say 'completion in bash'
# bash_completes WORD...: what the last word can become, as bash would find it
bash_completes() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _adit
    printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"} | sort -u
}
. "$TOP/dist/completions/adit.bash"
[ "$(complete -p adit 2>/dev/null)" = 'complete -F _adit adit' ] || fail 'adit.bash completes nothing'
for command in "${commands[@]}"; do
    differ "adit.bash, $command" "$(help_options "$command")" "$(bash_completes "$ADIT" "$command" --)"
done
expect_equal 'commands in bash' "$(printf '%s\n' "${commands[@]}" | sort)" "$(bash_completes "$ADIT" '')"
expect_equal 'a command in bash' migrate "$(bash_completes "$ADIT" mi)"
expect_equal 'options of adit itself in bash' $'--help\n--version' "$(bash_completes "$ADIT" --)"
expect_equal 'a value in bash' $'all\ninc\nnone' "$(bash_completes "$ADIT" migrate --copy-storage '')"
expect_equal 'a value behind = in bash' $'suspend' "$(bash_completes "$ADIT" migrate --on-timeout = s)"
expect_equal 'a destination in bash' $'tls://' "$(bash_completes "$ADIT" check tl)"
expect_equal 'the command of adit run in bash' sha256sum "$(bash_completes "$ADIT" run tls://h --psk k -- sha256su)"
mkdir "$T/files" "$T/files/folder"
: >"$T/files/key file"
expect_equal 'a file in bash' "$T/files/folder"$'\n'"$T/files/key file" "$(bash_completes "$ADIT" serve --psk "$T/files/")"
expect_equal 'a folder in bash' "$T/files/folder" "$(bash_completes "$ADIT" serve --tls-creds "$T/files/")"
# an option that takes a value is completed with one, and the others are not
for command in "${commands[@]}"; do
    while IFS= read -r line; do
        option=$(grep -oE -m 1 -e '--[a-z][a-z-]+' <<<"$line" | head -n 1)
        # a second word in capitals is the value's name
        cur=
        if [[ $line =~ ^(-[a-zA-Z],\ )?--[a-z-]+\ [A-Z] ]]; then
            (__adit_value "$option") >/dev/null || complain "adit.bash: $command $option takes a value"
        else
            ! (__adit_value "$option") >/dev/null || complain "adit.bash: $command $option takes no value"
        fi
    done < <("$ADIT" "$command" --help | sed -nE 's/^  (-[^ ].*)/\1/p' | grep -e '^\(-., \)\?--' | sort -u)
done

if command -v fish >/dev/null; then
    say 'completion in fish'
    fish_completes() { HOME=$T fish --no-config -c "source '$TOP/dist/completions/adit.fish'; complete -C '$1'" 2>&1 | cut -f1 | sort -u; }
    for command in "${commands[@]}"; do
        differ "adit.fish, $command" "$(help_options "$command")" "$(fish_completes "adit $command --" | grep -e '^--')"
    done
    expect_equal 'commands in fish' "$(printf '%s\n' "${commands[@]}" | sort)" "$(fish_completes 'adit ')"
    expect_equal 'a value in fish' $'all\ninc\nnone' "$(fish_completes 'adit migrate --copy-storage ')"
else
    missing+=' fish'
fi
if command -v zsh >/dev/null; then
    say 'completion in zsh'
    for command in "${commands[@]}"; do
        differ "_adit, $command" "$(help_options "$command")" \
            "$(zsh -f "$TOP/tests/package/complete.zsh" "$TOP/dist/completions" "adit $command --" "$T/zdump" | grep -e '^--' | sed 's/=$//' | sort -u)"
    done
    expect_equal 'commands in zsh' "$(printf '%s\n' "${commands[@]}" | sort)" \
        "$(zsh -f "$TOP/tests/package/complete.zsh" "$TOP/dist/completions" 'adit ' "$T/zdump" | sort -u)"
else
    missing+=' zsh'
fi
docs_done
[ "$bad" = 0 ] || fail 'help, pages and completions do not tell the same'
[ -z "${missing:-}" ] || skip "not installed, so not completed:$missing (all else passed)"

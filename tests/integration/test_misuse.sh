#!/usr/bin/env bash
# Goal: whoever types it wrong gets the status and the one line that misuse.table has for it, and no other line. With
# --print it says what each of the table's commands gives, for whoever writes a new one.
. "$(dirname "$0")/lib.sh"
table=$(cd "$(dirname "$0")" && pwd)/misuse.table
print=${1:-}

# what the commands find: no credentials of this host's, and the files that a mistaken word may name
unset ADIT_PSK ADIT_TLS_CREDS XDG_STATE_HOME
export HOME=$T XDG_RUNTIME_DIR=$T
for f in /etc/adit/psk /etc/adit/adit.conf; do
    [ ! -e "$f" ] || skip "$f is there, and would be taken"
done
cd "$T" || exit 1
make_psk me
(umask 077; { cat "$PSK" && "$ADIT" keygen other; } >two; echo 'me:xyz' >badhex; echo 'no key' >nokey; : >empty)
cp "$PSK" loose
chmod 644 loose
echo text >file
mkfifo fifo
mkdir dir
mkdir -m 0755 open
mkdir shared && chmod 0777 shared

bad=0 lines=0
# one STATUS COMMAND LINE, as the table has them
one() {
    local want=$1 command=$2 line=$3 said got
    eval "set -- $command" || fail "the table: $command"
    said=$(timeout 20 "$ADIT" "$@" 2>&1 >"$T/out" </dev/null)
    got=$?
    said=${said//"$T"/\$T}
    lines=$((lines + 1))
    if [ -n "$print" ]; then
        printf '%s adit %s\n    %s\n' "$got" "$command" "$said"
    elif [ "$got" != "$want" ] || [ "$said" != "$line" ] || [ -s "$T/out" ]; then
        say "adit $command"
        printf '    want %s: %s\n    got  %s: %s\n%s' "$want" "$line" "$got" "$said" "$(head -c 300 "$T/out")" >&2
        bad=1
    fi
}

while IFS= read -r first; do
    case $first in
    '' | '#'*) ;;
    '= '*)
        # a file: = NAME TEXT, with \n for its lines
        first=${first#= }
        text=${first#* }
        text=${text//'$T'/"$T"}
        printf '%b' "$text" >"${first%% *}"
        ;;
    [0-9]' adit '*)
        IFS= read -r second || [ -n "$print" ] || fail "the table: no line for $first"
        one "${first%% *}" "${first#? adit }" "${second#    }"
        ;;
    *) fail "the table: $first" ;;
    esac
done <"$table"
[ "$bad" = 0 ] || fail 'the table and the program say different things'
[ "$lines" -ge 150 ] || fail "only $lines commands in the table"
[ -n "$print" ] || say "$lines commands"

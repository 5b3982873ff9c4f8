# A peer that lies: tests/helpers/liar.c, told what to say line by line. Sourced by the tests that need it.
# shellcheck shell=bash

LIAR=${ADIT%/cli/adit}/tests/liar
[ -x "$LIAR" ] || skip "the liar is not built: ${LIAR#"$TOP"/}"

# liar_start HOST WORD...: as proc liar; what it hears is in $T/liar.log
liar_start() {
    local host=$1
    shift
    [ -p "$T/liar.in" ] || mkfifo "$T/liar.in"
    [ -z "${LIAR_IN:-}" ] || exec {LIAR_IN}>&-
    proc_start liar "$host" sh -c 'in=$1; shift; exec "$@" <"$in"' sh "$T/liar.in" "$LIAR" "$@"
    exec {LIAR_IN}>"$T/liar.in"
    LIAR_MARK=1
}
# liar_listen: on dst, in the place of adit serve. liar_connect: on src, in the place of adit migrate
liar_listen() {
    liar_start dst listen "$DST_IP:$ADIT_PORT" "$T/psk"
    liar_heard '^listening'
}
liar_connect() {
    liar_start src connect "$ADIT_DEST" "$T/psk"
    liar_heard '^session psk:tester'
}
liar_end() {
    liar_tell quit
    proc_wait liar 5
    exec {LIAR_IN}>&-
    LIAR_IN=
}

liar_tell() { printf '%s\n' "$*" >&"$LIAR_IN"; }

# liar_mark: what was heard until now is forgotten
liar_mark() { LIAR_MARK=$(($(wc -l <"$T/liar.log") + 1)); }
# liar_find REGEX: the last such line since the mark
liar_find() { tail -n "+$LIAR_MARK" "$T/liar.log" | grep -aE -- "$1" | tail -n 1; }
# liar_heard REGEX [SECONDS]: waits for such a line
liar_heard() { wait_until "${2:-15}" "the liar hears '$1'" liar_find "$1" >/dev/null; }
# liar_cookie N KIND: the last cookie of that kind in stream N
liar_cookie() { liar_find "^line $1 .*\"kind\": ?\"$2\"" | sed -E 's/^line [0-9]+ //'; }

# cookie PHASE KIND JOB [JSON]: one, with JSON's members beside the head
cookie() {
    jq -cn --arg phase "$1" --arg kind "$2" --arg job "$3" --argjson rest "${4:-{\}}" \
        '{adit: 1, phase: $phase, kind: $kind, job: $job} + $rest'
}
OTHER_JOB=00112233445566778899aabbccddeeff
OTHER_HOST=ffffffffffffffffffffffffffffffff
THIS_HOST=0123456789abcdef0123456789abcdef

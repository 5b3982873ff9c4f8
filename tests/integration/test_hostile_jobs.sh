#!/usr/bin/env bash
# Goal: a peer that may migrate holds nobody up with jobs that it opens and says nothing in: neither another peer, nor
# its own question about a job, which a guest may be waiting for.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/hostile.sh"
TALKER=$HELPERS/../talker
[ -x "$TALKER" ] || skip 'the talker is not built'

mkdir -m 700 "$T/run" "$T/state"
SERVE_LINES="run-dir = $T/run
state-dir = $T/state"
MORE_SECTIONS="migrate = yes
[peer bad]
migrate = yes"
hostile_keys
serve_hostile
attack holds "tls://127.0.0.1:$PORT" "$T/bad" 2 control migrate 300
wait_until 20 "the oldest talk gives way" grep -q 'a talk without a job gives way' "$T/serve.log"
for who in good bad; do
    answer=$(timeout 20 "$TALKER" "tls://127.0.0.1:$PORT" "$T/$who" 0123456789abcdef0123456789abcdef \
        'recover={"state":"finish"}' 2>"$T/talker.log") || fail "$who has no answer: $(cat "$T/talker.log")"
    [[ $answer == *never* ]] || fail "$who is answered $answer"
done
# (a begin that is no VM's is refused for what it is, not for want of a place)
timeout 20 "$TALKER" "tls://127.0.0.1:$PORT" "$T/good" 0123456789abcdef0123456789abcdef begin >/dev/null 2>"$T/talker.log"
! grep -q 'many' "$T/talker.log" || fail "begin: $(cat "$T/talker.log")"
end_attack
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail "a sanitizer spoke"

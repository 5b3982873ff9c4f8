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

# and five peers, of which none has too many
for i in 1 2 3 4 5; do
    "$ADIT" keygen -o "$T/bad$i" "bad$i" || fail keygen
    cat "$T/bad$i" >>"$T/keys"
    printf '[peer bad%s]\nmigrate = yes\n' "$i" >>"$T/adit-tls.conf"
done
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
serve_hostile
attackers=()
for i in 1 2 3 4 5; do
    attack holds "tls://127.0.0.1:$PORT" "$T/bad$i" 1 control migrate 240
    attackers+=("$ATTACKER")
done
wait_until 20 "the oldest talk of all gives way" grep -q 'too many jobs that say nothing' "$T/serve.log"
! grep 'too many jobs of this peer' "$T/serve.log" || fail "a peer had too many"
answer=$(timeout 20 "$TALKER" "tls://127.0.0.1:$PORT" "$T/good" 0123456789abcdef0123456789abcdef \
    'recover={"state":"finish"}' 2>"$T/talker.log") || fail "no answer beside five: $(cat "$T/talker.log")"
[[ $answer == *never* ]] || fail "good is answered $answer"
for ATTACKER in "${attackers[@]}"; do end_attack; done
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail "a sanitizer spoke"

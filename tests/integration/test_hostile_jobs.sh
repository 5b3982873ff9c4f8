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
# late_words: good, who takes a moment to say what it wants, is still there to be answered. (The VM has no command line: it
# is refused for what it is, and not for want of a place.)
VM='{"vm":{"qemu":"7.2.22","arch":"x86_64","machine":"pc-i440fx-7.2","status":"running","running":true,
"memory":1073741824,"cpus":1},"disks":[]}'
late_words() {
    local kind answer
    for kind in begin check; do
        answer=$(timeout 20 "$TALKER" "tls://127.0.0.1:$PORT" "$T/good" 0123456789abcdef0123456789abcdef -0.5 \
            "$kind=$VM" 2>"$T/talker.log") || fail "no answer to a late $kind: $(cat "$T/talker.log")"
        [[ $answer == *launch* && $answer != *many* && $answer != *'most allowed'* ]] ||
            fail "a late $kind is answered $answer"
    done
}
hostile_keys
serve_hostile
attack holds "tls://127.0.0.1:$PORT" "$T/bad" 2 control migrate 300
wait_until 20 "the oldest talk gives way" grep -q 'a talk without a job gives way' "$T/serve.log"
for who in good bad; do
    answer=$(timeout 20 "$TALKER" "tls://127.0.0.1:$PORT" "$T/$who" 0123456789abcdef0123456789abcdef \
        'recover={"state":"finish"}' 2>"$T/talker.log") || fail "$who has no answer: $(cat "$T/talker.log")"
    [[ $answer == *never* ]] || fail "$who is answered $answer"
done
late_words
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
    # (240 talks, each opened anew as soon as it had to give way)
    attack opens "tls://127.0.0.1:$PORT" "$T/bad$i" 1 control migrate 240
    attackers+=("$ATTACKER")
done
wait_until 20 "the oldest talk of all gives way" grep -q 'too many jobs that say nothing' "$T/serve.log"
answer=$(timeout 20 "$TALKER" "tls://127.0.0.1:$PORT" "$T/good" 0123456789abcdef0123456789abcdef \
    'recover={"state":"finish"}' 2>"$T/talker.log") || fail "no answer beside five: $(cat "$T/talker.log")"
[[ $answer == *never* ]] || fail "good is answered $answer"
late_words
! grep 'too many jobs of this peer' "$T/serve.log" || fail "a peer had too many"
! grep 'peer=[^ ]*good.*gives way' "$T/serve.log" || fail "good's talk gave way"
for ATTACKER in "${attackers[@]}"; do end_attack; done
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail "a sanitizer spoke"

# Hostile runs: a good session beside an attacker, and what it notices.
# shellcheck shell=bash
FLOOD=$HELPERS/../flood
need taskset
cpu=$(taskset -cp $$ | sed 's/.*[^0-9]//') # the last one that we may use

# attack ARG...: flood ARG..., or what ARG... starts with a path, pinned to one processor, and with BURN_TOO one that burns
# beside it; sets ATTACKER and BURNER; returns when it has begun
attack() {
    : >"$T/attack.out"
    [[ $1 == /* ]] || set -- "$FLOOD" "$@"
    taskset -c "$cpu" "$@" >"$T/attack.out" 2>"$T/attack.log" &
    ATTACKER=$!
    started "$ATTACKER"
    BURNER=
    [ -z "${BURN_TOO:-}" ] || { taskset -c "$cpu" "$FLOOD" burn & BURNER=$! && started "$BURNER"; }
    [ "$2" = burn ] || wait_until 20 "the attack begins" grep -qE '^(ready|listening|begun)' "$T/attack.out"
}
end_attack() {
    # shellcheck disable=SC2086
    kill -KILL "$ATTACKER" $BURNER 2>/dev/null
    # shellcheck disable=SC2086
    wait "$ATTACKER" $BURNER 2>/dev/null || :
}

# hostile_keys: keys good and bad for who comes, and a configuration for serve in $T/adit-tls.conf: good may have its
# echo. Another in $T/adit-tcp.conf, over bare TCP, where good's address may
hostile_keys() {
    "$ADIT" keygen -o "$T/good" good && "$ADIT" keygen -o "$T/bad" bad || fail keygen
    cat "$T/good" "$T/bad" >"$T/keys"
    chmod 600 "$T/keys"
    printf '[serve]\nlisten = 127.0.0.1:0\npsk = %s\n%s\n[peer good]\nforward = unix:%s/echo\n%s\n' "$T/keys" \
        "${SERVE_LINES:-}" "$T" "${MORE_SECTIONS:-}" >"$T/adit-tls.conf"
    printf '[serve]\nlisten = 127.0.0.1:0\ninsecure = yes\n%s\n[peer tcp:127.0.0.1]\nforward = unix:%s/echo\n' \
        "${SERVE_LINES:-}" "$T" >"$T/adit-tcp.conf"
    "$FLOOD" echo-listen "$T/echo" &
    started $!
    wait_until 10 "the echo" test -S "$T/echo"
}
# serve_hostile [SCHEME]
serve_hostile() { serve_with --config "$T/adit-${1:-tls}.conf"; }

# What costs the most, of a peer without any right
declare -A FLOODS=([tcp-tiny]="$HELPERS/hostile 127.0.0.1 PORT tiny 16 60"
    [tcp-stay]="$HELPERS/hostile 127.0.0.1 PORT stay 16 60"
    [tcp-collide]="$HELPERS/hostile 127.0.0.1 PORT collide 16 60"
    [tcp-open]="$HELPERS/hostile 127.0.0.1 PORT open 16 60"
    [rekey]="$HELPERS/rekey 127.0.0.1 PORT $T/bad 30 60")

# hostile_run NAME ATTACK...: a run of some seconds; DEST and PORT in ATTACK are the serving adit's. A NAME that begins
# with tcp- is one over bare TCP. Sets, for NAME,
# P99[NAME] and MAX[NAME] (us) of the good session's echo, NEWCOMER[NAME] (ms) until a new one is in, the median of
# three, TERM_MS[NAME] from SIGTERM to the end, LOG[NAME] (bytes a minute) and RSS[NAME] (KiB, the most that it grew)
declare -A P99 MAX NEWCOMER TERM_MS LOG RSS
hostile_run() {
    local i name=$1 at pid began words=() took=() scheme=tls with=(--psk "$T/good") before
    shift
    [[ $name != tcp-* ]] || scheme=tcp with=(--insecure)
    serve_hostile "$scheme"
    before=$(rss_kib "$SERVE")
    began=$(now_ms)
    words=("${@//DEST/$scheme://127.0.0.1:$PORT}")
    words=("${words[@]/#PORT/$PORT}")
    start_forward "$scheme://127.0.0.1:$PORT" "${with[@]}" -L "unix:$T/near=unix:$T/echo"
    attack "${words[@]}"
    at=$("$FLOOD" echo "$T/near" "${ECHO_S:-5}") || fail "$name: the good session has no echo"
    P99[$name]=$(awk '{ print $6 }' <<<"$at") MAX[$name]=$(awk '{ print $8 }' <<<"$at")
    for i in 1 2 3; do
        at=$(now_ms)
        "$ADIT" forward "$scheme://127.0.0.1:$PORT" "${with[@]}" -L "unix:$T/near$i=unix:$T/echo" --background \
            --pid-file "$T/new$i.pid" 2>"$T/new$i.log" || fail "$name: a newcomer does not get in: $(cat "$T/new$i.log")"
        took+=($(($(now_ms) - at)))
        pid=$(cat "$T/new$i.pid")
        started "$pid"
        kill "$pid"
        wait_until 10 "a newcomer leaves" gone "$pid"
    done
    NEWCOMER[$name]=$(printf '%s\n' "${took[@]}" | sort -n | sed -n 2p)
    RSS[$name]=$(($(peak_kib "$SERVE") - before))
    kill -0 "$ATTACKER" || fail "$name: the attack has ended by itself: $(cat "$T/attack.log")"
    at=$(now_ms)
    kill -TERM "$SERVE"
    wait "$SERVE" || fail "$name: adit serve ended with $?"
    TERM_MS[$name]=$(($(now_ms) - at))
    end_attack
    LOG[$name]=$(($(stat -c %s "$T/serve.log") * 60000 / ($(now_ms) - began)))
    kill "$FORWARD" 2>/dev/null
    ! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail "$name: a sanitizer spoke"
    say "$name: echo p99 ${P99[$name]} us, max ${MAX[$name]} us; newcomer ${NEWCOMER[$name]} ms;" \
        "SIGTERM ${TERM_MS[$name]} ms; log ${LOG[$name]} bytes a minute; RSS ${RSS[$name]} KiB more"
}

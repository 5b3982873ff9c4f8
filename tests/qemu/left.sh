# What is left behind: processes, sockets, taps and files that were not there before.
# shellcheck shell=bash

# The places for temporary files outside of $T are this test's own, and empty (the mounts are, see lib.sh).
LEFT_PLACES=()
for place in /run /var/tmp /dev/shm; do
    case $T/:$TOP/:$QEMU_CACHE/ in
    *"$place"/*) continue ;;
    esac
    # a link such as /var/run's target is followed
    [ -d "$place" ] && mount -t tmpfs none "$place" 2>/dev/null && LEFT_PLACES+=("$place")
done
# the folder for sockets of adits, which stays where it was made
for place in /run/adit "$XDG_RUNTIME_DIR/adit"; do
    (umask 077 && mkdir -p "$place" 2>/dev/null) || true
done

# left_now: a line each for what there is on dst (and files on both: they share them): its kind, then what it is.
# The tests' own logs, and their temporary files, are left out.
left_now() {
    # (the socket of an adit migrate that was killed is taken away by the next adit)
    find "$T" "${LEFT_PLACES[@]}" -mindepth 1 \( -path '*/adit/jobs' -o -path "$T/*.log" -o -path "$T/*.json" -o -path "$T/left.*" \
        -o -path "$T/qemu" -o -path "$T/sanitizer.*" -o -path "$T/listeners.txt" -o -path "$T/.failed" -o -path "$T/recover.*" -o -path "$T/state-*" \) -prune -o -printf '%y %p\n' | sed 's/^s /socket /; s/^d /folder /; s/^f /file /' |
        grep -vE '^(folder /run/adit(/jobs)?|socket /run/adit/jobs/[0-9a-f]+\.sock)$' || true
    # (those are adit migrate's own on the source: where it was killed the next one clears them)
    # of the state only unsettled jobs are left-overs
    find "$T" -path "$T/state-*/journal/*" -type f ! -name '*.lock' 2>/dev/null | sed 's/^/record /' || true
    unix_listeners dst | sed 's/^/listening /'
    listeners dst | sed 's/^/listening /'
    in_host dst ip -o link show type tun | sed -E 's/^[0-9]+: ([^:@]+).*/interface \1/'
    # those that only look, or that hold the network, are no processes of the host; a session of sshd's ends when sshd sees that
    # its client has gone (ClientAliveInterval)
    host_processes dst | sed '/ nsenter \| ss -H\| sleep infinity\| sshd: \| sshd-session: \| sshd-auth: \|\/openssh\/sshd-/d; s/^/process /'
}

# left_mark: what is there now may stay
left_mark() { left_now | sort >"$T/left.before"; }

# left_nothing [REGEX]: waits (20 s from the mark of left_clock) until nothing is there that was not at the mark; what
# matches the REGEX may be. Then nothing that was there may be missing but what matches LEFT_GONE
left_nothing() {
    local end=$((LEFT_CLOCK + 20000)) new
    while :; do
        left_now | sort >"$T/left.after"
        new=$(comm -13 "$T/left.before" "$T/left.after" | grep -vE -- "${1:-^$}" || true)
        [ -n "$new" ] || break
        [ "$(now_ms)" -lt "$end" ] || fail "left behind: $(paste -sd, <<<"$new")"
        sleep 0.2
    done
    new=$(comm -23 "$T/left.before" "$T/left.after" | grep -E '^(file|folder)' | grep -vE -- "${LEFT_GONE:-^$}" || true)
    [ -z "$new" ] || fail "removed, though it was there before: $(paste -sd, <<<"$new")"
}

# left_clock: the 20 s begin now
LEFT_CLOCK=0
left_clock() { LEFT_CLOCK=$(now_ms); }

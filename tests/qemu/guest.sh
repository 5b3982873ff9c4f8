# What the guest says on its serial port (tests/guest/main.c), and what it can be told.
# shellcheck shell=bash

guest_lines() { if [ -e "${VM_LOG[$1]}" ]; then wc -l <"${VM_LOG[$1]}"; else echo 0; fi; }

# guest_find NAME REGEX [AFTER]: the last whole line that matches, of those after the first AFTER lines
guest_find() { "$HEARS" "${VM_LOG[$1]}" "${3:-0}" "$2"; }
guest_said() { guest_find "$@" >/dev/null; }

# guest_hears NAME REGEX SECONDS AFTER [COUNT]: waits for so many such lines (1) and prints the last one; status 1 if they
# do not come; the guest may not say BAD meanwhile
guest_hears() {
    local said status=0
    said=$("$HEARS" -b -w "$3" -n "${5:-1}" "${VM_LOG[$1]}" "$4" "$2") || status=$?
    [ "$status" != 2 ] || fail "the guest $1 says: $said"
    [ "$status" -le 1 ] || fail "guest_hears $*: status $status"
    printf '%s\n' "$said"
    return "$status"
}

# guest_wait NAME REGEX SECONDS [AFTER]: waits for such a line and prints it; the guest may not say BAD meanwhile
guest_wait() { guest_hears "$1" "$2" "$3" "${4:-0}" || fail "'$2' from the guest $1: not within $3 s"; }

# guest_good NAME: fails if it ever found a bad page or sector
guest_good() {
    local bad
    ! bad=$(grep -a -m 1 -o 'BAD.*' "${VM_LOG[$1]}" 2>/dev/null) || fail "the guest $1 says: $bad"
}

# guest_ready NAME [SECONDS]: up, and at work on every disk that its VM has for it
guest_ready() {
    local said
    said=$(guest_wait "$1" '^READY.*[0-9]$' "${2:-20}")
    guest_has_disks "$1" "$said"
}
# guest_has_disks NAME LINE: so many disks stand in that line of it
guest_has_disks() {
    local has
    has=$(sed -nE 's/.* disks=([0-9]+)( .*)?$/\1/p' <<<"$2")
    # one that somebody else started
    [ -n "${VM_DISKS[$1]:-}" ] || vm_count_disks "$1"
    [ "$has" = "${VM_DISKS[$1]}" ] || fail "the guest $1 works on ${has:-no} disks, and its VM has ${VM_DISKS[$1]} for it: $2"
}

# guest_value NAME KEY: from its last heartbeat: beat, pass, pages, disk0 ...
guest_value() {
    local line regex=".* $2=([0-9]+)"
    line=$(guest_find "$1" '^HB .* (ok|BAD.*)$') || fail "no heartbeat of the guest $1"
    [ "$2" != beat ] || regex='^HB ([0-9]+)'
    [[ ! $line =~ $regex ]] || printf '%s\n' "${BASH_REMATCH[1]}"
}

# guest_beats_on NAME [BEATS]: it counts on (8 beats, about a second), nothing bad found
guest_beats_on() {
    guest_hears "$1" '^HB .*[k0-9]' 20 "$(guest_lines "$1")" "${2:-8}" >/dev/null ||
        fail "${2:-8} more heartbeats of the guest $1: not within 20 s"
    guest_good "$1"
}

# guest_reaches NAME KEY N SECONDS: waits until that value of the heartbeat is N or more
guest_reaches() { wait_until "$4" "$2=$3 of the guest $1" guest_is_at "$1" "$2" "$3"; }
guest_is_at() {
    guest_good "$1"
    guest_said "$1" '^HB ' && [ "$(guest_value "$1" "$2")" -ge "$3" ]
}

# guest_send NAME CHARACTERS
guest_send() { printf %s "$2" | socat -u - "UNIX-CONNECT:${VM_SERIAL[$1]}" || fail "the serial port of $1 cannot be written"; }

# guest_ask NAME CHARACTER REGEX [SECONDS]: sends it, waits for the answer, prints it
guest_ask() {
    local lines
    lines=$(guest_lines "$1")
    guest_send "$1" "$2"
    guest_wait "$1" "$3" "${4:-20}" "$lines"
}
guest_quiet() { guest_ask "$1" q '^QUIET( .*[0-9])?$' >/dev/null; }     # writes no more to the disks; they are flushed
guest_still() { guest_ask "$1" s '^STILL.*[0-9]$' >/dev/null; }     # dirties no more RAM
guest_go() { guest_ask "$1" r '^RUNNING' >/dev/null; }              # goes on with both
# guest_verify NAME [SECONDS]: has it check all RAM and all sectors of all its disks; prints its answer
guest_verify() {
    local said
    said=$(guest_ask "$1" v '^VERIFY ok ram=.*[0-9]$' "${2:-60}")
    guest_has_disks "$1" "$said"
    printf '%s\n' "$said"
}

# guest_continues FROM TO: TO's first heartbeat is the one after FROM's last, so nothing was lost or done twice.
# (The line that was being printed when the guest moved may be torn; hence one to spare.)
guest_continues() {
    local last first
    last=$(guest_value "$1" beat)
    # what was plugged in since it began, it does not know
    VM_DISKS[$2]=${VM_DISKS[$1]:-}
    guest_wait "$2" "^HB [0-9]+ t=" 20 >/dev/null
    first=$(grep -a -m 1 -E '^HB [0-9]+ t=' "${VM_LOG[$2]}" | sed -E 's/^HB ([0-9]+).*/\1/')
    [ "$first" -gt "$last" ] && [ "$first" -le $((last + 2)) ] ||
        fail "the guest's heartbeat went from $last on $1 to $first on $2"
}

# beats_watch: from now on $T/beats.log has when each guest said anything (once in 10 ms, when it runs)
declare -A BEATS_FROM=()
beats_watch() {
    ! proc_runs beats || return 0
    proc_start beats - "$BEATS" "$T/*/serial*.log" "$T/run-*/vms/*/serial*.log"
}

# beats_gap VM TWIN: the longest time in ms in which neither said anything, since adit migrate was started; when, in ms after
# that start, it began; and the longest before VM said its last, which is before the switchover
beats_gap() {
    awk -v from="${BEATS_FROM[$MIGRATE]}" -v a="${VM_LOG[$1]}" -v b="${VM_LOG[$2]}" '
        ($2 == a || $2 == b) && $1 >= from {
            if (last && $1 - last > most) { most = $1 - last; at = last }
            if (last && $2 == a && $1 - last > before) before = $1 - last
            last = $1
        }
        END { printf "%d %d %d\n", most / 1000, (at - from) / 1000, before / 1000 }' "$T/beats.log"
}

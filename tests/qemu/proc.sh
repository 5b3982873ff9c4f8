# Processes in the background, by name.
# shellcheck shell=bash

declare -A PROC_PID=() PROC_LOG=()

# proc_start NAME HOST COMMAND...: in that host ("-" for none), output to $T/NAME.log, pid in ${PROC_PID[NAME]}
proc_start() {
    local name=$1 host=$2
    shift 2
    PROC_LOG[$name]=$T/$name.log
    # now, not when the process gets round to it: what an earlier one of that name said is no longer to be found
    : >"$T/$name.log"
    if [ "$host" = - ]; then
        "$@" </dev/null >"$T/$name.log" 2>&1 &
    else
        nsenter --net="/proc/${HOST_PID[$host]}/ns/net" -- "$@" </dev/null >"$T/$name.log" 2>&1 &
    fi
    PROC_PID[$name]=$!
}

# proc_runs NAME
proc_runs() {
    local state
    [ -n "${PROC_PID[$1]:-}" ] || return 1
    { read -r _ _ state _ <"/proc/${PROC_PID[$1]}/stat"; } 2>/dev/null || return 1
    [ "$state" != Z ]
}
proc_gone() { ! proc_runs "$1"; }

# proc_wait NAME SECONDS: waits for its end; its exit status is in PROC_STATUS
proc_wait() {
    wait_until "$2" "the end of $1" proc_gone "$1"
    PROC_STATUS=0
    wait "${PROC_PID[$1]}" || PROC_STATUS=$?
    unset "PROC_PID[$1]"
}

# proc_stopped NAME: by SIGSTOP
proc_stopped() {
    local state
    { read -r _ _ state _ <"/proc/${PROC_PID[$1]}/stat"; } 2>/dev/null || return 1
    [ "$state" = T ]
}

# proc_kill NAME [SIGNAL]: sends TERM, or that; does not wait
proc_kill() { kill "-${2:-TERM}" "${PROC_PID[$1]}" 2>/dev/null || true; }

# proc_end NAME: ends it, by force after 3 s
proc_end() {
    local i
    [ -n "${PROC_PID[$1]:-}" ] || return 0
    proc_kill "$1"
    for ((i = 0; i < 60; i++)); do
        proc_runs "$1" || break
        sleep 0.05
    done
    proc_kill "$1" KILL
    wait "${PROC_PID[$1]}" 2>/dev/null || true
    unset "PROC_PID[$1]"
}

proc_end_all() {
    local name i
    disown -a                       # or bash would tell of each that it was killed
    for name in "${!PROC_PID[@]}"; do
        proc_kill "$name" KILL
    done
    for name in "${!PROC_PID[@]}"; do
        for ((i = 0; i < 60; i++)); do
            proc_runs "$name" || break
            sleep 0.05
        done
    done
}

# proc_list PATTERN: "pid command" of each process of this test whose command line matches (zombies have none)
proc_list() {
    local d cmd
    for d in /proc/[0-9]*; do
        cmd=$({ tr '\0' ' ' <"$d/cmdline"; } 2>/dev/null) || continue
        [ "${d#/proc/}" != $$ ] && [[ $cmd =~ $1 ]] && printf '%s %s\n' "${d#/proc/}" "$cmd"
    done
    return 0
}

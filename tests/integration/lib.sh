# What the integration tests stand on: a folder of their own, adits that are ended with the test, a key.
# shellcheck shell=bash
set -u
. "$(dirname "${BASH_SOURCE[0]}")/../lib/say.sh"

ADIT=${ADIT:?the program to test}
HELPERS=${HELPERS:-}
SANITIZE=${SANITIZE:-}
T=$(mktemp -d "${FOLDERS:-/tmp}/adit-it.XXXXXX") || exit 1
PSK=$T/psk
STARTED=()

clean_up() {
    local status=$? pid f
    if [ "$status" != 0 ] && [ "$status" != 77 ]; then
        for f in "$T"/*.log; do
            [ -s "$f" ] && { printf -- '--- %s\n' "${f##*/}"; tail -n 40 "$f"; } >&2
        done
    fi
    exec 2>/dev/null # the shell names every job that it sees killed
    for pid in "${STARTED[@]}"; do
        kill -KILL "$pid"
    done
    wait
    rm -rf "$T"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# started PID: ended with the test, should it still run
started() { STARTED+=("$1"); }

make_psk() { "$ADIT" keygen -o "$PSK" "${1:-tester}" || fail "keygen"; }

# tls or ssh: over ssh the scripts that take both adits from here have a far adit for each forwarding one, started by a
# real sshd
ADIT_SCHEME=${ADIT_SCHEME:-tls}
[ "$ADIT_SCHEME" = tls ] || { . "$(dirname "${BASH_SOURCE[0]}")/ssh.sh" && make_ssh_keys; }

# start_serve ARG...: a serving adit on a free port of 127.0.0.1; sets SERVE and PORT; its log is $T/serve.log
start_serve() {
    [ "$ADIT_SCHEME" = tls ] || { serve_over_ssh "$@"; return; }
    serve_with --listen 127.0.0.1:0 "$@"
}
# serve_with ARG...: with these words alone, which have it listen somewhere
serve_with() {
    : >"$T/serve.log"
    "$ADIT" serve "$@" 2>"$T/serve.log" &
    SERVE=$!
    started "$SERVE"
    wait_until 10 "adit serve listens" grep -q 'listening on' "$T/serve.log"
    PORT=$(sed -n 's/.*listening on [^ ]*:\([0-9]*\) .*/\1/p' "$T/serve.log")
}

# the same over ssh: what sshd is to run; SERVE is known once there is a forwarding adit
serve_over_ssh() {
    local words=()
    [ "$1" != --psk ] || shift 2
    : >"$T/serve.log"
    words=(adit serve --stdio --run-dir "$T/run-far" "$@")
    FAR="$(printf '%q ' "${words[@]}") 2>>$T/serve.log"
    PORT=0
    [ -n "${SSHD:-}" ] || start_sshd "DisableForwarding yes"
}
far_pid() { ps -eo pid=,args= | awk -v of="--run-dir $T/run-far" '$2 == "adit" && $4 == "--stdio" && index($0, of) { print $1; exit }'; }

# start_forward ARG...: a forwarding adit, in --background mode so that it is ready on return; sets FORWARD; its log is
# $T/forward.log
start_forward() {
    : >"$T/forward.log"
    if [ -n "${FAR:-}" ]; then
        [ "$2" = --psk ] || fail "not over ssh: adit forward $*"
        set -- ssh://far --ssh-config "$T/ssh/config" --remote-command "$FAR" "${@:4}"
    fi
    "$ADIT" forward "$@" --background --pid-file "$T/forward.pid" 2>"$T/forward.log" ||
        fail "adit forward: $(cat "$T/forward.log")"
    FORWARD=$(cat "$T/forward.pid")
    started "$FORWARD"
    [ -z "${FAR:-}" ] || SERVE=$(far_pid)
}

# gone PID: it has ended, whether or not somebody has taken note of that
gone() {
    local state
    state=$(sed -n 's/^State:[^A-Z]*\([A-Z]\).*/\1/p' "/proc/$1/status" 2>/dev/null)
    [ -z "$state" ] || [ "$state" = Z ] || [ "$state" = X ]
}

end_forward() {
    kill -TERM "$FORWARD"
    wait_until 10 "adit forward ends" gone "$FORWARD"
    [ ! -e "$T/forward.pid" ] || fail "the pid file was left behind"
}

# end_adits: both are told to end, and must do so with nothing to complain of (a leak, for one)
end_adits() {
    end_forward
    if [ -n "${FAR:-}" ]; then
        wait_until 10 "the far adit ends" gone "$SERVE"
    else
        kill -TERM "$SERVE"
        wait "$SERVE" || fail "adit serve ended with status $?"
    fi
    for f in serve forward; do
        ! grep -E 'Sanitizer|runtime error' "$T/$f.log" || fail "a sanitizer spoke in $f.log"
    done
}

# rss_kib PID
rss_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }
# peak_kib PID: the most that it ever had
peak_kib() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }

# free_port: a TCP port of 127.0.0.1 that nobody listens on
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        port_listens "$port" || { printf '%s\n' "$port"; return; }
    done
}

# port_listens PORT: whether somebody listens there, on IPv4; without a connection
port_listens() {
    local want
    want=$(printf ':%04X' "$1")
    awk -v want="$want" '$4 == "0A" && substr($2, length($2) - 4) == want { found = 1 } END { exit !found }' /proc/net/tcp
}

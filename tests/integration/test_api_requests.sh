#!/usr/bin/env bash
# Goal: what is malformed, huge, slow, unknown or not allowed gets a clear 4xx from the API, in JSON where the request
# could be read at all, and adit serve goes on; nobody gets at the API on TCP without the token; no more connections
# are open than there may be.
. "$(dirname "$0")/lib.sh"
need curl jq socat

make_psk
mkdir -m 700 "$T/run"
mkdir "$T/vms"
TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$TOKEN" >"$T/token"

serve_refuses() {
    local pattern=$1
    shift
    ! timeout 10 "$ADIT" serve --listen 127.0.0.1:0 --psk "$PSK" --run-dir "$T/run" --state-dir "$T/state" "$@" >"$T/out" 2>&1 ||
        fail "adit serve $* was taken"
    grep -q -e "$pattern" "$T/out" || fail "adit serve $*: $(cat "$T/out")"
}
chmod 644 "$T/token"
serve_refuses 'others may read it; chmod 0600' --api-listen 127.0.0.1:0 --api-token-file "$T/token"
chmod 600 "$T/token"
(umask 077 && echo short >"$T/short")
serve_refuses 'at least 16 characters' --api-listen 127.0.0.1:0 --api-token-file "$T/short"
serve_refuses 'needs --api-token-file' --api-listen 127.0.0.1:0
serve_refuses 'needs --api-listen' --api-token-file "$T/token"
serve_refuses 'give an absolute path' --vms vms
serve_refuses 'No such file' --vms "$T/nowhere"

start_serve --psk "$PSK" --run-dir "$T/run" --state-dir "$T/state" --vms "$T/vms" --api-listen :0 --api-token-file "$T/token"
API=$T/run/api.sock
WEB=$(sed -n 's,.*API on \(http://127\.0\.0\.1:[0-9]*\)$,\1,p' "$T/serve.log")
[ -n "$WEB" ] || fail "--api-listen :0 does not mean 127.0.0.1: $(cat "$T/serve.log")"
expect_equal 'mode of the socket' 600 "$(stat -c %a "$API")"

# ask STATUS CURL-ARGUMENT...: over the unix socket; the body is in $T/body, the headers in $T/head
ask() {
    local want=$1 got
    shift
    got=$(curl -sS --max-time 25 --unix-socket "$API" -o "$T/body" -D "$T/head" -w '%{http_code}' "$@") || true
    expect_equal "status of curl $*: $(head -c 300 "$T/body")" "$want" "$got"
}
# refused STATUS CODE PATTERN CURL-ARGUMENT...: with the API's error as the body
refused() {
    local status=$1 code=$2 pattern=$3
    shift 3
    ask "$status" "$@"
    jq -e --arg code "$code" --arg pattern "$pattern" 'keys == ["error"] and (.error | keys == ["code", "message"] and
        .code == $code and (.message | test($pattern)))' "$T/body" >/dev/null || fail "curl $*: $(cat "$T/body")"
}
# raw PATTERN FORMAT...: what printf makes of it, as it is; the answer's first line matches
raw() {
    local pattern=$1
    shift
    # shellcheck disable=SC2059
    printf "$@" >"$T/sent"
    # in one piece: who is still writing when the answer comes may never read it
    { cat "$T/sent" && sleep 0.3; } | timeout 25 socat -b 65536 -t 1 - "UNIX-CONNECT:$API" >"$T/raw" 2>/dev/null || true
    head -n 1 "$T/raw" | grep -qE -- "$pattern" || fail "wanted $pattern, the answer was: $(head -c 300 "$T/raw")"
}

ask 200 http://adit/tasks
expect_equal 'no tasks' '{"tasks":[]}' "$(cat "$T/body")"
ask 200 http://adit/vms
expect_equal 'no VMs' '{"vms":[],"others":[]}' "$(cat "$T/body")"
ask 200 -I http://adit/vms
ask 200 http://adit/openapi.json
cmp -s "$T/body" "$(dirname "$0")/../../docs/openapi.json" || fail 'GET /openapi.json is not docs/openapi.json'
ask 200 http://adit/metrics
grep -q '^adit_jobs{status="running"} 0$' "$T/body" || fail "metrics: $(cat "$T/body")"

# unknown paths and names
for path in / /vm /vms/ /vms/a/b /tasks/0123/ /tasks/0123/events/1 /VMS /vms/a/migrate/now; do
    refused 404 not-found 'openapi.json' "http://adit$path"
done
refused 404 not-found 'no VM "a"' http://adit/vms/a
refused 404 not-found 'no VM "../x"' http://adit/vms/..%2Fx
refused 404 not-found 'zero byte' http://adit/vms/a%00b
refused 404 not-found 'no job "0123"' http://adit/tasks/0123
refused 404 not-found 'no job' http://adit/tasks/0123/events
refused 404 not-found 'no job' -X PATCH -d '{"timeout":1}' http://adit/tasks/0123
refused 404 not-found 'no job' -X DELETE http://adit/tasks/0123

# methods
allow() { grep -i '^allow:' "$T/head" | tr -d '\r' | sed 's/^[^:]*: //'; }
refused 405 method GET -X PUT http://adit/vms
expect_equal 'Allow of /vms' 'GET, HEAD' "$(allow)"
refused 405 method POST http://adit/vms/a/migrate
expect_equal 'Allow of /vms/a/migrate' POST "$(allow)"
refused 405 method PATCH -X POST -d '{}' http://adit/tasks/0123
expect_equal 'Allow of /tasks/0123' 'GET, HEAD, PATCH, DELETE' "$(allow)"
refused 405 method GET -X OPTIONS http://adit/metrics
ask 405 -I http://adit/tasks/0123/events
raw '^HTTP/1.1 501 ' 'BREW /vms HTTP/1.1\r\nHost: a\r\n\r\n'

# queries and bodies
refused 400 usage "'\\?'" 'http://adit/tasks?from=1'
migrate=(-X POST http://adit/vms/a/migrate)
refused 400 usage 'JSON object is needed' "${migrate[@]}"
refused 400 usage 'no JSON' -d '{"host":' "${migrate[@]}"
refused 400 usage 'no JSON' -d '{"host":"tls://a","host":"tls://b"}' "${migrate[@]}"
refused 400 usage 'no object' -d '[1]' "${migrate[@]}"
refused 400 usage 'host is missing' -d '{}' "${migrate[@]}"
refused 400 usage 'host: a text' -d '{"host":1}' "${migrate[@]}"
refused 400 usage '"colour" is not known' -d '{"host":"tls://a","colour":1}' "${migrate[@]}"
refused 400 usage 'max_bandwidth: a whole number' -d '{"host":"tls://a","max_bandwidth":-1}' "${migrate[@]}"
refused 400 usage 'compression needs' -d '{"host":"tls://a","compression":"zstd"}' "${migrate[@]}"
refused 400 usage 'on-timeout' -d '{"host":"tls://a","on_timeout":"explode"}' "${migrate[@]}"
# what is the daemon's own matter
for member in '"qmp":"/x"' '"state_dir":"/x"' '"auth":{"psk":"/etc/shadow"}' '"dest":"tls://b"' '"psk":"/x"' '"tls_creds":"/x"'; do
    refused 400 usage 'is not known' -d "{\"host\":\"tls://a\",$member}" "${migrate[@]}"
done
refused 404 not-found 'no VM "a"' -d '{"host":"tls://a"}' "${migrate[@]}"
printf '\377\376' >"$T/bytes"
refused 400 usage 'no JSON' --data-binary "@$T/bytes" "${migrate[@]}"
head -c 60000 /dev/zero | tr '\0' '[' >"$T/deep"
refused 400 usage 'no JSON' --data-binary "@$T/deep" "${migrate[@]}"

# huge ones
head -c 70000 /dev/zero | tr '\0' ' ' >"$T/big"
ask 413 --data-binary "@$T/big" "${migrate[@]}"
ask 413 -H 'Transfer-Encoding: chunked' --data-binary "@$T/big" "${migrate[@]}"
raw '^HTTP/1.1 413 ' 'POST /vms/a/migrate HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n'
raw '^HTTP/1.1 4' 'POST /vms/a/migrate HTTP/1.1\r\nContent-Length: -1\r\n\r\n'
ask 400 -H "X-Long: $(head -c 9000 /dev/zero | tr '\0' x)" http://adit/vms
raw '^HTTP/1.1 4' 'GET /%09000d HTTP/1.1\r\n\r\n' 0
# malformed ones
raw '^HTTP/1.1 400 ' 'GARBAGE\r\n\r\n'
raw '^HTTP/1.1 400 ' '\26\3\1\2\0\1\0\1\374\3\3\r\n\r\n'
raw '^HTTP/1.1 400 ' 'GET /vms HTTP/1.1\r\nno colon here\r\n\r\n'
# pipelined ones are answered in order
raw '^HTTP/1.1 200 ' 'GET /tasks HTTP/1.1\r\n\r\nGET /nope HTTP/1.1\r\n\r\n'
grep -q '^HTTP/1.1 404 ' "$T/raw" || fail 'the second of two pipelined requests was not answered'

# the token
web() { curl -sS --max-time 10 -o "$T/body" -D "$T/head" -w '%{http_code}' "$@"; }
for path in /vms /tasks /metrics /openapi.json /nope; do
    expect_equal "status of $path without the token" 401 "$(web "$WEB$path")"
done
jq -e '.error.code == "auth"' "$T/body" >/dev/null || fail "401: $(cat "$T/body")"
grep -qi '^www-authenticate: bearer' "$T/head" || fail 'no WWW-Authenticate'
for wrong in "Bearer ${TOKEN%?}" "Bearer ${TOKEN}0" 'Bearer ' "Basic $TOKEN" "Bearer ${TOKEN%?}_" "$TOKEN"; do
    expect_equal "status with '$wrong'" 401 "$(web -H "Authorization: $wrong" "$WEB/tasks")"
done
expect_equal 'status with the token' 200 "$(web -H "Authorization: Bearer $TOKEN" "$WEB/tasks")"

# a socket that is no VM, and says nothing
socat UNIX-LISTEN:"$T/vms/silent.sock",fork,unlink-early PIPE &
started $!
wait_until 5 'a silent socket' [ -S "$T/vms/silent.sock" ]
ask 200 http://adit/vms
jq -e '.vms == [] and (.others | length == 1 and (.[0].socket | endswith("silent.sock")))' "$T/body" >/dev/null ||
    fail "a socket that is no VM: $(cat "$T/body")"
# a client that goes away while it is looked at
timeout 0.3 curl -s --unix-socket "$API" http://adit/vms >/dev/null
sleep 1.2
ask 200 http://adit/tasks

# a slow request, while all else goes on; it takes all the time that there is
{ printf 'POST /vms/a/migrate HTTP/1.1\r\nContent-Length: 100\r\n\r\n{'; sleep 17; } |
    timeout 30 socat -t 20 - "UNIX-CONNECT:$API" >"$T/slow" &
slow=$! slow_from=$(now_ms)
started "$slow"

# more connections than there may be: those that say nothing are hung up on, and then others are served
before=$(peak_kib "$SERVE")
for _ in $(seq 80); do
    socat "UNIX-CONNECT:$API" PIPE 2>/dev/null &
    started $!
done
wait_until 5 'the limit of connections' grep -q 'API has 64 connections' "$T/serve.log"
fds=$(find "/proc/$SERVE/fd" -mindepth 1 | wc -l)
[ "$fds" -lt 104 ] || fail "$fds descriptors are open"
ask 200 --max-time 25 http://adit/tasks
after=$(peak_kib "$SERVE")
[ -n "$SANITIZE" ] || [ $((after - before)) -lt 8192 ] || fail "80 idle clients took $((after - before)) KiB"

wait "$slow"
took=$(($(now_ms) - slow_from))
grep -q '^HTTP/1.1 408 ' "$T/slow" || fail "a slow request: $(head -c 300 "$T/slow")"
tail -n 1 "$T/slow" | jq -e '.error.code == "timeout"' >/dev/null || fail "408 without its reason: $(cat "$T/slow")"

# the commands, where there are no jobs
export XDG_RUNTIME_DIR=$T
"$ADIT" jobs --run-dir "$T/run" >"$T/out" 2>&1 || fail "adit jobs: $(cat "$T/out")"
expect_equal 'adit jobs --json' '{"tasks":[]}' "$("$ADIT" jobs --api "$API" --json)"
# what an adit migrate that was killed has left is taken away
(umask 077 && mkdir "$T/run/jobs")
socat "UNIX-LISTEN:$T/run/jobs/0123.sock" PIPE &
stale=$!
wait_until 5 'a socket' [ -S "$T/run/jobs/0123.sock" ]
kill -KILL $stale
wait $stale 2>/dev/null
[ -S "$T/run/jobs/0123.sock" ] || fail 'the socket went with its process'
"$ADIT" jobs --run-dir "$T/run" >"$T/out" 2>&1 || fail "adit jobs: $(cat "$T/out")"
[ ! -e "$T/run/jobs/0123.sock" ] || fail 'a stale socket stayed'
! "$ADIT" status --run-dir "$T/run" >"$T/out" 2>&1 || fail 'adit status of nothing succeeded'
grep -q 'there are no jobs here' "$T/out" || fail "adit status: $(cat "$T/out")"
! "$ADIT" cancel 0123 --run-dir "$T/run" >"$T/out" 2>&1 || fail 'adit cancel of nothing succeeded'
grep -q 'no job "0123"' "$T/out" || fail "adit cancel: $(cat "$T/out")"
! "$ADIT" jobs --api "$T/nowhere" >"$T/out" 2>&1 || fail 'adit jobs of nobody succeeded'
grep -q 'no adit answers at' "$T/out" || fail "adit jobs: $(cat "$T/out")"

kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"
! grep -E 'Sanitizer|runtime error' "$T/serve.log" || fail 'a sanitizer spoke'
[ ! -e "$API" ] || fail 'the socket was left behind'
! grep -q "$TOKEN" "$T/serve.log" || fail 'the token was printed'
say "a slow request was refused after $took ms"

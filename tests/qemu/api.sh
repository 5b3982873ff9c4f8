# The API of an adit serve on src, asked with curl, and every answer held against its own openapi.json.
# shellcheck shell=bash disable=SC2034

# api_serve [OPTION]...: on src, as proc "source", with the VMs whose monitors are in $T/vms
api_serve() {
    (umask 077 && mkdir -p "$T/vms" "$T/run-src")
    API=$T/run-src/api.sock
    proc_start source src "$ADIT" serve --listen 127.0.0.1:0 "${ADIT_SERVE_CREDS[@]}" --vms "$T/vms" \
        --run-dir "$T/run-src" --state-dir "$T/state-src" "$@"
    wait_until 10 'the API' api_serves
    curl -sS --unix-socket "$API" http://adit/openapi.json >"$T/openapi.json"
}
api_serves() {
    proc_runs source || fail "adit serve on src ended: $(tail -n 1 "${PROC_LOG[source]}")"
    [ -S "$API" ]
}

# api_vm NAME: its monitor is in the folder
api_vm() { ln -sfn "${VM_QMP[$1]}" "$T/vms/$1.sock"; }

# api_fits SCHEMA FILE: each value in FILE
api_fits() {
    local wrong
    wrong=$(jq -r --slurpfile doc "$T/openapi.json" --argjson schema "$1" -f "$TESTS_QEMU/openapi.jq" "$2") ||
        fail "no JSON: $(head -c 300 "$2")"
    [ -z "$wrong" ] || fail "not as openapi.json has it: $(head -n 3 <<<"$wrong"): $(head -c 600 "$2")"
}

# api STATUS METHOD TEMPLATE [NAME] [CURL-ARGUMENT]...: the answer is in $T/body.json
api() {
    local want=$1 method=$2 template=$3 path=$3 got schema
    shift 3
    case $path in *'{'*)
        path=${path/'{'*'}'/$1}
        shift
        ;;
    esac
    got=$(curl -sS --max-time 20 --unix-socket "$API" -X "$method" -o "$T/body.json" -w '%{http_code}' "$@" "http://adit$path") ||
        fail "curl $method $path: $?"
    expect_equal "status of $method $path $*: $(head -c 300 "$T/body.json")" "$want" "$got"
    schema=$(jq -c --arg path "$template" --arg method "${method,,}" --arg status "$want" '.components.responses as $r |
        .paths[$path][$method].responses | (.[$status] // .default) | (if has("$ref") then $r.Error else . end)
        | .content["application/json"].schema // empty' "$T/openapi.json")
    [ -n "$schema" ] || fail "openapi.json has no $method $template"
    api_fits "$schema" "$T/body.json"
}

# api_start VM MEMBERS: a task; its id is in TASK
api_start() {
    api 202 POST '/vms/{name}/migrate' "$1" -d "{\"host\":\"$ADIT_DEST\"${2:+,$2}}"
    TASK=$(jq -r .id "$T/body.json")
}
api_task() { curl -sS --unix-socket "$API" "http://adit/tasks/${2:-$TASK}" | jq -r "$1"; }
api_task_is() { [ "$(api_task "$1" "${3:-}")" = "$2" ]; }

# api_reaches PHASE: the task is in it, and in the phases that copy something has been copied
api_reaches() { wait_until 30 "the $1 phase" api_is_in "$1"; }
api_is_in() {
    api_task_is '.ended' null || fail "the task ended: $(api_task .message)"
    case $1 in
    disks) api_task_is '.phase == "disks" and .numbers.disk_done_bytes > 0' true ;;
    ram) api_task_is '.phase == "ram" and .numbers.ram_total_bytes > 0' true ;;
    *) api_task_is .phase "$1" ;;
    esac
}

# api_ended [SECONDS]: the task has ended, and its Task is in order
api_ended() {
    wait_until "${1:-60}" "the end of the task ($(api_task .phase))" api_task_is '.ended != null' true
    api 200 GET '/tasks/{id}' "$TASK"
}

# api_metrics_check FILE: Prometheus' text format: a metric's samples stand together behind its TYPE, and none twice
api_metrics_check() {
    awk '
        function bad(why) { print "line " NR ": " why ": " $0; failed = 1 }
        /^# HELP [a-z_]+ ./ { next }
        /^# TYPE [a-z_]+ (counter|gauge)$/ { if ($3 in type) bad("a second TYPE"); type[$3] = $4; now = $3; next }
        /^#/ || !/^[a-z_][a-z0-9_]*(\{[a-z]+="([^"\\]|\\["\\n])*"(,[a-z]+="([^"\\]|\\["\\n])*")*\})? -?[0-9.e+-]+$/ { bad("no sample"); next }
        { name = $0; sub(/[{ ].*/, "", name); key = $0; sub(/ [^ ]*$/, "", key) }
        name != now { bad("not behind its TYPE") }
        key in seen { bad("twice") }
        type[name] == "counter" && name !~ /_total$/ { bad("a counter without _total") }
        { seen[key] = 1; n++ }
        END { if (!n) { print "no samples"; failed = 1 } exit failed }' "$1" >"$T/metrics.log" ||
        fail "metrics: $(head -n 3 "$T/metrics.log")"
    [ "$(tail -c 1 "$1" | od -An -c | tr -d ' ')" = '\n' ] || fail 'the metrics do not end with a line'
}
# api_metric NAME TASK: its value
api_metric() {
    curl -sS --unix-socket "$API" http://adit/metrics |
        awk -v name="$1" -v job="job=\"$2\"" 'index($0, name "{") == 1 && index($0, job) && !n++ { print $NF }'
}

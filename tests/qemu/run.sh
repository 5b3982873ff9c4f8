#!/usr/bin/env bash
# Runs the tests on real QEMU, one more at a time than there are processors: run.sh [-al] [-r FILE] [NAME]...
#
# Those of this folder, and of tests/libvirt, whose names then begin with libvirt-.
#
# Only those whose names match one of the NAMEs, or all but the whole kill table, which takes hours (-a: that too). Each test has a log in build/check/, a folder of its own for
# temporary files, and a time limit. -l lists them. -r appends the results to FILE: a line each, with tabs between:
# passed, failed or skipped; the name; seconds; the reason. What ran on another release already (RELEASE:NAME stands there,
# with the same QEMU) does not run again.
#
# A test says in comments at its head what the runner has to know:
#     # On: each QEMU        run once on every version (its name then ends with @VERSION); else on the system's
#     # Limit: 300 s         its time limit (180)
#     # Alone                not beside another one
#     # Sanitizers too       once more, as NAME+asan, with the program built with ASan and UBSan
#     # Points               takes the build with ASan and UBSan only, since that has the points of base/point.h
#     # Sanitizers only      with that one alone
#     # Whole table          takes long: only with -a, or when it is named
#     # Over: ssh ssh+tls@10.0   once more, as NAME+ssh and NAME+ssh+tls@10.0, over these schemes, on that QEMU
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
. "$here/qemus.sh"
logs=$top/build/check
# the programs under test
release=${ADIT:-$top/build/release/cli/adit} sanitized=${ADIT_ASAN:-$top/build/asan-ubsan/cli/adit}
results=/dev/null
list=
all=
while getopts alr: option; do
    case $option in
    a) all=1 ;;
    l) list=1 ;;
    r) results=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
mkdir -p "$logs"
status=0
# what is left to chance: a test that draws takes this, which is another one at each commit that is not of documents alone
if [ -z "${ADIT_SEED:-}" ]; then
    ADIT_SEED=$(git -C "$top" log -1 --format=%H -- . ':!docs' ':!*.md' 2>/dev/null | cksum | cut -d' ' -f1)
    git -C "$top" rev-parse HEAD >/dev/null 2>&1 || ADIT_SEED=$((RANDOM * 32768 + RANDOM))
fi
export ADIT_SEED

wanted() {
    local name
    [ ${#names[@]} -gt 0 ] || return 0
    for name in "${names[@]}"; do
        [[ $1 =~ $name ]] && return 0
    done
    return 1
}
names=("$@")

# the system's own, and those that the project means to pass on: a version that is not there is a visible skip
mapfile -t versions < <({ qemus_list | awk '{ print $1 }'; echo 10.0; } | awk '!seen[$0]++')

report() {
    local verdict=$1 name=$2 seconds=$3 reason=$4
    printf '%-8s %-44s %5s s%s\n' "$verdict" "$name" "$seconds" "${reason:+  $reason}"
    printf '%s\t%s\t%s\t%s\n' "$verdict" "$name" "$seconds" "$reason" >>"$results"
}

# run_one NAME FILE QEMU LIMIT PROGRAM SCHEME: in the background; ends with 1 if the test failed
run_one() {
    local name=$1 file=$2 limit=$4 program=$5 log=$logs/$1.log begin=$EPOCHSECONDS code=0 reason verdict temporary
    temporary=$(mktemp -d "${TMPDIR:-/tmp}/adit-run.XXXXXX")
    TMPDIR=$temporary QEMU=$3 ADIT=$program ADIT_SCHEME=$6 timeout -k 10 "$limit" bash "$file" >"$log" 2>&1 </dev/null &
    # timeout ends the test, and the test's namespace takes along all that it started
    trap "kill $!; wait; rm -rf '$temporary'; exit 1" TERM
    wait $! || code=$?
    rm -rf "$temporary"
    case $code in
    0) verdict=passed reason= ;;
    77) verdict=skipped reason=$(sed -n 's/^SKIP: //p' "$log" | tail -n 1) ;;
    124 | 137) verdict=failed reason="not within $limit s; see ${log#"$top"/}" ;;
    *) verdict=failed reason="$(grep -a -m 1 '^FAIL: ' "$log" || tail -n 1 "$log"); see ${log#"$top"/}" ;;
    esac
    report "$verdict" "$name" $((EPOCHSECONDS - begin)) "$reason"
    # what it drew
    sed -n 's/^drawn: /         /p' "$log"
    sed -nE 's/^SKIPPED PART: ([^:]*): (.*)/\1\t\2/p' "$log" | while IFS=$'\t' read -r part reason; do
        report skipped "$name ($part)" 0 "$reason"
    done
    [ "$verdict" != failed ]
}

# they wait for guests, rates and time limits more than they work
slots=$(($(nproc) + 1))
running=0
left_out=() ran_there=()
pids=()
await() {
    while [ "$running" -gt "$1" ]; do
        wait -n || status=1
        running=$((running - 1))
    done
}
trap 'kill ${pids[@]+"${pids[@]}"} 2>/dev/null; wait; exit 130' INT TERM

# those of the whole kill table come last, more of them at a time: they take turns among themselves (kill.sh)
mapfile -t files < <(grep -L '^# Whole table' "$here"/test-*.sh "$top"/tests/libvirt/test-*.sh; grep -l '^# Whole table' "$here"/test-*.sh | sort -r)
for file in "${files[@]}"; do
    name=$(basename "$file" .sh)
    name=${name#test-}
    [ "${file%/*}" = "$here" ] || name=libvirt-$name
    limit=$(sed -nE '1,20s/^# Limit: ([0-9]+) s.*/\1/p' "$file")
    alone=$(sed -n '1,20s/^# Alone.*/1/p' "$file")
    whole=$(sed -n '1,20s/^# Whole table.*/1/p' "$file")
    if [ -z "$all" ] && [ ${#names[@]} = 0 ] && [ -n "$whole" ]; then
        left_out+=("$name")
        continue
    fi
    on=('')
    ! sed -n '1,20p' "$file" | grep -q '^# On: each QEMU' || on=("${versions[@]}")
    ! sed -n '1,20p' "$file" | grep -q '^# Sanitizers too' || on+=(+asan)
    ! sed -n '1,20p' "$file" | grep -q '^# Sanitizers only' || on=(+asan)
    read -ra over < <(sed -nE '1,20s/^# Over: (.*)/\1/p' "$file")
    on+=(${over[@]+"${over[@]/#/+}"})
    for version in "${on[@]}"; do
        full=$name program=$release scheme=${ADIT_SCHEME:-tls}
        ! sed -n '1,20p' "$file" | grep -q '^# Points' || program=$sanitized
        case $version in
        +asan) full+=+asan version='' program=$sanitized ;;
        +ssh*)
            full+=$version scheme=${version#+} version=
            case $scheme in *@*) version=${scheme#*@} scheme=${scheme%@*} ;; esac
            ;;
        ?*) full+=@$version ;;
        esac
        wanted "$full" || continue
        [ -z "$list" ] || { echo "$full"; continue; }
        if ran=$(awk -F '\t' -v name="$full" '$1 != "skipped" && $2 ~ /:/ { at = index($2, ":")
            if (substr($2, at + 1) == name && name ~ /@/) { print substr($2, 1, at - 1); exit } }' "$results") && [ -n "$ran" ]; then
            ran_there+=("$ran:$full")
            continue
        fi
        qemu=$(if [ -n "$version" ]; then qemu_for "$version"; else command -v qemu-system-x86_64; fi)
        if [ -z "$qemu" ]; then
            report skipped "$full" 0 "QEMU $version is not to be had here${QEMU_MISSING:+: $QEMU_MISSING}"
            continue
        fi
        await "$((alone ? 0 : (whole ? 4 : 1) * slots - 1))"
        run_one "$full" "$file" "$qemu" "${limit:-180}" "$program" "$scheme" &
        pids+=($!)
        running=$((running + 1))
        [ -z "$alone" ] || await 0
    done
done
await 0
[ ${#left_out[@]} = 0 ] || [ -n "$list" ] || printf 'left out, as they take long (-a): %s\n' "${left_out[*]}"
[ ${#ran_there[@]} = 0 ] || printf 'not again, as they ran on another release: %s\n' "${ran_there[*]}"
exit $status

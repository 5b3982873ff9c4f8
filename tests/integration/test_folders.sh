#!/usr/bin/env bash
# Goal: a folder or a file that was mistyped is named, in one line and with status 1, by every command that looks for
# something in it, and nothing is made there; never is it said that all is well. Adit's own folder, which nobody has made yet, is no error.
. "$(dirname "$0")/lib.sh"

make_psk
nope=$T/nope file=$T/file other=$T/other
: >"$file"
mkdir -m 700 "$other"
# wrong WHAT ARG...: status 1, one line, which names WHAT; nothing on standard output
wrong() {
    local what=$1 status
    shift
    timeout 10 "$ADIT" "$@" >"$T/out" 2>"$T/said" </dev/null
    status=$?
    expect_equal "status of adit $*: $(cat "$T/said" "$T/out")" 1 "$status"
    expect_equal "standard output of adit $*" "" "$(cat "$T/out")"
    expect_equal "lines of adit $*: $(cat "$T/said")" 1 "$(wc -l <"$T/said")"
    grep -qF -- "$what" "$T/said" || fail "adit $* does not name $what: $(cat "$T/said")"
    [ ! -e "$nope" ] || fail "adit $* has made $nope"
}
for dir in "$nope" "$file" "$file/x" "$other"; do
    wrong "$dir" recover --state-dir "$dir"
    wrong "$dir" recover --state-dir "$dir" --json
    wrong "$dir" recover --state-dir "$dir" 0123abcd
    wrong "$dir" recover --state-dir "$dir" 0123abcd --run-here
done
for dir in "$nope" "$file" "$file/x"; do
    wrong "$dir" jobs --run-dir "$dir"
    wrong "$dir" jobs --run-dir "$dir" --json
    wrong "$dir" status --run-dir "$dir"
    wrong "$dir" status x --run-dir "$dir"
    wrong "$dir" set x --postcopy --run-dir "$dir"
    wrong "$dir" cancel x --run-dir "$dir"
    for command in "jobs" "status" "status x" "set x --postcopy" "cancel x"; do
        # shellcheck disable=SC2086
        wrong "$dir" $command --api "$dir"
    done
done
serve=(serve --listen 127.0.0.1:0 --psk "$PSK")
migrate=(migrate --qmp "$T/qmp" --psk "$PSK" tls://127.0.0.1)
for dir in "$file" "$file/x"; do
    wrong "$dir" "${serve[@]}" --allow-migrate --run-dir "$T/run" --state-dir "$dir"
    wrong "$dir" "${serve[@]}" --allow-migrate --run-dir "$dir"
    wrong "$dir" "${migrate[@]}" --state-dir "$dir"
done
for dir in "$nope" "$file/x"; do
    wrong "$dir" "${serve[@]}" --allow-migrate --allow-launch /bin/true --images "$dir"
    wrong "$dir" "${serve[@]}" --allow-migrate --allow-launch "$dir"
    wrong "$dir" "${serve[@]}" --allow-migrate --launch-hook "$dir"
    wrong "$dir" "${serve[@]}" --vms "$dir"
    wrong "$dir" "${serve[@]}" --api "$dir/api.sock" --run-dir "$T/run" --state-dir "$T/state"
    wrong "$dir" "${serve[@]}" --api-listen 127.0.0.1:0 --api-token-file "$dir"
    wrong "$dir" serve --listen 127.0.0.1:0 --psk "$dir"
    wrong "$dir" serve --listen 127.0.0.1:0 --tls-creds "$dir"
    wrong "$dir" serve --config "$dir"
    wrong "$dir" forward --psk "$dir" -L "unix:$T/a=unix:$T/b" tls://127.0.0.1
    wrong "$dir" forward --ssh-config "$dir" -L "unix:$T/a=unix:$T/b" ssh://127.0.0.1
    wrong "$dir" forward --psk "$PSK" --background --pid-file "$dir/pid" -L "unix:$T/a=unix:$T/b" tls://127.0.0.1:1
    wrong "$dir" keygen -o "$dir/key" x
done
wrong "$file" "${serve[@]}" --allow-migrate --allow-launch /bin/true --images "$file"
wrong "$file" "${serve[@]}" --vms "$file"

# (own folders that nobody has made; as root in a file system of our own)
own() {
    if [ "$(id -u)" != 0 ]; then
        env XDG_RUNTIME_DIR="$T/runtime" XDG_STATE_HOME="$T/xdg" "$ADIT" "$@"
    else
        unshare --mount sh -c 'mount -t tmpfs none /var/lib && mount -t tmpfs none /run && "$@" && [ ! -e /var/lib/adit ]' sh "$ADIT" "$@"
    fi
}
mkdir -p -m 700 "$T/runtime"
if [ "$(id -u)" != 0 ] || unshare --mount true 2>/dev/null; then
    expect_equal 'adit recover where adit has never been' 'nothing is unfinished here' "$(own recover 2>&1)"
    expect_equal 'adit recover --json there' '{"event":"end","settled":0,"left":0}' "$(own recover --json 2>&1)"
    expect_equal 'adit jobs --json there' '{"tasks":[]}' "$(own jobs --json 2>&1)"
    own recover 0123abcd >"$T/said" 2>&1 && fail 'a job is recovered that is not there'
    grep -q 0123abcd "$T/said" || fail "it does not name the job: $(cat "$T/said")"
    [ ! -e "$T/xdg" ] || fail 'adit recover makes a folder'
else
    say 'note: no mount namespace here; own folders were not tried'
fi

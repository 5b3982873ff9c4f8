#!/usr/bin/env bash
# Goal: wrong words give status 2 and one line that names them and the way to the help; help and version go to standard
# output with status 0; keygen makes what --psk takes, and overwrites nothing.
. "$(dirname "$0")/lib.sh"

# misuse PATTERN ARG...: status 2, nothing on standard output, one line that matches PATTERN
misuse() {
    local pattern=$1 status
    shift
    timeout 10 "$ADIT" "$@" >"$T/out" 2>"$T/said"
    status=$?
    expect_equal "status of adit $*: $(cat "$T/said")" 2 "$status"
    expect_equal "standard output of adit $*" "" "$(cat "$T/out")"
    expect_equal "lines of adit $*: $(cat "$T/said")" 1 "$(wc -l <"$T/said")"
    grep -q -e "$pattern" "$T/said" || fail "adit $*: $(cat "$T/said")"
    grep -q -e '--help$' "$T/said" || fail "adit $*: no way to the help: $(cat "$T/said")"
}
# works PATTERN ARG...: status 0 and PATTERN on standard output, nothing on standard error
works() {
    local pattern=$1
    shift
    timeout 10 "$ADIT" "$@" >"$T/out" 2>"$T/said" </dev/null || fail "adit $*: status $?"
    expect_equal "standard error of adit $*" "" "$(cat "$T/said")"
    grep -q -e "$pattern" "$T/out" || fail "adit $*: $(cat "$T/out")"
}

works '^usage: adit COMMAND' --help
works '^adit [0-9]*\.[0-9]*\.[0-9]*$' --version
for command in serve forward run migrate check jobs status set cancel keygen; do
    works "^usage: adit $command" "$command" --help
    works "^  $command " --help
    misuse "no option --nope" "$command" --nope
    misuse "no option -z" "$command" -z
done
timeout 10 "$ADIT" >"$T/out" 2>"$T/said"
expect_equal "status of adit alone" 2 $?
expect_equal "standard output of adit alone" "" "$(cat "$T/out")"
grep -q '^usage: adit COMMAND' "$T/said" || fail "adit alone does not say how it is used"
misuse 'no command "nope"' nope
misuse 'no option --nope' --nope

# every long option of a command is in its help
for command in serve forward run migrate check jobs status set cancel keygen; do
    for option in $("$ADIT" "$command" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -e '--[a-z-]+'); do
        "$ADIT" "$command" "$option=x" --help >"$T/out" 2>&1
        ! grep -q 'no option' "$T/out" || fail "adit $command --help tells of $option, which there is not"
    done
done

make_psk
psk=(--psk "$PSK")
pair=(-L "unix:$T/a=unix:$T/b")
misuse 'DEST is missing' forward "${pair[@]}" "${psk[@]}"
misuse '-L LOCAL=REMOTE is missing' forward tls://h "${psk[@]}"
misuse 'one DEST' forward tls://h tls://i "${pair[@]}" "${psk[@]}"
misuse '-L needs a value' forward tls://h "${psk[@]}" -L
misuse 'write LOCAL=REMOTE' forward tls://h "${psk[@]}" -L unix:/a
misuse 'for a port write tcp:127.0.0.1:8080=' run tls://h "${psk[@]}" -L 8080=tcp:localhost:80 -- true
misuse "must begin with '/'" forward tls://h "${psk[@]}" -L unix:a=unix:/b
misuse 'the port is missing' forward tls://h "${psk[@]}" -L unix:/a=tcp:host
misuse 'brackets' forward tls://h "${psk[@]}" -L unix:/a=tcp:::1:80
misuse 'no destination' forward h "${pair[@]}" "${psk[@]}"
misuse 'sftp:// is no scheme' forward sftp://h "${pair[@]}" "${psk[@]}"
# (nor what a shell would take for more than a name)
misuse '"$(id)" is no host name that ssh takes' forward 'ssh://$(id)' "${pair[@]}"
misuse 'ssh does not take the user "$(id)"' forward 'ssh://$(id)@h' "${pair[@]}"
misuse '--psk and ssh:// cannot go together' forward ssh://h "${pair[@]}" "${psk[@]}"
misuse '--insecure and ssh+tls:// cannot go together' forward ssh+tls://h "${pair[@]}" --insecure
misuse '--remote-command goes with ssh://' forward tls://h "${pair[@]}" "${psk[@]}" --remote-command adit
misuse '--stdio takes no credentials' serve --stdio "${psk[@]}"
misuse 'standard input is neither a pipe nor a socket' serve --stdio --allow-forward unix:/x
misuse 'tls:// needs --psk FILE or --tls-creds DIR' forward tls://h "${pair[@]}"
misuse '--psk and --tls-creds cannot go together' forward tls://h "${pair[@]}" "${psk[@]}" --tls-creds "$T"
misuse '--insecure and --psk cannot go together' forward tcp://h "${pair[@]}" --insecure "${psk[@]}"
misuse '--psk was given twice' forward tls://h "${pair[@]}" "${psk[@]}" "${psk[@]}"
misuse '--insecure and tls:// cannot go together' forward tls://h "${pair[@]}" --insecure
misuse '--psk and tcp:// cannot go together' forward tcp://h "${pair[@]}" "${psk[@]}"
misuse 'add --insecure' forward tcp://h "${pair[@]}"
misuse 'an identity in DEST' forward tls://me@h "${pair[@]}" --tls-creds "$T"
misuse '--background takes no value' forward tls://h "${pair[@]}" "${psk[@]}" --background=yes
misuse '--log-level "loud"' forward tls://h "${pair[@]}" "${psk[@]}" --log-level loud

misuse 'DEST and -- COMMAND are missing' run "${psk[@]}" -L "x=unix:$T/a"
misuse '"-- COMMAND" is missing' run tls://h "${psk[@]}" -L "x=unix:$T/a" virsh
misuse 'COMMAND is missing' run tls://h "${psk[@]}" -L "x=unix:$T/a" --
misuse '-L LOCAL=REMOTE or --libvirt is missing' run tls://h "${psk[@]}" -- true
misuse 'no destination' run "${psk[@]}" -L "x=unix:$T/a" -- true
misuse 'write NAME=REMOTE' run tls://h "${psk[@]}" -L "x y=unix:$T/a" -- true
misuse 'write NAME=REMOTE' run tls://h "${psk[@]}" -L "..=unix:$T/a" -- true
misuse 'there is a "x" already' run tls://h "${psk[@]}" -L "x=unix:$T/a" -L "x=unix:$T/b" -- true
misuse 'both \$ADIT_A_B' run tls://h "${psk[@]}" -L "a-b=unix:$T/a" -L "A.b=unix:$T/b" -- true
misuse 'ADIT_TLS_CREDS, which has a meaning already' run tls://h "${psk[@]}" -L "tls-creds=unix:$T/a" -- true
misuse '{dir} has a meaning already' run tls://h "${psk[@]}" -L "dir=unix:$T/a" -- true
misuse 'is no address' run tls://h "${psk[@]}" -L x=y -- true
misuse '{migrate} needs --libvirt' run tls://h "${psk[@]}" -L "x=unix:$T/a" -- virsh --migrateuri '{migrate}'
misuse '--libvirt-dir needs --libvirt' run tls://h "${psk[@]}" -L "x=unix:$T/a" --libvirt-dir "$T" -- true
misuse '--libvirt-dir: relative: give an absolute path' run tls://h "${psk[@]}" --libvirt --libvirt-dir relative -- true
misuse '--libvirt-dir: .*in a URI' run tls://h "${psk[@]}" --libvirt --libvirt-dir '/a b' -- true
misuse '"x" is no address' forward tls://h "${psk[@]}" -L "x=unix:$T/a"
misuse '--libvirt-dir needs --allow-libvirt' serve "${psk[@]}" --libvirt-dir "$T"

misuse '--qmp SOCKET is missing' check tls://h "${psk[@]}"
misuse 'tls:// needs --psk FILE or --tls-creds DIR' check --qmp "$T/qmp" tls://h
misuse '--measure-dirty: "soon"' check --qmp "$T/qmp" tls://h "${psk[@]}" --measure-dirty soon
misuse '--measure-dirty: "61"' check --qmp "$T/qmp" tls://h "${psk[@]}" --measure-dirty 61
misuse '--compression needs --multifd' check --qmp "$T/qmp" tls://h "${psk[@]}" --compression zstd
misuse '--qmp SOCKET is missing' migrate tls://h "${psk[@]}"
misuse 'DEST is missing' migrate --qmp "$T/qmp" "${psk[@]}"
misuse 'one DEST' migrate --qmp "$T/qmp" tls://h tls://i "${psk[@]}"
misuse 'tls:// needs --psk FILE or --tls-creds DIR' migrate --qmp "$T/qmp" tls://h
misuse 'add --insecure' migrate --qmp "$T/qmp" tcp://h
misuse 'cannot go together' migrate --qmp "$T/qmp" tls://h --insecure "${psk[@]}"
misuse "--rename: a VM's name has no '/'" migrate --qmp "$T/qmp" tls://h "${psk[@]}" --rename ../a
misuse '--rename: .*newline' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --rename $'a\nb'
misuse '--rename needs a value' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --rename ''
misuse 'not UTF-8' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --rename $'\xff'
misuse 'not UTF-8' migrate --qmp "$T/"$'\xff' tls://h "${psk[@]}"
misuse '--persistent and --dest-qmp cannot go together' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --persistent --dest-qmp /q
misuse "--dest-address.*host is missing" migrate --qmp "$T/qmp" tls://h "${psk[@]}" --dest-address :1
misuse "brackets" migrate --qmp "$T/qmp" tls://h "${psk[@]}" --dest-address ::1
misuse '--timeout: "soon"' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --timeout soon
misuse '--downtime-limit: "-1"' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --downtime-limit=-1
misuse '--timeout: "10000001".*10000000' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --timeout 10000001
misuse '--timeout: "18446744073709551616"' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --timeout 18446744073709551616
misuse '--downtime-limit: "2000001".*2000000' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --downtime-limit 2000001
misuse '--multifd "256".*255' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --multifd 256
misuse '--timeout: "10000001".*10000000' set 1 --timeout 10000001
misuse '--downtime-limit: "2000001".*2000000' set 1 --downtime-limit 2000001
misuse '--max-bandwidth: "fast"' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --max-bandwidth fast
misuse '--max-bandwidth: a rate of 0' migrate --qmp "$T/qmp" tls://h "${psk[@]}" --max-bandwidth 0

misuse 'one of --psk FILE, --tls-creds DIR and --insecure' serve --listen 127.0.0.1:0
misuse 'options only, not "extra"' serve "${psk[@]}" extra
misuse 'the port must be between' serve "${psk[@]}" --listen :70000
misuse 'brackets' serve "${psk[@]}" --listen ::1:99
serve=(serve --listen 127.0.0.1:0 "${psk[@]}")
misuse '--allow-dest-qmp needs --allow-migrate' "${serve[@]}" --allow-dest-qmp '/run/*'
misuse '--allow-dest-qmp.*would never match' "${serve[@]}" --allow-migrate --allow-dest-qmp 'run/*'
misuse '--launch-hook needs --allow-migrate' "${serve[@]}" --launch-hook /bin/true
misuse '--launch-hook and --allow-launch cannot go together' "${serve[@]}" --allow-migrate --launch-hook /bin/true --allow-launch /bin/true
misuse 'give an absolute path' "${serve[@]}" --allow-migrate --launch-hook true
misuse '--overwrite-images needs --images' "${serve[@]}" --allow-migrate --overwrite-images
misuse '--tls-creds and --insecure cannot go together' serve --tls-creds "$T" --insecure
misuse '--allow-forward: "/x" is no pattern' serve "${psk[@]}" --listen 127.0.0.1:0 --allow-forward /x
misuse '--allow-forward: .*would never match' serve "${psk[@]}" --listen 127.0.0.1:0 --allow-forward 'unix:/a/../*'
misuse '--allow-launch needs --allow-migrate' serve "${psk[@]}" --allow-launch /bin/true
misuse '--images needs --allow-launch' serve "${psk[@]}" --allow-migrate --images "$T"
misuse 'give an absolute path' serve "${psk[@]}" --allow-migrate --allow-launch qemu

# the words are right, the things are not: status 1
for words in "--allow-migrate --allow-launch $T/nothing" "--allow-migrate --allow-launch $PSK" \
    "--allow-migrate --allow-launch /bin/true --images $PSK" "--allow-migrate --run-dir $PSK"; do
    # shellcheck disable=SC2086
    timeout 10 "$ADIT" serve "${psk[@]}" --listen 127.0.0.1:0 $words 2>"$T/said"
    expect_equal "status of adit serve $words" 1 $?
    expect_equal "lines of adit serve $words: $(cat "$T/said")" 1 "$(wc -l <"$T/said")"
done
mkdir -m 0755 "$T/run"
timeout 10 "$ADIT" serve "${psk[@]}" --listen 127.0.0.1:0 --allow-migrate --run-dir "$T/run" 2>"$T/said"
expect_equal "status with a --run-dir that all can enter" 1 $?
grep -q '0700' "$T/said" || fail "no mend for the mode of --run-dir: $(cat "$T/said")"

# keygen
works '^vm-1:[0-9a-f]\{64\}$' keygen vm-1
works '^[^:]*:[0-9a-f]\{64\}$' keygen
[ "$("$ADIT" keygen a)" != "$("$ADIT" keygen a)" ] || fail "the same key twice"
(umask 0; "$ADIT" keygen -o "$T/key" vm-1) || fail "keygen -o"
expect_equal "mode of the file" 600 "$(stat -c %a "$T/key")"
before=$(cat "$T/key")
"$ADIT" keygen -o "$T/key" vm-1 2>"$T/said"
expect_equal "status of keygen over a file" 1 $?
expect_equal "the file" "$before" "$(cat "$T/key")"
ln -s "$T/elsewhere" "$T/link"
"$ADIT" keygen -o "$T/link" vm-1 2>/dev/null && fail "keygen went through a symbolic link"
misuse "neither spaces nor" keygen 'a b'
misuse "neither spaces nor" keygen 'a:b'
misuse "1 to 127 bytes" keygen ''
misuse "1 to 127 bytes" keygen "$(printf 'x%.0s' {1..200})"
misuse "one IDENTITY" keygen a b
"$ADIT" keygen a >/dev/full 2>"$T/said"
expect_equal "status of keygen with a full disk" 1 $?

# what an adit that counts its channels otherwise is told
said=$({ printf 'ADIT-SSH 1 mux strands=1\n'; sleep 1; } | timeout 10 "$ADIT" serve --stdio --allow-forward unix:/x 2>/dev/null | cat)
[[ $said == 'ADIT-SSH 1 no '*'2 to 8'* ]] || fail "strands=1: $said"

#!/usr/bin/env bash
# Sanitizers only
# Limit: 300 s
# Goal: a source that lies, with a good key, to a destination that may do all: words of a command line that read, write or
# listen on the host, binaries, images and names with ways out of what is allowed, streams and cookies that are not its own or
# not in order, numbers and sizes beyond all bounds. Each is refused with a reason that both sides are told, or kept
# within what is allowed; nothing of the host is opened, nothing is left behind, the VMs there and at the source go on.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/liar.sh"

new_job() { head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
marked() {
    liar_mark
    SERVE_MARK=$(($(wc -l <"${PROC_LOG[serve]}") + 1))
    left_mark
    left_clock
}
# serve_said REGEX
serve_said() { tail -n "+$SERVE_MARK" "${PROC_LOG[serve]}" | grep -aiqE -- "$1"; }
# talk_open: another talk, for another job
talk_open() {
    liar_mark
    liar_tell open control migrate
    liar_heard '^stream [0-9]+ control migrate'
    talk=$(liar_find '^stream [0-9]+ control migrate' | cut -d' ' -f2)
    job=$(new_job)
}
say_cookie() { liar_tell say "$talk" "$(cookie "$1" "$2" "$job" "${3:-{\}}")"; }
# say_begin [JQ]: the BEGIN that a true source said, changed
say_begin() {
    jq -c --arg job "$job" --arg secret "$secret" --arg dir "$T" ".job = \$job | ${1:-.}" "$T/begin.json" |
        sed 's/"HUGE"/9223372036854775807/' >"$T/said.json" # jq has no such numbers
    liar_tell file "$talk" "$T/said.json"
}
# told REGEX: the liar was told so, in an ABORT or with the end of its stream; and so says the log of adit serve
told() {
    liar_heard "^line $talk .*\"kind\": ?\"(abort|prepared)\"|^reset $talk " 20
    liar_find "^line $talk .*\"kind\": ?\"abort\"|^reset $talk " >"$T/told.log"
    sed -E 's/^line [0-9]+ .*"reason": ?"(.*)".*/  told: \1/; s/^reset/  reset/' "$T/told.log" | cut -c -200
    grep -qiE -- "$1" "$T/told.log" || fail "the source was not told about '$1': $(cat "$T/told.log")"
    wait_until 5 "the log of adit serve about '$1'" serve_said "$1"
}
nothing_left() {
    left_clock
    left_nothing
    adit_serves
    ! grep -q "$secret_words" "$T/liar.log" "${PROC_LOG[serve]}" || fail 'what is in the secret file was told'
    expect_equal 'the secret file' "$secret_sum" "$(sha256sum "$secret")"
}
# refused WHAT REGEX JQ: such a BEGIN is
refused() {
    say "$1:"
    marked
    talk_open
    say_begin "$3"
    told "$2"
    liar_tell eof "$talk"
    nothing_left
}
# words WHAT REGEX WORD...: such words at the end of the command line are refused
words() {
    local what=$1 regex=$2
    shift 2
    refused "$what" "$regex" ".vm.argv += $(printf '%s\n' "$@" | jq -R . | jq -sc .)"
}
# contained WHAT JQ [COMMAND...]: such a BEGIN is taken, but what QEMU has open then is what is allowed
contained() {
    local what=$1 change=$2 pid open
    shift 2
    say "$what:"
    marked
    talk_open
    say_begin "$change"
    liar_heard "^line $talk .*\"kind\": ?\"(prepared|abort)\"|^reset $talk" 20
    pid=$(liar_cookie "$talk" prepared | jq -r .vm.pid)
    [ -n "$pid" ] || fail "not taken: $(liar_find "^line $talk |^reset $talk ")"
    expect_equal 'the binary' "$(readlink -f "$QEMU")" "$(readlink "/proc/$pid/exe")"
    open=$(readlink "/proc/$pid"/fd/* | grep '^/' | grep -vE "^($T/images|$T/run-dst)/|^/dev/(null|urandom|zero|ptmx|pts/.*|kvm)|^/memfd:" || true)
    [ -z "$open" ] || fail "QEMU has open: $(paste -sd' ' <<<"$open")"
    open=$(tr '\0' '\n' <"/proc/$pid/cmdline" | sed -E "s,$T/(images|run-dst)/,,g" | grep -E "exec:|4444|1234|10\.77|$T|/etc/|\.\./" || true)
    [ -z "$open" ] || fail "words of the twin: $open"
    ! listeners dst | grep qemu || fail 'QEMU listens'
    say "  QEMU has open only what is allowed"
    [ $# = 0 ] || "$@"
    liar_tell drop "$talk"
    nothing_left
}

move_hosts
secret=$T/secret secret_words=hunter2
printf 'root:%s:\n' $secret_words >"$secret"
truncate -s 1M "$secret"
secret_sum=$(sha256sum "$secret")
(umask 077; mkdir -p "$T/state-src")
move_disks a 8M raw:virtio
move_vm a append='ram=8 rate=500 sectors=256 diskrate=20'
liar_listen
adit_start a
liar_heard '^line 0 .*"kind": ?"begin"'
liar_find '^line 0 ' | sed 's/^line 0 //' >"$T/begin.json"
liar_end
adit_wait 30
mkdir "$T/ram" "$T/ram-of-others"
adit_serve_launch --overwrite-images --allow-networks lan=vmbr0 --memory-paths "$T/ram"
liar_connect

say '== the command line'
words 'a drive of the host' 'shadow|drive|not.*disk' -drive file=/etc/shadow,format=raw,if=virtio
words 'a secret from a file' 'object|secret' -object "secret,id=s0,file=$secret"
words 'a secret in the command line' 'command line' -object secret,id=s0,data=geheim
words 'a secret that was not handed over' 'not handed it over' -object secret,id=s0
words 'an encrypted drive that the disks do not tell of' 'its copy would not be' -drive file=x,if=none,format=qcow2,encrypt.format=luks
words 'such a node' 'its copy would not be' -blockdev '{"driver":"qcow2","node-name":"disk0","file":"disk0-file","encrypt":{"format":"luks"}}'
refused 'a secret that is not hexadecimal' 'hexadecimal' '.secrets = [{id: "s0", data: "zz"}]'
refused 'a secret with nothing in it' 'not handed' '.secrets = [{id: "s0"}]'
refused 'options in the name of a cipher' 'does not know' '.secrets = [{id: "s0", data: ""}] | .disks[0].format = "qcow2" |
    .disks[0].encryption = {format: "luks", driver: "qcow2", secret: "s0", cipher_alg: "aes-256,backing_file=/etc/shadow"}'
words 'fw_cfg from a file' 'fw_cfg' -fw_cfg "name=opt/x,file=$secret"
words 'an ACPI table' 'acpitable' -acpitable "file=$secret"
words 'a firmware' 'bios|secret' -bios "$secret"
words 'a kernel that is not in the folder' 'secret|kernel' -kernel "$secret"
words 'an initrd that is not in the folder' 'secret|initrd' -initrd "$secret"
words 'a way out of the folder for the initrd' 'initrd|secret' -initrd "images/../../secret"
words 'a file loaded into memory' '-device.*source host' -device "loader,file=$secret"
words 'an option ROM' '-device.*file of the source host' -device "virtio-net-pci,romfile=$secret"
words 'a configuration' 'readconfig' -readconfig "$secret"
# (a node that nothing of the VM has is left out)
contained 'block devices as JSON' '.vm.argv += ["-blockdev",
    ({driver: "raw", "node-name": "x", file: {driver: "file", filename: $secret}} | tostring)]'
words 'such a one in the place of a disk' 'another image' -blockdev "{\"driver\":\"raw\",\"node-name\":\"disk0\",\"file\":{\"driver\":\"file\",\"filename\":\"$secret\"}}"
words 'a drive as JSON' 'json|drive' -drive "file=json:{\"driver\":\"file\",\"filename\":\"$secret\"},if=none,id=x"
words 'a drive from the network' 'nbd|drive' -drive file=nbd:10.77.0.1:10809,format=raw,if=virtio
words 'a folder as a FAT disk' 'fat|drive' -drive file=fat:rw:/etc,if=virtio
# what only means something on the source host is left out
contained 'a VNC, a debugger and a monitor that listen, a command that is run, files that are written' ".vm.argv += [\"-vnc\", \"10.77.0.2:1\", \"-gdb\", \"tcp::1234\",
    \"-monitor\", \"tcp:10.77.0.2:4444,server=on,wait=off\", \"-incoming\", \"exec:cat \" + \$secret, \"-L\", \$dir,
    \"-writeconfig\", \$secret, \"-D\", \$secret, \"-pidfile\", \$secret, \"-chardev\", \"file,id=c8,path=\" + \$secret]"
words 'a script of a network' 'tap|netdev' -netdev tap,id=n9,script=/tmp/x

say '== networks'
in_host dst ip link add vmbr0 type bridge
# lies WHAT REGEX JQ [OPTION]: such a network, of that option
lies() {
    local option=${4:-tap,id=n9}
    refused "$1" "$2" "(.vm.argv += [\"-netdev\", \"$option\"]) | (.vm.networks = [({id: \"n9\", kind: \"bridge\", bridge: \"lan\",
        queues: 1, vhost: false} | $3)])"
}
for name in vmbr0 Lan 'lan ' ' lan' ./lan ../lan lan=vmbr0 '*' eth0 ''; do
    lies "a network that is not its own: \"$name\"" 'not allowed there' ".bridge = \"$name\""
done
lies 'such a one that it wants' 'not allowed there' '.wanted = "vmbr0"'
lies 'control characters' 'control character' '.bridge = "lan\u0001"'
lies 'a name that is too long' 'too long' '.wanted = ("a" * 65)'
lies 'queues beyond all bounds' 'queues' '.queues = 257'
lies 'more descriptors than a process is given' 'too many queues' '.queues = 256'
lies 'an MTU that is none' 'mtu' '.mtu = 65536'
lies 'a network that is another one' 'does not say which' '.id = "n8"'
lies 'a file in it' 'names a file' . "tap,id=n9,model=$secret"
refused 'sixty-five networks' 'networks' '.vm.networks = [range(65) | {id: "n", kind: "none", queues: 1, vhost: false}]'
[ -z "$(in_host dst ip -o link show type tun)" ] || fail "a tap was made: $(in_host dst ip -o link show type tun)"

words 'shared folders' 'virtfs' -virtfs "local,path=/etc,mount_tag=t,security_model=none"
file=memory-backend-file,id=m9,size=1M
words 'memory in a file' 'RAM may not be there' -object "$file,mem-path=$secret,share=on"
words 'memory in a folder' 'RAM may not be there' -mem-path "$T/ram-of-others"
words 'memory in a folder that is above' 'RAM may not be there' -object "$file,mem-path=$T"
words 'a way out of the folder for memory' 'RAM may not be there' -object "$file,mem-path=$T/ram/../secret"
words 'such a one, of -mem-path' 'RAM may not be there' -mem-path "$T/ram/.."
words 'a folder for memory from where QEMU is' 'RAM may not be there' -object "$file,mem-path=ram"
words 'two folders for memory' 'RAM may not be there' -object "$file,mem-path=$T/ram,mem-path=/dev/shm"
words 'a folder for memory as JSON' 'RAM may not be there' -object "{\"qom-type\":\"memory-backend-file\",\"id\":\"m9\",\"size\":4096,\"mem-path\":\"/dev/shm\"}"
words 'no folder for memory' 'RAM may not be there' -mem-path ''
words 'memory that keeps what is in a file' 'contents are kept' -object "$file,mem-path=$T/ram/x,rom=on"
words 'a device of the host' 'vfio' -device vfio-pci,host=00:00.0
words 'a plugin' 'plugin' -plugin "$secret"
contained 'another user' '.vm.argv += ["-runas", "nobody"]'
words 'an option that nobody knows' 'wonder' -wonder weapon
words 'a pipe of the host' 'pipe|chardev' -chardev "pipe,id=c9,path=$secret"

say '== names and images'
refused 'a name with a path in it' 'name|/' '.vm.name = "../../evil" | .vm.argv |= map(if startswith("guest=") then "guest=../../evil" else . end)'
refused 'a name with a newline' 'control character' '.vm.name = "a\nb"'
refused 'a disk of 2^63-1 bytes' 'cannot be made|size|large|space' '.disks[0].size = "HUGE"'
refused 'a disk that is not on the command line' 'disk9|drive|not' '.disks += [.disks[0] | .name = "disk9" | .node = "disk9" | .qdev = "/x"]'
refused '65 disks' 'too many' '.disks = [range(65) as $i | .disks[0] | .name = "d\($i)"]'
refused '64 disks, of which the command line has none' 'd0|drive|not|disk' '.disks = [range(64) as $i | .disks[0] | .name = "d\($i)" | .node = "d\($i)" | .qdev = "/d\($i)"]'
refused 'two disks of one name' 'name|twice|disk0' '.disks += [.disks[0]]'
refused 'a path in the name of a disk' 'plain name' '.disks[0].name = "../disk"'
# a link that leads somewhere is the operator's own doing (a volume, say); one that leads nowhere makes no file there
ln -s "$T/outside.raw" "$T/images/link.raw"
at_image='(.vm.argv |= map(sub("filename=[^,]*a-0.raw"; "filename=" + $to))) | (.disks[0].file = $to)'
refused 'a link in the folder' 'link' "\"/x/link.raw\" as \$to | $at_image"
qemu-img create -q -f qcow2 -b "$secret" -F raw "$T/images/backed.raw" 8M
refused 'an image with a backing file, as raw' 'backed|qcow2|format|backing' "\"/x/backed.raw\" as \$to | $at_image"
rm "$T/images/link.raw" "$T/images/backed.raw"
[ ! -e "$T/outside.raw" ] || fail 'an image was made outside of the folder'
contained 'a way out of the folder in an image' "\"\(\$dir)/images/../evil.raw\" as \$to | $at_image"
[ ! -e "$T/evil.raw" ] || fail 'an image was made outside of the folder'
refused 'an image that is a folder' 'name|folder|file|\.\.' "\"/x/..\" as \$to | $at_image"

refused 'a storage that it may not use' 'no storage of that name' '.disks[0].target = "fast:a.raw"'
refused 'a storage whose name is a folder' 'no storage of that name' '.disks[0].target = "/etc=:a.raw" | .disks[0].target |= ltrimstr("/")'
refused 'a way out of the folder in a target' 'no folder for images' '.disks[0].target = $dir + "/images/../evil.raw"'
refused 'a folder in the name of a target' 'not the name of a file' '.disks[0].target = "../evil.raw"'
[ ! -e "$T/evil.raw" ] || fail 'an image was made outside of the folder'

say '== the binary'
refused 'one that is not listed' '--allow-launch' '.vm.exe = "/bin/sh" | .vm.argv[0] = "/bin/sh"'
mkdir -p "$T/decoy"
cp /bin/true "$T/decoy/${QEMU##*/}"
contained 'one of the same name elsewhere' ".vm.exe = \"$T/decoy/${QEMU##*/}\" | .vm.argv[0] = .vm.exe"
contained 'a relative path' ".vm.cwd = \"$T\" | .vm.exe = \"decoy/../decoy/${QEMU##*/}\" | .vm.argv[0] = .vm.exe"

say '== words out of order'
# taken [JQ]: a job that is prepared
taken() {
    marked
    talk_open
    say_begin "${1:-.}"
    liar_heard "^line $talk .*\"kind\": ?\"(prepared|abort)\"|^reset $talk" 20
    [ -n "$(liar_cookie "$talk" prepared)" ] || fail "not taken: $(liar_find "^line $talk |^reset $talk ")"
}
bare='.disks = [] | .vm.argv |= (. as $a | [range(length) | select($a[.] | test("^-blockdev$|^driver=|^virtio-blk")|not) | $a[.]] | . as $b | [range(length) | select(($b[.] == "-device" and (. + 1 == ($b|length) or ($b[.+1]|startswith("-"))))|not) | $b[.]])'
finish='{"run": true, "status": "completed"}'
ordered() {
    say "$1:"
    taken "$2"
    liar_mark
    shift 2
    local regex=$1
    shift
    "$@"
    told "$regex"
    nothing_left
}
ordered 'FINISH without RAM' "$bare" 'RAM|incoming|migrat|state' say_cookie perform finish "$finish"
ordered 'FINISH while disks are open' . 'finish in state ready' say_cookie perform finish "$finish"
ordered 'DISKS_DONE without disks' "$bare" 'disks-done in state' say_cookie perform disks-done
ordered 'CONFIRM before the decision' . 'confirm in state' say_cookie confirm confirm
ordered 'ENDED before the decision' . 'ended in state' say_cookie confirm ended '{"source": "ended"}'
second() { jq -c --arg job "$job" '.job = $job' "$T/begin.json" >"$T/said.json"; liar_tell file "$talk" "$T/said.json"; }
ordered 'a second BEGIN' . 'begin in state' second
other() { liar_tell say "$talk" "$(cookie perform disks-done $OTHER_JOB)"; }
ordered "another job's word" . 'another job' other
ordered 'a version from the future' . 'version 7' say_cookie perform disks-done '{"adit": 7}'
big() { liar_tell blob "$talk" 2000000; }
ordered 'a line without end' . 'longer than' big
garbage() {
    liar_tell open ram "job:$job/ram"
    liar_heard '^stream [0-9]+ ram '
    liar_tell blob "$(liar_find '^stream [0-9]+ ram ' | cut -d' ' -f2)" 100000
}
ordered 'noise instead of RAM' "$bare" 'QEMU|stream' garbage

say 'disks that are done, and then not a word:'
liar_end
proc_end serve
ADIT_LIMITS=closed=1500 adit_serve_launch --overwrite-images
liar_connect
ordered 'no FINISH' . 'has not said in time' say_cookie perform disks-done
liar_end
proc_end serve
adit_serve_launch --overwrite-images
liar_connect

say 'a command line of a megabyte:'
marked
talk_open
say_begin '.vm.argv += [range(16) | "x" * 65536]'
told 'longer than'
nothing_left

say 'the id of a job that is under way; streams that are not its own, or come twice:'
taken "$bare"
first=$talk id=$job
talk_open
job=$id
say_begin "$bare"
told 'under way'
liar_tell open ram "job:$id/ram"
liar_tell open ram "job:$id/ram"
liar_heard '^reset [0-9]+ REFUSED RAM has its stream already'
liar_tell open disk "job:$id/disk/none"
liar_heard '^reset [0-9]+ REFUSED no such disk in this job'
liar_tell open ram "job:$OTHER_JOB/ram"
liar_heard "^reset [0-9]+ REFUSED .*$OTHER_JOB.* nothing that is offered"
liar_mark
liar_tell connect
liar_heard '^session psk:tester'
liar_tell open ram "job:$id/ram"
liar_heard '^reset [0-9]+ REFUSED that job is not of this session'
liar_tell drop "$first"
nothing_left

say 'a question about a job of another peer, which goes on:'
key=$(cut -d: -f2 "$T/psk")
printf 'tester:%s\nmallory:%s\n' "$key" "$(new_job)$(new_job)" >"$T/psk2"
chmod 600 "$T/psk2"
liar_end
proc_end serve
adit_server --psk "$T/psk2"
adit_serve_launch --overwrite-images
liar_connect
taken "$bare"
id=$job
grep mallory "$T/psk2" >"$T/psk3"
chmod 600 "$T/psk3"
mkfifo "$T/mallory.in"
proc_start mallory src sh -c 'exec "$1" connect "$2" "$3" <"$4"' sh "$LIAR" "$ADIT_DEST" "$T/psk3" "$T/mallory.in"
exec {mallory}>"$T/mallory.in"
wait_until 10 "mallory's session" grep -q '^session psk:mallory' "$T/mallory.log"
printf 'open control migrate\nsay 0 %s\n' "$(cookie recover recover "$id" '{"state": "finish"}')" >&"$mallory"
wait_until 10 'the answer to mallory' grep -q "another peer's" "$T/mallory.log"
wait_until 5 'the log of adit serve' serve_said 'another peer'
liar_tell open ram "job:$id/ram"
sleep 1
! liar_find "^line $talk .*abort|^reset " >/dev/null || fail 'the question of another peer ended the job'
printf 'quit\n' >&"$mallory"
exec {mallory}>&-
proc_wait mallory 5
rm "$T/mallory.in"
liar_tell drop "$talk"
left_clock
left_nothing '/psk3$'

say 'a flood of questions:'
marked
for ((i = 0; i < 600; i++)); do
    liar_tell open control migrate
done
liar_heard '^reset [0-9]+ [A-Z]+ too many jobs of this peer'
# the oldest ones gave way
first=$(sed -nE 's/^stream ([0-9]+) control migrate/\1/p' "$T/liar.log" | tail -n 64 | head -n 1)
jq -c '.kind = "check" | .phase = "check"' "$T/begin.json" >"$T/check.json"
for ((i = 0; i < 64; i++)); do
    sed "s/\"job\":\"[0-9a-f]*\"/\"job\":\"$(printf %032x $i)\"/" "$T/check.json" >"$T/said-$i.json"
    liar_tell file $((first + i)) "$T/said-$i.json"
done
liar_heard '"kind": ?"checked"' 30
say "  answered: $(grep -cE '"kind": ?"checked"' "$T/liar.log") of 64"
liar_end
nothing_left
say "  adit serve's memory: $(sed -n 's/^VmHWM:[^0-9]*//p' "/proc/${PROC_PID[serve]}/status")"

say '== after all that'
guest_quiet a
guest_still a
say "  guest on src: $(guest_verify a)"
guest_go a
adit_migrate a
move_succeeded a a-twin raw:virtio

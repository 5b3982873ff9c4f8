#!/usr/bin/env bash
# On: each QEMU
# Limit: 300 s
# Goal: a VM with OVMF takes its NVRAM along, one with a TPM what is sealed in it, one in huge pages or in files its RAM; adit
# check and adit migrate say the same of each, and of those for which the destination has no TPM, no room, or no such folder.
# No TPM, no state of it and no memory file is left where it fails.
NEED_LINUX=1
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

move_hosts
as_served() { adit_serve_launch --memory-paths /dev/shm "$@"; }
as_served
version=$("$QEMU" --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
D=$T/disks
mkdir -p "$D"
no_tpm() {
    wait_until 5 'the end of its TPM' no_swtpm_of "$T/images"
    [ -z "$(find "$T/images" -name '*.tpm')" ] || fail "left: $(find "$T/images" -name '*.tpm')"
}
has_swtpm_of() { pgrep -f "^[^ ]*swtpm .*$1" >/dev/null; }
no_swtpm_of() { ! has_swtpm_of "$1"; }

say 'firmware'
OVMF=/usr/share/OVMF
if [ -e "$OVMF/OVMF_CODE_4M.fd" ]; then
    linux_guest ram=8 rate=400
    # (its firmware clears the screen before the first line that a quiet kernel prints)
    linux=("${LINUX_ARGS[0]}" "${LINUX_ARGS[1]}" "${LINUX_ARGS[3]/quiet /}" mem=192)
    nvram() { rm -f "$T"/images/vars-*.fd; cp "$OVMF/OVMF_VARS_4M.fd" "$D/vars-$1.fd"; }
    # (its firmware has written there: the copy is not what every VM begins with; row_drives compares it with the source's)
    nvram_moved() { ! cmp -s "$T"/images/vars-?.fd "$OVMF/OVMF_VARS_4M.fd" || fail 'its NVRAM there is as new'; }
    # (half a minute each where the machine is busy: one spelling on each QEMU)
    if [ "$version" -lt 10 ]; then
        nvram a
        row 'OVMF in two -drive if=pflash' "${linux[@]}" option=--offline after=nvram_moved \
            vm="-drive if=pflash,format=raw,unit=0,readonly=on,file=$OVMF/OVMF_CODE_4M.fd -drive if=pflash,format=raw,unit=1,file=$D/vars-a.fd"
    else
        nvram b
        row 'OVMF in -blockdev, and -machine pflash0=' "${linux[@]}" machine=q35,pflash0=code,pflash1=vars option=--offline after=nvram_moved \
            vm="-blockdev driver=file,node-name=code,filename=$OVMF/OVMF_CODE_4M.fd,read-only=on
            -blockdev driver=file,node-name=vars-file,filename=$D/vars-b.fd -blockdev driver=raw,node-name=vars,file=vars-file"
    fi
else
    skip_part OVMF 'no package ovmf'
fi

# (SeaBIOS in pflash boots the small guest, and is firmware of the distribution as well)
bios=/usr/share/seabios/bios-256k.bin
if [ -e "$bios" ] && [ -e /usr/share/seabios/bios.bin ]; then
    flash="-drive if=pflash,format=raw,unit=0,readonly=on,file=$bios"
    row 'firmware that is there' vm="$flash" check='ok:firmware:bios-256k.bin is there'
    other_bios() { mount --bind /usr/share/seabios/bios.bin "$bios"; }
    row 'firmware of another size there' vm="$flash" do=other_bios check='error:firmware:131072 bytes on the destination.*262144'
    ! mountpoint -q "$bios" || umount "$bios"
else
    skip_part 'firmware of another size' 'no SeaBIOS where Debian has it'
fi

say 'a TPM'
if command -v swtpm >/dev/null; then
    tpm_start() {
        rm -rf "$T/tpm" && mkdir -p "$T/tpm"
        swtpm socket --tpm2 --tpmstate "dir=$T/tpm" --ctrl "type=unixio,path=$T/tpm/sock" --terminate &
        wait_until 5 'swtpm' test -S "$T/tpm/sock"
    }
    tpm="-chardev socket,id=chrtpm,path=$T/tpm/sock -tpmdev emulator,id=tpm0,chardev=chrtpm -device tpm-tis,tpmdev=tpm0"
    seal() { guest_ask "$1" t '^TPM sealed 0x00000000' >/dev/null; guest_ask "$1" u '^TPM unsealed 0x00000000' >/dev/null; }
    # (a user of this test's only, where there are others, and they reach this QEMU)
    tpm_user=()
    if [ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ] && command -v setpriv >/dev/null &&
        setpriv --reuid=64911 --regid=64911 --clear-groups test -x "$QEMU"; then
        for file in passwd group; do cp "/etc/$file" "$T/$file"; done
        echo 'adit-vm:x:64911:64911::/nonexistent:/usr/sbin/nologin' >>"$T/passwd"
        echo 'adit-vm:x:64911:' >>"$T/group"
        for file in passwd group; do mount --bind "$T/$file" "/etc/$file"; done
        adit_users_pass
        tpm_user=(--launch-user adit-vm)
        proc_end serve
        as_served "${tpm_user[@]}"
    fi
    # as the twin's user, and only that one's: the TPM and its state
    of_its_user() {
        [ ${#tpm_user[@]} = 0 ] || expect_equal 'who runs its TPM, and has its state' '64911 64911 700' \
            "$(stat -c %u "/proc/$(pgrep -f "^[^ ]*swtpm .*$T/images")") $(stat -c '%u %a' "$T"/images/*.tpm)"
    }
    starts_again() {
        again "$1" "$T/state-dst/vms/$1.sh"
        again "$1" "$ADIT" start "$1" --state-dir "$T/state-dst"
    }
    # again VM COMMAND...
    again() {
        local name=$1 pid
        shift
        in_host dst "$@" >"$T/again.log" 2>&1 &
        pid=$!
        wait_until 10 "its monitor ($*)" again_answers "$name"
        of_its_user
        "$QMP_CLIENT" "$T/run-dst/vms/$name"-*/qmp.sock '{"execute":"quit"}' >"$T/run.json"
        wait "$pid" || fail "the VM that was started again by $*: $(tail -n 1 "$T/again.log")"
        wait_until 5 'the end of its TPM' no_swtpm_of "$T/images"
    }
    again_answers() { "$QMP_CLIENT" "$T/run-dst/vms/$1"-*/qmp.sock '{"execute":"query-tpm"}' 2>/dev/null | grep -q tpm0; }
    unsealed() {
        of_its_user
        guest_ask "$2" u '^TPM unsealed 0x00000000' >/dev/null
        say '  what was sealed there is unsealed here'
        # it ends with its VM, and its state stays, as the VM's disks do
        vm_end "$2"
        wait_until 5 'the end of its TPM' no_swtpm_of "$T/images"
        [ -s "$T"/images/*.tpm/tpm2-00.permall ] || fail 'the state of its TPM is gone'
        starts_again "$1"
        rm -rf "$T"/images/*.tpm
    }
    tpm_start
    row 'a TPM, with a secret in it' vm="$tpm" option=--persistent do=seal after=unsealed
    tpm_start
    vm_start t src append='ram=4 rate=400 disks=none' mem=128 $(printf 'arg=%s ' $tpm)
    guest_ready t
    adit_start t --max-bandwidth 500K
    wait_until 20 'a TPM there' has_swtpm_of "$T/images"
    kill -KILL "${PROC_PID[serve]}"
    proc_wait serve 1 || true
    no_tpm
    kill -KILL "${PROC_PID[migrate]}" "${PROC_PID[t]}"
    as_served --swtpm none
    tpm_start
    row 'one that there is none for' vm="$tpm" check='error:launch:swtpm = none'
    proc_end serve
    as_served
else
    skip_part 'a TPM' 'no swtpm'
fi

say 'memory'
in_files() { grep -q "/dev/shm/.*deleted" "/proc/${PROC_PID[$2]}/maps" || fail 'its RAM is in no file of /dev/shm there'; }
row 'RAM in a file' vm='-object memory-backend-file,id=ram,size=32M,mem-path=/dev/shm,share=on -M memory-backend=ram' check='ok:memory:/dev/shm has room' after=in_files
row '-mem-path' vm='-mem-path /dev/shm' after=in_files
row 'RAM in a folder of another name' vm="-object {\"qom-type\":\"memory-backend-file\",\"id\":\"ram\",\"size\":33554432,\"mem-path\":\"$T/disks\"} -M memory-backend=ram" \
    check='error:launch:memory-paths'
bound='-object memory-backend-ram,id=ram,size=32M,host-nodes=0,policy=bind -M memory-backend=ram'
row 'RAM bound to a node of this host' vm="$bound" check='warning:launch:bound to NUMA nodes'

# the pages are all hosts' alike: whoever else wants some waits
exec 7>"$QEMU_CACHE/.huge-pages"
flock 7
pages=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
had=$(cat "$pages" 2>/dev/null || echo none)
give_back() { local is=$?; echo "$had" >"$pages"; return "$is"; }
if [ "$had" = 0 ] && { echo 40 >"$pages"; } 2>/dev/null && [ "$(cat "$pages")" = 40 ]; then
    trap 'give_back; lib_end' EXIT
    huge='-object memory-backend-memfd,id=ram,size=32M,hugetlb=on,hugetlbsize=2M -M memory-backend=ram'
    row 'RAM in huge pages' vm="$huge" check='ok:memory:16 huge pages of 2.0 MiB are there'
    take_pages() { echo 16 >"$pages"; }
    row 'of which there are too few there' vm="$huge" do=take_pages check='error:memory:16 huge pages of 2.0 MiB, and the destination has 0'
    give_back
else
    skip_part 'huge pages' "they are in use, or cannot be set: $had"
fi
agrees_end

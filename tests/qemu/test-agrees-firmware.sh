#!/usr/bin/env bash
# On: each QEMU
# Limit: 300 s
# Goal: a VM with OVMF takes its NVRAM along, one with a TPM what is sealed in it, one in huge pages or in files its RAM, there and
# back, with QEMU as another user; adit check and adit migrate say the same of each, and of those for which the destination has no
# TPM, no room, or no such folder.
# No TPM, no state of it and no memory file is left where it fails.
NEED_LINUX=1
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

adit_launch_user
move_hosts both
as_served() { adit_serve_launch --memory-paths /dev/shm ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"} "$@"; }
as_served
adit_serve_back --memory-paths /dev/shm ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
version=$("$QEMU" --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
D=$T/disks
mkdir -p "$D"
of_user() { expect_equal 'the user of its QEMU' "$LAUNCH_UID" "$(stat -c %u "/proc/${PROC_PID[$2]}")"; }
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
    nvram_moved() {
        of_user "$@"
        ! cmp -s "$T"/images/vars-?.fd "$OVMF/OVMF_VARS_4M.fd" || fail 'its NVRAM there is as new'
    }
    # (half a minute each where the machine is busy: one spelling on each QEMU)
    if [ "$version" -lt 10 ]; then
        nvram a
        row 'OVMF in two -drive if=pflash' "${linux[@]}" option=--offline after=nvram_moved back=of_user \
            vm="-drive if=pflash,format=raw,unit=0,readonly=on,file=$OVMF/OVMF_CODE_4M.fd -drive if=pflash,format=raw,unit=1,file=$D/vars-a.fd"
    else
        nvram b
        row 'OVMF in -blockdev, and -machine pflash0=' "${linux[@]}" machine=q35,pflash0=code,pflash1=vars option=--offline after=nvram_moved back=of_user \
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
    # tpm_start [OPTION]: a TPM 2, without one
    tpm_start() {
        rm -rf "$T/tpm" && mkdir -p "$T/tpm"
        swtpm socket ${1---tpm2} --tpmstate "dir=$T/tpm" --ctrl "type=unixio,path=$T/tpm/sock" --terminate &
        wait_until 5 'swtpm' test -S "$T/tpm/sock"
    }
    tpm="-chardev socket,id=chrtpm,path=$T/tpm/sock -tpmdev emulator,id=tpm0,chardev=chrtpm -device tpm-tis,tpmdev=tpm0"
    seal() { guest_ask "$1" t '^TPM sealed 0x00000000' >/dev/null; guest_ask "$1" u '^TPM unsealed 0x00000000' >/dev/null; }
    # as the twin's user, and only that one's: the TPM and its state in this folder
    of_its_user() {
        expect_equal 'who runs its TPM, and has its state' "$LAUNCH_UID $LAUNCH_UID 700" \
            "$(stat -c %u "/proc/$(pgrep -f "^[^ ]*swtpm .*$1")") $(stat -c '%u %a' "$1"/*.tpm)"
    }
    # again VM COMMAND...: on src
    again() {
        local name=$1 pid
        shift
        in_host src "$@" >"$T/again.log" 2>&1 &
        pid=$!
        wait_until 10 "its monitor ($*)" again_answers "$name"
        of_its_user "$D"
        "$QMP_CLIENT" "$T/run-src/vms/$name"-*/qmp.sock '{"execute":"quit"}' >"$T/run.json"
        wait "$pid" || fail "the VM that was started again by $*: $(tail -n 1 "$T/again.log")"
        wait_until 5 'the end of its TPM' no_swtpm_of "$D"
    }
    again_answers() { "$QMP_CLIENT" "$T/run-src/vms/$1"-*/qmp.sock '{"execute":"query-tpm"}' 2>/dev/null | grep -q tpm0; }
    unsealed() {
        of_its_user "$T/images"
        guest_ask "$2" u '^TPM unsealed 0x00000000' >/dev/null
        say '  what was sealed there is unsealed here'
    }
    unsealed_back() {
        of_user "$@"
        of_its_user "$D"
        wait_until 5 'the end of the TPM that it had there' no_swtpm_of "$T/images"
        guest_ask "$2" u '^TPM unsealed 0x00000000' >/dev/null
        say '  what was sealed there is unsealed back here'
        # it ends with its VM, and its state stays, as the VM's disks do
        vm_end "$2"
        wait_until 5 'the end of its TPM' no_swtpm_of "$D"
        [ -s "$D"/*.tpm/tpm2-00.permall ] || fail 'the state of its TPM is gone'
        again "${1%-twin}" "$T/state-src/vms/${1%-twin}.sh"
        again "${1%-twin}" "$ADIT" start "${1%-twin}" --state-dir "$T/state-src"
        rm -rf "$D"/*.tpm "$T"/images/*.tpm
    }
    tpm_start
    row 'a TPM, with a secret in it' vm="$tpm" option=--persistent do=seal after=unsealed back=unsealed_back
    # (the register of a TPM 1.2 that a secret went into; its state comes along as that of a TPM 2 does)
    of_version_12() {
        ! tr '\0' ' ' <"/proc/$(pgrep -f "^[^ ]*swtpm .*$T/images")/cmdline" | grep -q -- --tpm2 || fail 'its TPM there is a TPM 2'
        guest_ask "$2" u '^TPM unsealed 0x00000000' >/dev/null
        rm -rf "$T"/images/*.tpm
    }
    tpm_start ''
    row 'a TPM 1.2, with a secret in it' vm="$tpm" do=seal after=of_version_12
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
    in_huge_pages() {
        of_user "$@"
        grep -q '^KernelPageSize: *2048 kB' "/proc/${PROC_PID[$2]}/smaps" || fail 'its RAM is in no huge pages'
    }
    row 'RAM in huge pages' vm="$huge" check='ok:memory:16 huge pages of 2.0 MiB are there' after=in_huge_pages back=in_huge_pages
    take_pages() { echo 16 >"$pages"; }
    row 'of which there are too few there' vm="$huge" do=take_pages check='error:memory:16 huge pages of 2.0 MiB, and the destination has 0'
    give_back
else
    skip_part 'huge pages' "they are in use, or cannot be set: $had"
fi
agrees_end

#!/usr/bin/env bash
# On: each QEMU
# Limit: 500 s
# Goal: of a VM whose RAM is not all there from the start adit check and adit migrate say the same, and what its guest has
# plugged of a virtio-mem device moves along, into a QEMU that adit launches, and back again, and into one that waits.
NEED_LINUX=1
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/agrees.sh"

adit_launch_user
move_hosts both
adit_serve_launch ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
adit_serve_back ${LAUNCH_USER[@]+"${LAUNCH_USER[@]}"}
linux_guest ram=16 rate=400 memhp_default_state=online
linux=("${LINUX_ARGS[0]}" "${LINUX_ARGS[1]}" "${LINUX_ARGS[3]}")
elastic='-object memory-backend-ram,id=m0,size=256M -device virtio-mem-pci,id=vmem,memdev=m0'
mem=192,maxmem=1G,slots=2

plugged() { [ "$(vm_query "$1" query-memory-devices '.[] | select(.type == "virtio-mem").data.size')" = $((192 << 20)) ]; }
plug() {
    vm_qmp "$1" '{"execute":"qom-set","arguments":{"path":"vmem","property":"requested-size","value":201326592}}' >"$T/run.json"
    wait_until 60 "192 MiB plugged into $1" plugged "$1"
}
moved() {
    plugged "$2" || fail "plugged there: $(vm_query "$2" query-memory-devices)"
    expect_equal 'what is asked of its guest there' 201326592 \
        "$(vm_query "$2" query-memory-devices '.[] | select(.type == "virtio-mem").data."requested-size"')"
    say "  192 MiB are plugged there"
}
moved_back() {
    moved "$@"
    expect_equal 'the user of its QEMU' "$LAUNCH_UID" "$(stat -c %u "/proc/${PROC_PID[$2]}")"
}

# The guest stands still while its RAM is copied: without KVM QEMU itself now and then loses what a Linux guest writes
# meanwhile (tests/guest/cpu.c has the same of the other guest).
row 'virtio-mem, plugged' "${linux[@]}" mem=$mem vm="$elastic" option=--offline do=plug after=moved back=moved_back
row 'virtio-mem, plugged, into a QEMU that waits' "${linux[@]}" mem=$mem vm="$elastic" option=--offline do=plug after=moved twin="$elastic"
version=$("$QEMU" --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
if [ "$version" -lt 10 ]; then
    row 'virtio-mem, plugged, copied while it runs' "${linux[@]}" mem=$mem vm="$elastic" do=plug after=moved
else
    skip_part 'memory that is plugged, copied while the guest runs' "QEMU $version without KVM loses what a Linux guest writes meanwhile: by hand, without adit, its kernel panicked in 3 of 199 migrations"
fi
# the others need no guest that plugs
row 'a virtio-mem device of another size there' mem=$mem vm="$elastic" twin="${elastic/256M/512M}" check='error:waiting:virtio-mem.*512.*256'
row 'a DIMM that is not there' mem=$mem vm='-object memory-backend-ram,id=d0,size=128M -device pc-dimm,id=dimm0,memdev=d0' twin='-name guest=x' \
    check='error:waiting:192 MiB of RAM, the VM 320'
agrees_end

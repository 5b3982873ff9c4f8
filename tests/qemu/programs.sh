# The small programs that the tests run: the bare-metal guest, the monitor client, a crowd of connections, a watcher, one
# that sees a guest's beats, one that hears what it says, one that pings, and a long line. Built when they are missing or older than their sources, by one test at a time.
# shellcheck shell=bash

PROGRAMS=$TOP/build/tests
GUEST_ELF=$PROGRAMS/guest.elf
QMP_CLIENT=$PROGRAMS/qmp
CROWD=$PROGRAMS/crowd
WATCH=$PROGRAMS/watch
BEATS=$PROGRAMS/beats
HEARS=$PROGRAMS/hears
PINGS=$PROGRAMS/pings
LINE=$PROGRAMS/line

programs_fresh() {
    local out=$1
    shift
    [ -e "$out" ] && [ -z "$(find "$@" -newer "$out" -print -quit)" ]
}

programs_build() {
    mkdir -p "$PROGRAMS"
    (
        flock 9
        programs_fresh "$GUEST_ELF" "$TOP/tests/guest" -maxdepth 1 -type f ||
            bash "$TOP/tests/guest/build.sh" "$GUEST_ELF" || fail "the guest cannot be built"
        for program in "$QMP_CLIENT" "$CROWD" "$WATCH" "$BEATS" "$HEARS" "$PINGS" "$LINE"; do
            source=$TOP/tests/helpers/${program##*/}.c
            programs_fresh "$program" "$source" "${source%/*}/until_term.h" || gcc -O1 -o "$program" "$source" ||
                fail "${source#"$TOP"/} cannot be built"
        done
    ) 9>"$PROGRAMS/.lock"
}

# The Linux guest: made where apt can still be reached, before the test has a network of its own.
LINUX_GUEST=$QEMU_CACHE/linux
programs_build_linux() {
    local said
    mkdir -p "$LINUX_GUEST"
    (
        flock 9
        programs_fresh "$LINUX_GUEST/initrd" "$TOP/tests/guest" -type f && [ -e "$LINUX_GUEST/.kernel" ] ||
            said=$(bash "$TOP/tests/guest/linux/build.sh" "$LINUX_GUEST" 2>&1) ||
            skip "the Linux guest cannot be made: $(tail -n 1 <<<"$said")"
    ) 9>"$LINUX_GUEST/.lock" || exit
}
# what vm_start takes for it; give options of the work behind append
linux_guest() {
    LINUX_ARGS=(kernel="$LINUX_GUEST/vmlinuz" initrd="$LINUX_GUEST/initrd" mem=96
        append="console=ttyS0 quiet nokaslr mitigations=off tsc=reliable no_timer_check panic=-1 $*")
}

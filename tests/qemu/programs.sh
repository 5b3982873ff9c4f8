# The small programs that the tests run: the bare-metal guest and the monitor client. Built when they are missing
# or older than their sources, by one test at a time.
# shellcheck shell=bash

PROGRAMS=$TOP/build/tests
GUEST_ELF=$PROGRAMS/guest.elf
QMP_CLIENT=$PROGRAMS/qmp

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
        programs_fresh "$QMP_CLIENT" "$TOP/tests/helpers/qmp.c" ||
            gcc -O1 -o "$QMP_CLIENT" "$TOP/tests/helpers/qmp.c" || fail "the monitor client cannot be built"
    ) 9>"$PROGRAMS/.lock"
}

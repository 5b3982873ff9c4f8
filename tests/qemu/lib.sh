# What every test on real QEMU begins with:
#
#     . "$(dirname "$0")/lib.sh"
#
# It starts the script anew in namespaces of its own (processes, mounts, network; and a user namespace where it is
# not root). So two tests never meet, and whatever a test started ends with it, however it ends. What follows
# then gives the test $T, a private folder that is removed at the end, and the functions of the files beside this
# one: hosts.sh (two hosts and the firewall between them), vm.sh (QEMU and its monitor), guest.sh (what the guest
# says), disk.sh (images), proc.sh (processes by name), adit.sh (the program itself), left.sh (what is left behind),
# move.sh (a migration that must succeed, or fail, from beginning to end), certs.sh (certificates). A test that boots
# the Linux guest sets NEED_LINUX=1 before it sources this, one whose hosts have a fresh root each NEED_ROOT=1 (roots.sh).
# shellcheck shell=bash disable=SC2034

set -Eeuo pipefail

TESTS_QEMU=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$TESTS_QEMU/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
. "$TOP/tests/lib/say.sh"
. "$TESTS_QEMU/qemus.sh"

if [ -z "${ADIT_TEST_INSIDE:-}" ]; then
    need unshare nsenter ip nft ss socat jq qemu-img gcc
    . "$TESTS_QEMU/programs.sh"
    programs_build
    [ -z "${NEED_LINUX:-}" ] || programs_build_linux
    # (debootstrap has to reach its mirror)
    if [ -n "${NEED_ROOT:-}" ]; then
        FRESH_ROOT=$(bash "$TOP/tests/package/root.sh") || { say "$FRESH_ROOT"; exit 77; }
        export FRESH_ROOT
    fi
    as=()
    [ "$(id -u)" = 0 ] || as=(--user --map-root-user)
    unshare "${as[@]}" --net true 2>/dev/null || skip "namespaces may not be made here"
    export ADIT_TEST_INSIDE=1
    # --kill-child: with the first process of the namespace all the others go
    exec unshare "${as[@]}" --mount --net --pid --fork --kill-child --mount-proc bash "$0" "$@"
fi
unset ADIT_TEST_INSIDE

. "$TESTS_QEMU/programs.sh"
. "$TESTS_QEMU/proc.sh"
. "$TESTS_QEMU/hosts.sh"
. "$TESTS_QEMU/vm.sh"
. "$TESTS_QEMU/guest.sh"
. "$TESTS_QEMU/disk.sh"

T=$(mktemp -d "${TMPDIR:-/tmp}/adit-test.XXXXXX")
export XDG_RUNTIME_DIR=$T/run HOME=$T/home TMPDIR=$T/tmp
mkdir -m 700 "$XDG_RUNTIME_DIR" "$HOME" "$TMPDIR"
# where a program built with sanitizers writes what it finds; there must be no such file in the end
export ASAN_OPTIONS=detect_leaks=1:log_path=$T/sanitizer UBSAN_OPTIONS=print_stacktrace=1:log_path=$T/sanitizer

. "$TESTS_QEMU/adit.sh"
. "$TESTS_QEMU/left.sh"
. "$TESTS_QEMU/move.sh"
. "$TESTS_QEMU/certs.sh"

# At the end, whatever the end: on a failure the last words of everybody, then everything goes.
lib_end() {
    local status=$? log
    trap - EXIT ERR
    set +e
    for log in "$T"/sanitizer.*; do
        [ -s "$log" ] || continue
        [ "$status" != 0 ] || status=1
        printf 'FAIL: %s\n' "$(grep -m 1 -E 'ERROR|runtime error' "$log")"
        head -n 40 "$log"
    done >&2
    # what adit says when it would have gone a way that its tables of phases have not
    if log=$(grep -rhsa -m 1 "a fault of adit's own" --include='*.log' --include='*.err' --include='*.json' "$T"); then
        [ "$status" != 0 ] || status=1
        printf 'FAIL: %s\n' "$(head -n 1 <<<"$log")" >&2
    fi
    if [ "$status" != 0 ] && [ "$status" != 77 ]; then
        for log in "$T"/*.log "$T"/*/*.log; do
            [ -s "$log" ] || continue
            printf -- '--- the last lines of %s\n' "${log#"$T"/}"
            tail -n 12 "$log"
        done
    fi >&2
    ! declare -F systemd_end >/dev/null || systemd_end 2>/dev/null
    ! declare -F kill_end >/dev/null || kill_end "$status"
    if [ -n "${ADIT_TEST_KEEP:-}" ]; then
        printf 'kept: %s\n' "$T" >&2
    else
        proc_end_all 2>/dev/null
        umount -lq "$T"/* 2>/dev/null
        rm -rf "$T"
    fi
    exit "$status"
}
lib_error() {
    local status=$?
    # where somebody called fail, that line says it all
    [ -e "$T/.failed" ] || printf "FAIL: %s:%s: exit status %s: %s\n" "${BASH_SOURCE[1]##*/}" "${BASH_LINENO[0]}" \
        "$status" "$BASH_COMMAND" >&2
    exit "$status"
}
trap lib_end EXIT
trap lib_error ERR
trap 'exit 143' TERM
trap 'exit 130' INT HUP

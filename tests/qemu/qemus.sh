#!/usr/bin/env bash
# The QEMUs to test.
#
#     qemus.sh            a line for each: VERSION PROGRAM
#     qemus.sh install    puts another one beside the system's, into a cache folder of its own: on Debian 12 that of its
#                         backports, on Debian 13 that of Debian 12
#
# Nothing of the system is replaced: the packages are only unpacked, and the apt configuration used is private.
# shellcheck shell=bash

QEMU_CACHE=${ADIT_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/adit-tests}
# suite, folder and the libraries that only the other release has, by this machine's release
QEMU_LIBRARIES=()
QEMU_RELEASE=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null)
case $QEMU_RELEASE in
bookworm) QEMU_CACHE_SUITE=bookworm-backports QEMU_FOLDER=qemu-backports ;;
trixie) QEMU_CACHE_SUITE=bookworm QEMU_FOLDER=qemu-bookworm QEMU_LIBRARIES=(libaio1 libcapstone4 libfuse3-3) ;;
*) QEMU_CACHE_SUITE='' QEMU_FOLDER='' ;;
esac
# its libraries alone are in there: no other program finds one of its own in them
[ -z "$QEMU_FOLDER" ] || [ ! -d "$QEMU_CACHE/$QEMU_FOLDER/libraries" ] ||
    export LD_LIBRARY_PATH="$QEMU_CACHE/$QEMU_FOLDER/libraries"
export ADIT_TEST_CACHE=$QEMU_CACHE

# qemus_list: "7.2 /usr/bin/qemu-system-x86_64" and so on, the system's first
qemus_list() {
    local program version
    for program in "$(command -v qemu-system-x86_64)" "$QEMU_CACHE"/qemu-*/usr/bin/qemu-system-x86_64; do
        [ -x "$program" ] || continue
        version=$({ "$program" --version 2>/dev/null || true; } | sed -nE '1s/.*version ([0-9]+\.[0-9]+).*/\1/p')
        [ -z "$version" ] || printf '%s %s\n' "$version" "$program"
    done
}

# qemu_for VERSION: its program, or nothing
qemu_for() { qemus_list | awk -v v="$1" '$1 == v { print $2; exit }'; }

# qemus_apt WORK COMMAND...: an apt tool that knows the one suite only, and keeps its lists and files in WORK
qemus_apt() {
    local work=$1 tool=$2
    shift 2
    "$tool" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User=root "$@"
}

qemus_install() (
    set -eu
    [ -n "$QEMU_CACHE_SUITE" ] || { echo "no second QEMU is known for this machine's release: $QEMU_RELEASE"; exit 1; }
    folder=$QEMU_CACHE/$QEMU_FOLDER
    mkdir -p "$QEMU_CACHE"
    exec 9>"$QEMU_CACHE/.lock"
    flock 9
    [ ! -e "$folder/.complete" ] || exit 0
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        { echo "this is not a Debian: no apt-get"; exit 1; }
    # the mirror that this machine already uses for its own release
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $QEMU_RELEASE" \
        'Component: main' 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || { echo "apt has no mirror of $QEMU_RELEASE here"; exit 1; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/{sources,lists/partial,cache/archives/partial,debs,root}
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$QEMU_CACHE_SUITE" \
        /usr/share/keyrings/debian-archive-keyring.gpg >"$work/sources/suite.sources"
    qemus_apt "$work" apt-get update >"$work/log" 2>&1 ||
        { echo "apt-get update of $QEMU_CACHE_SUITE failed: $(tail -n 1 "$work/log")"; exit 1; }
    packages=()
    for p in qemu-system-x86 qemu-system-common qemu-system-data qemu-utils seabios ${QEMU_LIBRARIES[@]+"${QEMU_LIBRARIES[@]}"}; do
        packages+=("$p/$QEMU_CACHE_SUITE")
    done
    (cd "$work/debs" && qemus_apt "$work" apt-get download "${packages[@]}" >"$work/log" 2>&1) ||
        { echo "the packages of $QEMU_CACHE_SUITE cannot be downloaded: $(tail -n 1 "$work/log")"; exit 1; }
    for p in "$work"/debs/*.deb; do
        dpkg -x "$p" "$work/root"
    done
    rm -rf "$work/root/usr/share/doc"
    # the others are those that the system's own QEMU brought
    if [ ${#QEMU_LIBRARIES[@]} != 0 ]; then
        mkdir "$work/root/libraries"
        find "$work/root/lib" "$work/root/usr/lib" -name 'lib*.so.*' -path '*-linux-gnu/lib*' ! -path '*/qemu/*' \
            -exec mv {} "$work/root/libraries/" \; 2>/dev/null
        export LD_LIBRARY_PATH=$work/root/libraries
    fi
    missing=$(ldd "$work/root/usr/bin/qemu-system-x86_64" "$work/root/usr/bin/qemu-img" |
        awk '/not found/ { printf "%s ", $1 }')
    [ -z "$missing" ] || { echo "it needs libraries that are not installed: $missing"; exit 1; }
    "$work/root/usr/bin/qemu-system-x86_64" --version >/dev/null || { echo "it does not run here"; exit 1; }
    rm -rf "$folder"
    mv "$work/root" "$folder"
    touch "$folder/.complete"
)

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case ${1:-list} in
    list) qemus_list ;;
    install) qemus_install ;;
    *) echo "usage: qemus.sh [list|install]" >&2; exit 2 ;;
    esac
fi

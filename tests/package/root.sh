#!/usr/bin/env bash
# A fresh Debian (minbase, and systemd's tools) in a folder of the tests' cache:
#
#     root.sh [CODENAME]   makes it where it is missing, and prints its path; or prints why not, and ends with 77.
#                          Without a CODENAME (bookworm, trixie) it is this machine's release.
#
# It is never written to afterwards: tests mount something over it (test_deb.sh), or copy it (tests/lib/on.sh).
set -u
CACHE=${ADIT_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/adit-tests}
PATH=$PATH:/usr/sbin:/sbin

no() { printf 'SKIP: %s\n' "$*"; exit 77; }
here=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null)
release=${1:-$here}
[ -n "$release" ] || no 'this machine is no release of Debian'
ROOT=$CACHE/debian-$release-root
[ "$(id -u)" = 0 ] || no 'a Debian root can be made by root only'
mkdir -p "$CACHE" || no "nothing can be made in $CACHE"
exec 9>"$CACHE/.root-$release.lock"
flock 9
if [ ! -e "$ROOT/.complete" ]; then
    command -v debootstrap >/dev/null || no 'debootstrap is not installed'
    # the mirror that this machine uses itself; it has the other releases, too
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $here" \
        'Component: main' 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || no "apt has no mirror of $here here"
    # what became of one that was killed is of no use
    rm -rf --one-file-system "$CACHE/root-$release".??????
    work=$(mktemp -d "$CACHE/root-$release.XXXXXX") || no "nothing can be made in $CACHE"
    mkdir -p "$CACHE/debian-$release-archives"
    trap 'rm -rf --one-file-system "$work"' EXIT
    # in namespaces of its own: what a package's scripts mount or start goes with them
    timeout -s KILL 480 unshare --mount --pid --fork --kill-child debootstrap --variant=minbase --include=systemd \
        --cache-dir="$CACHE/debian-$release-archives" "$release" "$work" "$mirror" \
        >"$CACHE/debootstrap-$release.log" 2>&1 </dev/null ||
        no "debootstrap could not make a root of $release: $(tail -n 1 "$CACHE/debootstrap-$release.log")"
    # it finds the mirror as this machine does, and starts no service
    apt-config dump 2>/dev/null | grep -E '^Acquire::[a-z]+::Proxy' >"$work/etc/apt/apt.conf.d/99proxy"
    printf '#!/bin/sh\nexit 101\n' >"$work/usr/sbin/policy-rc.d"
    chmod 755 "$work/usr/sbin/policy-rc.d"
    chmod 755 "$work"
    touch "$work/.complete"
    rm -rf --one-file-system "$ROOT"
    mv "$work" "$ROOT"
fi
printf '%s\n' "$ROOT"

#!/usr/bin/env bash
# A fresh Debian 12 (minbase, and systemd's tools) in a folder of the tests' cache:
#
#     root.sh         makes it where it is missing, and prints its path; or prints why not, and ends with 77
#
# It is never written to afterwards: tests mount something over it (test_deb.sh).
set -u
CACHE=${ADIT_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/adit-tests}
PATH=$PATH:/usr/sbin:/sbin
ROOT=$CACHE/debian-12-root

no() { printf 'SKIP: %s\n' "$*"; exit 77; }
[ "$(id -u)" = 0 ] || no 'a Debian root can be made by root only'
command -v debootstrap >/dev/null || no 'debootstrap is not installed'
mkdir -p "$CACHE"
exec 9>"$CACHE/.root.lock"
flock 9
if [ ! -e "$ROOT/.complete" ]; then
    # the mirror that this machine uses itself
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' \
        'Component: main' 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || no 'apt has no mirror of bookworm here'
    work=$(mktemp -d "$CACHE/root.XXXXXX") || no "nothing can be made in $CACHE"
    trap 'rm -rf --one-file-system "$work"' EXIT
    # in namespaces of its own: what a package's scripts mount or start goes with them
    timeout -s KILL 240 unshare --mount --pid --fork --kill-child debootstrap --variant=minbase --include=systemd bookworm "$work" \
        "$mirror" >"$CACHE/debootstrap.log" 2>&1 </dev/null ||
        no "debootstrap could not make a root: $(tail -n 1 "$CACHE/debootstrap.log")"
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

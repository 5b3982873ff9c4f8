#!/usr/bin/env bash
# ./check on another release of Debian than this machine's, in a root of that release:
#
#     on.sh CODENAME RESULTS [NAME]...
#
# The root, with what ./check installs, is made once, in the tests' cache, and made anew when tools/packages.sh changes.
# The working tree is copied to build/CODENAME/ and built there; ./check in it runs the tests whose names match one of
# the NAMEs, or those that tests/on-CODENAME lists. Each line that it prints is given CODENAME in front, so are the names
# of its results, which are appended to RESULTS, and its logs are in build/check/CODENAME/. What of the tests on real
# QEMU was left out is in build/check/left-out-CODENAME.txt. Where such a root cannot be had, that is a result too: skipped.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${ADIT_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/adit-tests}

# on_enter ROOT ARCHIVES TREE CACHE BASE COMMAND...: in namespaces of its own, which take along all that is left; there
# TREE is /adit and CACHE the tests' cache, with the fresh root BASE in it
on_enter() {
    exec unshare --mount --pid --uts --ipc --fork --kill-child bash -euc '
        r=$1 archives=$2 tree=$3 cache=$4 base=$5
        shift 5
        mount --make-rprivate /
        # a root has to be a mount of its own
        mount --bind "$r" "$r"
        cd "$r"
        mkdir -p adit var/cache/adit-tests
        mount -t proc proc proc
        mount --rbind /sys sys
        mount --rbind /dev dev
        mount -t tmpfs -o mode=755 tmpfs run
        mount -t tmpfs tmpfs tmp
        mkdir -p run/lock
        mount --bind "$archives" var/cache/apt/archives
        mount --bind "$tree" adit
        mount --bind "$cache" var/cache/adit-tests
        name=${base##*/}
        mkdir -p "var/cache/adit-tests/$name"
        mount --bind "$base" "var/cache/adit-tests/$name"
        cp -L /etc/resolv.conf /etc/hosts etc/
        # not chroot: who enters a mount namespace from within, as tests do, would come out of it again
        pivot_root . .
        umount -l .
        exec /usr/bin/env -i -C /adit HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ADIT_TEST_CACHE=/var/cache/adit-tests "$@"
    ' sh "$@" </dev/null
}

result() { printf '%s\t%s:%s\t%s\t%s\n' "$1" "$release" "$2" "$3" "$4" >>"$results"; }
skip() { result skipped check 0 "$*"; printf '%s: skipped  %s\n' "$release" "$*"; exit 0; }

# on_root: the root with the packages, in ROOT
on_root() {
    local stamp work
    base=$(bash "$top/tests/package/root.sh" "$release") || skip "${base#SKIP: }"
    ROOT=$CACHE/debian-$release-check
    archives=$CACHE/debian-$release-archives
    mkdir -p "$archives/partial" "$CACHE/$release"
    stamp=$(sha256sum <"$top/tools/packages.sh")
    if [ "$(cat "$ROOT/.complete" 2>/dev/null)" != "$stamp" ]; then
        rm -rf --one-file-system "$CACHE/check-$release".??????
        work=$(mktemp -d "$CACHE/check-$release.XXXXXX") && cp -a "$base/." "$work" && rm "$work/.complete" ||
            skip "no root can be made in $CACHE"
        (on_enter "$work" "$archives" "$tree" "$CACHE/$release" "$base" bash tools/packages.sh check) \
            >"$logs/packages.log" 2>&1 || {
            rm -rf --one-file-system "$work"
            skip "the packages of $release cannot be had: $(tail -n 1 "$logs/packages.log")"
        }
        printf '%s\n' "$stamp" >"$work/.complete"
        rm -rf --one-file-system "$ROOT"
        mv "$work" "$ROOT"
    fi
}

# on_tree: the working tree, what git does not know and does not ignore too; what was built there before stays
on_tree() {
    mkdir -p "$tree"
    find "$tree" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf --one-file-system {} +
    cd "$top" || exit 1
    if git rev-parse >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
            [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"
        done
    else
        find . -path ./build -prune -o ! -type d -print0
    fi | tar -c --no-recursion --null -T - | tar -x -C "$tree"
}

release=$1 results=$2
shift 2
tree=$top/build/$release logs=$top/build/check/$release
[ -e "$top/tests/on-$release" ] || { echo "no such release: $release (tests/on-$release)" >&2; exit 2; }
names=("$@")
rm -rf "$logs" "$top/build/check/left-out-$release.txt"
mkdir -p "$logs"
[ ${#names[@]} != 0 ] || mapfile -t names < <(awk '!/^#/ && NF { print $1 }' "$top/tests/on-$release")
# one at a time in that root and that tree
mkdir -p "$CACHE"
exec 8>"$CACHE/.check-$release.lock"
flock 8
on_tree || { result failed check 0 "the tree cannot be copied to build/$release"; exit 1; }
on_root
rm -f "$tree/build/check/results.txt"
exec 7> >(sed -u "s/^./$release: &/")
printer=$!
(on_enter "$ROOT" "$archives" "$tree" "$CACHE/$release" "$base" ./check "${names[@]}") >&7 2>&1 &
inside=$!
exec 7>&-
# unshare does not hear of SIGTERM while it waits
trap 'kill -KILL $inside 2>/dev/null; wait; exit 130' INT TERM
wait $inside
wait $printer
cp "$tree"/build/check/*.log "$logs/" 2>/dev/null
if [ -s "$tree/build/check/results.txt" ]; then
    sed "s|see build/check/|see build/check/$release/|" "$tree/build/check/results.txt" |
        awk -F '\t' -v OFS='\t' -v r="$release:" '{ $2 = r $2; print }' >>"$results"
else
    result failed check 0 "./check ended without a result"
fi
# a name without its QEMU is one that was run, on whichever
bash "$tree/tests/qemu/run.sh" -l | sed 's/@.*//' | awk '!seen[$0]++' |
    grep -vxFf <(awk -F '\t' '{ sub(/@.*/, "", $2); print $2 }' "$tree/build/check/results.txt" 2>/dev/null) \
        >"$top/build/check/left-out-$release.txt"
exit 0

#!/usr/bin/env bash
# Goal: the Debian packages that cpack makes install with apt in a fresh Debian 12, with all that they need; the program
# runs there, and carries bytes; its pages and units are there, and systemd finds nothing wrong with these and little to
# expose; the service is neither enabled nor started; when they are removed nothing but the configuration stays, when
# they are purged nothing at all, but for an account of migrations that are not at an end.
. "$(dirname "$0")/../integration/lib.sh"
: "${TOP:?}"
PACKAGES=$TOP/build/package/packages
ARCHIVES=${ADIT_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/adit-tests}/debian-12-archives

if [ -z "${ADIT_ROOT:-}" ]; then
    need debootstrap cpack dpkg-shlibdeps dpkg-deb unshare socat ip
    said=$(bash "$TOP/tests/package/root.sh") || { say "$said"; exit 77; }
    say "built in build/package"
    cd "$TOP" || exit 1
    { cmake --preset package && cmake --build --preset package -j 2; } >"$T/build.log" 2>&1 ||
        fail "the build for the package: $(grep -E -m 3 'error|Error' "$T/build.log")"
    rm -rf "$PACKAGES"
    (cd build/package && cpack -G DEB) >"$T/cpack.log" 2>&1 || fail "cpack: $(tail -n 3 "$T/cpack.log")"
    # what the packages need is fetched while there is a network, and kept
    mkdir -p "$ARCHIVES/partial"
    unshare --mount bash -c '
        set -e
        mount -t tmpfs tmpfs /mnt && mkdir /mnt/{upper,work,root}
        mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
        mount --bind "$2" /mnt/root/var/cache/apt/archives
        mkdir /mnt/root/packages && cp "$3"/*.deb /mnt/root/packages
        cp -L /etc/resolv.conf /mnt/root/etc/resolv.conf
        chroot /mnt/root sh -c "apt-get -q -y -d install /packages/*.deb"' - "$said" "$ARCHIVES" "$PACKAGES" \
        >"$T/fetch.log" 2>&1 </dev/null || fail "apt-get cannot fetch what the packages need: $(tail -n 2 "$T/fetch.log")"
    # in namespaces that take along all that is started or mounted in them
    ADIT_ROOT=$said unshare --mount --net --pid --ipc --uts --fork --kill-child bash "$0"
    exit
fi

# nothing is mounted below $T, which is removed at the end
R=/mnt/root
mount -t tmpfs tmpfs /mnt && mkdir /mnt/{upper,work,root} &&
    mount -t overlay overlay -o "lowerdir=$ADIT_ROOT,upperdir=/mnt/upper,workdir=/mnt/work" $R ||
    fail 'no file system can be mounted over the fresh root'
mount --bind "$ARCHIVES" "$R/var/cache/apt/archives" || fail "$ARCHIVES cannot be mounted"
mount -t proc proc "$R/proc" && mount -t tmpfs tmpfs "$R/run" && mount -t tmpfs tmpfs "$R/tmp" || fail 'no file systems for the root'
ip link set lo up
# inside COMMAND...: in the fresh root, with a clean environment
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$R" "$@" </dev/null; }
# apt ARG...: there is no network, so what was fetched before must be enough
apt() { inside apt-get -q -y "$@" >"$T/apt.log" 2>&1 || fail "apt-get $*: $(tail -n 4 "$T/apt.log")"; }
# files: all that is there, but what apt and dpkg note for themselves
files() {
    (cd "$R" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \
        -o -path ./packages -o -path ./etc/ld.so.cache \) -prune -o -print | sort)
}
mkdir "$R/packages"
cp "$PACKAGES"/*.deb "$R/packages"
version=$(sed -nE 's/^project\(adit VERSION ([0-9.]+).*/\1/p' "$TOP/CMakeLists.txt")

say 'what is in them'
expect_equal 'packages' "adit libadit-dev libadit0" "$(for p in "$PACKAGES"/*.deb; do dpkg-deb -f "$p" Package; done | sort | paste -sd' ')"
for p in "$PACKAGES"/*.deb; do
    expect_equal "version of $p" "$version" "$(dpkg-deb -f "$p" Version)"
    name=$(dpkg-deb -f "$p" Package)
    dpkg-deb -c "$p" >"$T/$name.list"
    ! awk '$2 != "root/root"' "$T/$name.list" | grep . || fail "$name: files of somebody else"
    ! grep -E '^[^l]....w|^[^l].......w' "$T/$name.list" || fail "$name: files that others may write to"
    grep -qE "\./usr/share/doc/$name/copyright$" "$T/$name.list" || fail "$name: no copyright"
    grep -qE "\./usr/share/doc/$name/changelog.gz$" "$T/$name.list" || fail "$name: no changelog"
done
needs=$(dpkg-deb -f "$PACKAGES/adit_${version}_$(dpkg --print-architecture).deb" Depends)
for library in libc6 libevent libjansson4 libssh libssl3; do
    grep -q "$library" <<<"$needs" || fail "adit does not depend on $library: $needs"
done

say 'installed'
files >"$T/before"
apt install $(cd "$R" && printf '/%s ' packages/*.deb)
expect_equal 'adit --version' "adit $version" "$(inside adit --version)"
inside adit migrate --help >"$T/help" || fail 'adit migrate --help'
for page in man1/adit.1 man1/adit-migrate.1 man1/adit-cancel.1 man8/adit-serve.8 man5/adit.conf.5; do
    [ -e "$TOP/docs/man/${page##*/}" ] || [ "$page" = man1/adit-cancel.1 ] || continue
    gzip -t "$R/usr/share/man/$page.gz" || fail "no page $page.gz"
done
[ -e "$R/usr/share/bash-completion/completions/adit" ] || fail 'no completion for bash'
(cd "$R" && ldd usr/lib/*/libadit.so.0 >/dev/null) || fail 'no libadit.so.0'
expect_equal 'whether ld.so knows libadit' yes "$(inside ldconfig -p | grep -q libadit.so.0 && echo yes)"
for f in usr/bin/adit usr/lib/*/libadit.so.0; do
    readelf -d "$R"/$f | grep -q BIND_NOW || fail "$f was not linked with -z now"
    ! readelf -S "$R"/$f | grep -q debug_info || fail "$f was not stripped"
done
say 'systemd on its units'
units='adit.service adit.socket adit-api.socket'
inside systemd-analyze verify --man=no $units >"$T/verify.log" 2>&1 || fail "systemd-analyze verify: $(cat "$T/verify.log")"
! grep adit "$T/verify.log" || fail 'systemd-analyze verify complains of a unit'
inside systemd-analyze security --offline=yes --threshold=50 adit.service >"$T/security.log" 2>&1 ||
    fail "adit.service is exposed more than it was: $(tail -n 1 "$T/security.log")"
tail -n 1 "$T/security.log"
for unit in $units; do
    expect_equal "whether $unit is enabled" disabled "$(inside systemctl is-enabled "$unit" 2>&1)"
done
if [ -e "$R/etc/adit/adit.conf" ]; then
    expect_equal 'mode of adit.conf' '644 root' "$(stat -c '%a %U' "$R/etc/adit/adit.conf")"
    # as it comes nobody may connect; with a key, as its first lines say, it holds
    ! inside adit serve --check-config --config /etc/adit/adit.conf >"$T/config.log" 2>&1 ||
        fail 'the configuration of the package lets somebody in'
    grep -q 'write psk = FILE' "$T/config.log" || fail "the configuration of the package: $(cat "$T/config.log")"
    inside sh -c 'umask 077 && adit keygen tester >/run/try.psk && sed "s|^#psk = .*|psk = /run/try.psk|" \
        /etc/adit/adit.conf >/run/try.conf && adit serve --check-config --config /run/try.conf' >"$T/config.log" 2>&1 ||
        fail "the configuration of the package, with a key: $(cat "$T/config.log")"
    rm "$R/run/try.psk" "$R/run/try.conf"
fi

say 'a forward between two of them, over loopback'
inside adit keygen -o /etc/adit.psk tester || fail 'adit keygen'
inside sh -c 'echo $$ >/run/serve.pid; exec adit serve --listen 127.0.0.1:0 --psk /etc/adit.psk \
    --allow-forward unix:/run/far.sock --allow-migrate' 2>"$T/serve.log" &
wait_until 10 'adit serve listens' grep -q 'listening on' "$T/serve.log"
port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$T/serve.log")
socat "UNIX-LISTEN:$R/run/far.sock" EXEC:'/usr/bin/sha256sum -' &
inside adit forward "tls://127.0.0.1:$port" --psk /etc/adit.psk -L unix:/run/near.sock=unix:/run/far.sock --background \
    --pid-file /run/forward.pid 2>"$T/forward.log" || fail "adit forward: $(cat "$T/forward.log")"
head -c 20000000 /dev/urandom >"$T/data"
expect_equal 'what came through' "$(sha256sum - <"$T/data")" "$(timeout 20 socat -t 20 - "UNIX-CONNECT:$R/run/near.sock" <"$T/data")"
for program in forward serve; do
    pid=$(cat "$R/run/$program.pid")
    kill -TERM "$pid"
    wait_until 10 "adit $program ends" gone "$pid"
done
[ -d "$R/var/lib/adit/journal" ] || fail 'there is no journal'
rm "$R/etc/adit.psk"

say 'removed'
apt remove adit libadit0 libadit-dev
apt autoremove --purge
left=$(files | comm -13 "$T/before" - | grep -vE '^\./var/lib/adit(/|$)' | paste -sd' ')
wanted=
[ ! -e "$TOP/dist/adit.conf" ] || wanted='./etc/adit ./etc/adit/adit.conf'
expect_equal 'what stays when they are removed' "$wanted" "$left"

say 'purged'
# an account of a migration that is not at an end outlives even that
record=/var/lib/adit/journal/source-0123456789abcdef0123456789abcdef.json
echo '{}' >"$R$record"
inside sh /var/lib/dpkg/info/adit.postrm purge 2>"$T/purge.log"
[ -e "$R$record" ] || fail 'the journal of an unfinished migration was removed'
grep -q '/var/lib/adit is left there' "$T/purge.log" || fail "nothing was said of the journal: $(cat "$T/purge.log")"
rm "$R$record"
inside dpkg --purge adit libadit0 libadit-dev >"$T/dpkg.log" 2>&1 || fail "dpkg --purge: $(tail -n 3 "$T/dpkg.log")"
expect_equal 'what stays when they are purged' '' "$(files | comm -13 "$T/before" - | paste -sd' ')"
expect_equal 'packages that dpkg still knows' '' "$(inside dpkg-query -W '*adit*' 2>/dev/null)"
expect_equal 'what was there before and is not' '' "$(files | comm -23 "$T/before" - | paste -sd' ')"

#!/usr/bin/env bash
# Goal: the Debian packages that cpack makes install with apt in a fresh Debian of this machine's release, with a systemd of its own, and bring
# all that they need; pages and units are there, and systemd finds nothing wrong with these and little to expose; the
# service is neither enabled nor started; once the configuration says who may come it starts, and carries bytes; removing
# the packages stops it and leaves nothing but the configuration, purging them nothing at all, but for keys and for an
# account of migrations that are not at an end.
. "$(dirname "$0")/../integration/lib.sh"
: "${TOP:?}"
. "$TOP/tests/lib/docs.sh"
. "$TOP/tests/package/over.sh"
PACKAGES=$TOP/build/package/packages

if [ "${1:-}" = fetch ]; then
    over_fetch
    mkdir $R/packages && cp "$PACKAGES"/*.deb $R/packages
    chroot $R sh -c 'apt-get -q -y -d install /packages/*.deb'
    exit
fi
if [ -z "${ADIT_ROOT:-}" ]; then
    need debootstrap cpack dpkg-shlibdeps dpkg-deb unshare nsenter setpriv socat ip
    said=$(bash "$TOP/tests/package/root.sh") || { say "$said"; exit 77; }
    say "built in build/package"
    cd "$TOP" || exit 1
    rm -rf "$PACKAGES"
    docs_block docs/install.md 'Debian packages' 1 >"$T/lines"
    sed -n 1p "$T/lines" | CMAKE_BUILD_PARALLEL_LEVEL=2 bash -eu >"$T/build.log" 2>&1 ||
        fail "the build for the package: $(grep -E -m 3 'error|Error' "$T/build.log" || tail -n 3 "$T/build.log")"
    # what the packages need is fetched while there is a network, and kept
    mkdir -p "$ARCHIVES/partial"
    ADIT_ROOT=$said timeout -k 5 60 unshare --mount bash "$0" fetch \
        >"$T/fetch.log" 2>&1 </dev/null || fail "apt-get cannot fetch what the packages need: $(tail -n 2 "$T/fetch.log")"
    # a control group for its systemd, below that of this process
    at=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    group=$(mktemp -d "$at$(sed -n 's/^0:://p' /proc/self/cgroup)/adit-test.XXXXXX" 2>&1) ||
        skip "no control group can be made for a systemd: $group"
    GROUP=$group over_again "$said"
    status=$?
    # the last in it may take a moment to be gone
    for ((i = 0; i < 100; i++)); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$group" ] || break
        sleep 0.05
    done
    [ ! -d "$group" ] || say "note: the control group $group is left"
    exit $status
fi

# nothing is mounted below $T, which is removed at the end
over_system
mkdir -p "$R/dev/pts" "$R/dev/shm" "$R/build/package/packages"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
ln -s /proc/self/fd "$R/dev/fd"
cp "$PACKAGES"/*.deb "$R/build/package/packages"
# what a person answers, and knows
echo 'APT::Get::Assume-Yes "true";' >"$R/etc/apt/apt.conf.d/98yes"
echo '127.0.0.1 destination' >>"$R/etc/hosts"
# in a root of its own nothing is to be kept from starting
rm "$R/usr/sbin/policy-rc.d"
ip link set lo up

# A systemd that cannot change anything of the kernel's: no modules, no clock, no settings.
(
    echo "$BASHPID" >"$GROUP/cgroup.procs"
    exec unshare --mount --pid --cgroup --fork --kill-child sh -c '
        mount -t proc proc "$1/proc" && mount --bind "$1/proc/sys" "$1/proc/sys" &&
            mount -o remount,bind,ro "$1/proc/sys" && mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup" &&
            exec setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-sys_boot,-syslog env -i container=adit-test \
                PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" /lib/systemd/systemd --system --unit=multi-user.target \
                --log-target=console' sh "$R"
) >"$T/systemd.log" 2>&1 </dev/null &
UNSHARE=$!
started $UNSHARE
# inside COMMAND...: among its processes and files, with a clean environment
inside() {
    nsenter -t "$INIT" -m -u -i -n -p -C -r -- env -C / -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        LC_ALL=C.UTF-8 HOME=/root "$@" </dev/null
}
is_up() { INIT=$(pgrep -P "$UNSHARE") && [[ $(inside systemctl is-system-running 2>&1) =~ ^(running|degraded)$ ]]; }
wait_until 30 'systemd is up' is_up

# apt ARG...: there is no network, so what was fetched before must be enough
apt() { inside apt-get -q -y "$@" >"$T/apt.log" 2>&1 || fail "apt-get $*: $(tail -n 4 "$T/apt.log")"; }
# lines: a shell inside runs what comes on standard input, as it stands
lines() { inside bash -euc "$(cat)" >"$T/lines.log" 2>&1 || fail "$(tail -n 4 "$T/lines.log")"; }
# files: all that is there, but what apt, dpkg and systemd note for themselves
files() {
    (cd "$R" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \
        -o -path ./var/tmp -o -path ./var/lib/systemd -o -path ./build -o -path ./etc/ld.so.cache \) -prune -o -print | sort)
}
# says STATE UNIT: what systemctl is-active or is-enabled says of it
state() { inside systemctl "is-$1" "$2" 2>&1; }
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
docs_block docs/install.md 'Debian packages' 1 | sed 1d | lines
apt install $(cd "$R" && printf '/%s ' build/package/packages/libadit*.deb)
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
inside systemd-analyze verify --man=no $units adit-vm@one.service >"$T/verify.log" 2>&1 || fail "systemd-analyze verify: $(cat "$T/verify.log")"
! grep adit "$T/verify.log" || fail 'systemd-analyze verify complains of a unit'
inside systemd-analyze security --offline=yes --threshold=50 adit.service >"$T/security.log" 2>&1 ||
    fail "adit.service is exposed more than it was: $(tail -n 1 "$T/security.log")"
tail -n 1 "$T/security.log"
for unit in $units; do
    expect_equal "$unit" 'disabled inactive' "$(state enabled "$unit") $(state active "$unit")"
done

say 'configured, and started by systemd'
config=$R/etc/adit/adit.conf
expect_equal 'mode of adit.conf' '644 root' "$(stat -c '%a %U' "$config")"
expect_equal 'conffiles' /etc/adit/adit.conf "$(inside dpkg-query -W -f '${Conffiles}' adit | awk '{ print $1 }')"
# as it comes nobody may connect; with a key, as its first lines say, it holds
expect_failure 'the configuration of the package lets somebody in' inside adit serve --check-config
grep -q 'write psk = FILE' <<<"$EXPECTED_FAILURE" || fail "--check-config: $EXPECTED_FAILURE"
inside adit keygen -o /etc/adit/psk tester || fail 'adit keygen'
sed -i 's|^#psk = |psk = |' "$config"
printf '[peer tester]\nmigrate = yes\nforward = unix:/run/far.sock\nforward = unix:/run/x.sock\n' >>"$config"
# begins: the lines that come start it, for good
begins() {
    lines
    expect_equal 'adit.service' 'enabled active' "$(state enabled adit.service) $(state active adit.service)"
}
docs_block docs/hosts.md 'On each host' 2 | begins
inside rmdir /var/lib/vms
inside systemctl disable -q --now adit.service
docs_block docs/man/adit-serve.8 EXAMPLES 2 | begins
inside systemctl disable -q --now adit.service
docs_block docs/system.md 'The units' 1 >"$T/units"
grep -v adit.socket "$T/units" | begins

socat "UNIX-LISTEN:$R/run/far.sock,fork" EXEC:'/usr/bin/sha256sum -' &
started $!
head -c 20000000 /dev/urandom >"$T/data"
# carries: a forward to the service, and one real transfer through it
carries() {
    inside adit forward tls://127.0.0.1 --psk /etc/adit/psk -L unix:/run/near.sock=unix:/run/far.sock --background \
        --pid-file /run/forward.pid >"$T/forward.log" 2>&1 || fail "adit forward: $(cat "$T/forward.log")"
    expect_equal 'what came through' "$(sha256sum - <"$T/data")" \
        "$(timeout 20 socat -t 20 - "UNIX-CONNECT:$R/run/near.sock" <"$T/data")"
    # it ends in the namespace that it began in
    inside sh -c 'kill -TERM "$(cat /run/forward.pid)"'
    wait_until 10 'adit forward ends' [ ! -e "$R/run/forward.pid" ]
}
carries
inside systemctl reload adit.service || fail 'systemctl reload'
say 'a tunnel that a socket unit starts'
socat "UNIX-LISTEN:$R/run/x.sock,fork" EXEC:'/usr/bin/sha256sum -' &
started $!
mkdir -p "$R/run/systemd/system"
docs_block docs/system.md 'Other managers, and descriptors' 1 >"$R/run/systemd/system/tunnel.service"
printf '[Socket]\nListenStream=/run/tunnel.sock\n' >"$R/run/systemd/system/tunnel.socket"
inside systemctl daemon-reload && inside systemctl start tunnel.socket || fail 'systemctl start tunnel.socket'
expect_equal 'what came through it' "$(sha256sum - <"$T/data")" \
    "$(timeout 20 socat -t 20 - "UNIX-CONNECT:$R/run/tunnel.sock" <"$T/data")"
inside systemctl stop tunnel.socket tunnel.service || fail 'systemctl stop tunnel'
inside systemctl disable -q --now adit.service || fail 'systemctl disable'
expect_equal 'adit.service, when it was stopped' inactive "$(state active adit.service)"
say 'started by who comes to its port'
grep adit.socket "$T/units" | lines
expect_equal 'adit.service, before anybody came' inactive "$(state active adit.service)"
carries
expect_equal 'adit.service, when somebody came' active "$(state active adit.service)"
[ -d "$R/var/lib/adit/journal" ] || fail 'there is no journal'

say 'removed'
apt remove adit libadit0 libadit-dev
for unit in adit.service adit.socket; do
    expect_equal "$unit, when it was removed" inactive "$(state active "$unit")"
done
[ -z "$(inside sh -c 'for p in /proc/[0-9]*/comm; do read -r name <"$p"; [ "$name" != adit ] || echo "$p"; done' 2>/dev/null)" ] ||
    fail 'an adit runs on'
apt autoremove --purge
left=$(files | comm -13 "$T/before" - | grep -vE '^\./var/lib/adit(/|$)' | paste -sd' ')
expect_equal 'what stays when they are removed' \
    './etc/adit ./etc/adit/adit.conf ./etc/adit/psk ./etc/systemd/system/sockets.target.wants ./etc/systemd/system/sockets.target.wants/adit.socket' "$left"

say 'purged'
# an account of a migration that is not at an end outlives even that
record=/var/lib/adit/journal/source-0123456789abcdef0123456789abcdef.json
echo '{}' >"$R$record"
inside sh /var/lib/dpkg/info/adit.postrm purge 2>"$T/purge.log"
[ -e "$R$record" ] || fail 'the journal of an unfinished migration was removed'
grep -q '/var/lib/adit is left there' "$T/purge.log" || fail "nothing was said of the journal: $(cat "$T/purge.log")"
rm "$R$record"
inside dpkg --purge adit libadit0 libadit-dev >"$T/dpkg.log" 2>&1 || fail "dpkg --purge: $(tail -n 3 "$T/dpkg.log")"
grep -q '/etc/adit has files' "$T/dpkg.log" || fail "nothing was said of the key: $(cat "$T/dpkg.log")"
expect_equal 'what dpkg warns of, but for the key' '' "$(grep warning "$T/dpkg.log" | grep -vE "'/etc/adit'|libadit-dev which isn't installed" || true)"
expect_equal 'what stays when they are purged' './etc/adit ./etc/adit/psk' "$(files | comm -13 "$T/before" - | paste -sd' ')"
expect_equal 'what was there before and is not' '' "$(files | comm -23 "$T/before" - | paste -sd' ')"
expect_equal 'packages that dpkg still knows' '' "$(inside dpkg-query -W '*adit*' 2>/dev/null)"
docs_done

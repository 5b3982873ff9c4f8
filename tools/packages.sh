#!/usr/bin/env bash
# What adit needs of a bare Debian: packages.sh build|package|demo|check installs those packages of that purpose (check's
# are all of them, the others' also those of build) that are missing, where it is root; else it says which command would.
set -euo pipefail

purpose=${1:-build}
packages=(gcc libc6-dev make cmake pkg-config libevent-dev libssl-dev libjansson-dev libinih-dev libssh-dev libcmocka-dev)
[[ $purpose = build || $purpose = package ]] ||
    packages+=(qemu-system-x86 qemu-utils iproute2 nftables socat jq util-linux bsdutils procps)
[ "$purpose" != check ] ||
    packages+=(openssl gnutls-bin libnbd-bin nbdkit openssh-client openssh-server clang clang-format curl diffutils systemd)
# what cpack -G DEB calls
[[ $purpose != check && $purpose != package ]] || packages+=(dpkg-dev file)
# for tests/package
[ "$purpose" != check ] || packages+=(mandoc zsh fish debootstrap)
# for the Linux guest
[ "$purpose" != check ] || packages+=(xz-utils)
# firmware and a TPM for guests
[ "$purpose" != check ] || packages+=(ovmf swtpm)
# for the seed of a cloud image
[ "$purpose" != check ] || packages+=(genisoimage)
# for tests/libvirt
[ "$purpose" != check ] || packages+=(libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)

# clang's sanitizers and fuzzer are a package of their own, with clang's version in its name
release=$(sed -n 's/^VERSION_ID="\(.*\)"/\1/p' /etc/os-release 2>/dev/null || true)
case $purpose-$release in
check-12) packages+=(libclang-rt-14-dev) ;;
check-13) packages+=(libclang-rt-19-dev) ;;
esac

command -v dpkg-query >/dev/null || { echo "not a Debian: install by hand: ${packages[*]}"; exit 0; }
missing=()
for p in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q ' installed$' || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "these packages are missing; as root: apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# no service that comes with a package is to start on somebody's machine because of a test
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$log" "$policy"' EXIT
fi
{ apt-get -q update && apt-get -q install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; echo "apt-get could not install ${missing[*]}" >&2; exit 1; }

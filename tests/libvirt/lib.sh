# What every test with real libvirt daemons begins with. All that tests/qemu/lib.sh gives, and here: hosts.sh (hosts that
# also have processes, files and a name of their own), daemon.sh (libvirtd or virtqemud on each), domain.sh (the VMs, what
# virsh says of them), migrate.sh (virsh migrate through the tunnel, and what must hold afterwards).
# shellcheck shell=bash disable=SC2034

TESTS_LIBVIRT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$TESTS_LIBVIRT/../qemu/lib.sh"
need virsh script
[ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 65536 ] || skip "libvirt's hosts need root"

. "$TESTS_LIBVIRT/hosts.sh"
. "$TESTS_LIBVIRT/daemon.sh"
. "$TESTS_LIBVIRT/domain.sh"
. "$TESTS_LIBVIRT/migrate.sh"

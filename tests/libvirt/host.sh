# The first process of a host, in new namespaces: host.sh NAME FOLDER. Only hosts.sh runs it.
# ADIT_TEST_OVER_USR may name folders (a:b) of another libvirt, another QEMU.
# shellcheck shell=bash
set -eu
name=$1 root=$2
mount --make-rprivate /
hostname "$name"
# /etc stays as it is: what libvirt wants of it is only here
mount -t tmpfs none "$root/over"
mkdir "$root"/over/{upper,work}
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$root/over/upper,workdir=$root/over/work" /etc
mkdir -p /etc/libvirt
# other versions than the system's: unpacked packages, laid over /usr
[ -z "${ADIT_TEST_OVER_USR:-}" ] || mount -t overlay overlay -o "lowerdir=$ADIT_TEST_OVER_USR:/usr" /usr
for file in hosts passwd group; do
    cat "$root/etc/$file" >"/etc/$file"
done
mount --bind "$root/etc/libvirt" /etc/libvirt
mount --bind "$root/run" /run
for place in lib log cache; do
    mount --bind "$root/$place" "/var/$place"
done
: >"$root/up"
# ignoring SIGCHLD, it leaves no zombie of the processes that come to it: libvirt would wait for those
exec env --ignore-signal=CHLD sleep infinity

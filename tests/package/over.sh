# A fresh Debian of this machine's release (root.sh, whose path is $ADIT_ROOT) at $R, below a file system that takes what is
# written there: for a test in a mount namespace of its own.
# shellcheck shell=bash
: "${TOP:?}"
R=/mnt/root
RELEASE=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# what apt fetches while there is a network; it is kept
ARCHIVES=${ADIT_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/adit-tests}/debian-$RELEASE-archives

over() {
    mount -t tmpfs tmpfs /mnt && mkdir /mnt/{upper,work,root} &&
        mount -t overlay overlay -o "lowerdir=$ADIT_ROOT,upperdir=/mnt/upper,workdir=/mnt/work" $R &&
        mount --bind "$ARCHIVES" $R/var/cache/apt/archives || fail 'no file system can be mounted over the fresh root'
}

# over_fetch: the same, with this machine's network
over_fetch() {
    over
    cp -L /etc/resolv.conf $R/etc/resolv.conf
}

# over_system: the same, with all that a running system has but /proc
over_system() {
    local node
    over
    mount -t sysfs -o ro sysfs $R/sys && mount -t tmpfs tmpfs $R/run && mount -t tmpfs tmpfs $R/tmp &&
        mount -t tmpfs -o mode=755 tmpfs $R/dev || fail 'no file systems for the root'
    for node in null zero full random urandom tty; do
        : >"$R/dev/$node"
        mount --bind "/dev/$node" "$R/dev/$node"
    done
}

# over_again ROOT: this script once more, over ROOT, in namespaces that take along all that is started or mounted in them
# (unshare does not hear of SIGTERM while it waits)
over_again() { ADIT_ROOT=$1 timeout -s KILL 200 unshare --mount-proc --net --pid --ipc --uts --fork --kill-child bash "$0"; }

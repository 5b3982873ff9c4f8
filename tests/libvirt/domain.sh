# Domains with the bare-metal guest, and virsh.
# shellcheck shell=bash disable=SC2034

LIBVIRT=/var/lib/libvirt
# the guest's READY line, by domain: what its disks are
declare -A DOMAIN_READY=()

# virsh_on HOST COMMAND...: what it prints, said and failed
virsh_on() {
    local host=$1
    shift
    on_host "$host" virsh "$@"
}

# domain_images NAME SIZE KIND...: images NAME-N.FORMAT on src, each filled, a KIND (FORMAT:BUS) each, and empty ones of
# that size on dst, as somebody has to make them there; they are $DOMAIN_DISKS for domain_start
domain_images() {
    local name=$1 size=$2 i=0 kind
    shift 2
    DOMAIN_DISKS=("$@")
    for kind; do
        disk_make "$(domain_image src "$name" $i "$kind")" "${kind%:*}" "$size"
        qemu-img create -q -f "${kind%:*}" "$(domain_image dst "$name" $i "$kind")" "$size"
        i=$((i + 1))
    done
}
# domain_overlays NAME SIZE KIND...: likewise, each over a file of its own that both hosts have, with 2 MiB in the image itself
domain_overlays() {
    local name=$1 size=$2 i=0 kind host base image
    shift 2
    DOMAIN_DISKS=("$@")
    for kind; do
        base=$name-$i.base
        disk_make "$T/src/lib/libvirt/images/$base" raw "$size"
        cp "$T/src/lib/libvirt/images/$base" "$T/dst/lib/libvirt/images/"
        for host in src dst; do
            image=$(domain_image $host "$name" $i "$kind")
            qemu-img create -q -f qcow2 -b "$base" -F raw "$image" "$size"
        done
        qemu-io -f qcow2 -c 'write -q -P 0xab 9M 2M' "$(domain_image src "$name" $i "$kind")"
        i=$((i + 1))
    done
}
domain_image() { printf '%s\n' "$T/$1/lib/libvirt/images/$2-$3.${4%:*}"; }

# domain_start NAME HOST OPTIONS [persistent]: a transient domain, or not, of 32 MiB with $DOMAIN_DISKS, the guest told OPTIONS (tests/guest/main.c);
# up and at work. It is a VM for guest.sh: NAME on src, NAME-twin on dst.
domain_start() {
    local name=$1 host=$2
    domain_vm "$name" src "$name"
    domain_vm "$name-twin" dst "$name"
    VM_DISKS[$name]=${#DOMAIN_DISKS[@]} VM_DISKS[$name-twin]=${#DOMAIN_DISKS[@]}
    rm -f "$T"/{src,dst}/lib/libvirt/qemu/"$name.log"
    domain_xml "$name" "$3" >"$T/$host/lib/libvirt/$name.xml"
    {
        if [ -n "${4:-}" ]; then
            virsh_on "$host" -q define "$LIBVIRT/$name.xml" && virsh_on "$host" -q start "$name"
        else
            virsh_on "$host" -q create "$LIBVIRT/$name.xml"
        fi
    } >"$T/virsh.log" 2>&1 || fail "virsh: $(head -n 1 "$T/virsh.log")"
    guest_ready "$name"
    DOMAIN_READY[$name]=$(guest_find "$name" '^READY')
    guest_reaches "$name" beat 8 20
}
domain_vm() {
    local dir=$T/$2/lib/libvirt/qemu
    VM_HOST[$1]=$2 VM_SERIAL[$1]=$dir/$3.serial VM_LOG[$1]=$dir/$3.log
}

domain_xml() {
    local kind i=0 hd=0 vd=0 letters=abcd format bus dev
    cat <<XML
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>32</memory>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$LIBVIRT/images/${GUEST_ELF##*/}</kernel>
    <cmdline>$2</cmdline>
  </os>
  <devices>
    <emulator>$QEMU</emulator>
XML
    for kind in ${DOMAIN_DISKS[@]+"${DOMAIN_DISKS[@]}"}; do
        format=${kind%:*} bus=${kind#*:}
        case $bus in
        ide) dev=hd${letters:hd++:1} ;;
        virtio) dev=vd${letters:vd++:1} ;;
        esac
        cat <<XML
    <disk type='file' device='disk'>
      <driver name='qemu' type='$format'/>
      <source file='$LIBVIRT/images/$1-$i.$format'/>
      <target dev='$dev' bus='$bus'/>
    </disk>
XML
        i=$((i + 1))
    done
    cat <<XML
    <serial type='unix'>
      <source mode='bind' path='$LIBVIRT/qemu/$1.serial'/>
      <log file='$LIBVIRT/qemu/$1.log' append='on'/>
    </serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
XML
}

# domain_state NAME HOST: running, paused ... or nothing where there is none
domain_state() { { virsh_on "$2" domstate "$1" 2>/dev/null || true; } | sed '/^$/d'; }
domain_is() { [ "$(domain_state "$1" "$2")" = "$3" ]; }

# domain_end NAME HOST
domain_end() { virsh_on "$2" -q destroy "$1" >"$T/virsh.log" 2>&1 || fail "virsh destroy: $(head -n 1 "$T/virsh.log")"; }

# domain_events_start DOMAIN HOST: what happens to it from now on, as virsh event tells it, in $T/events.log
domain_events_start() {
    proc_start events "$2" virsh event --domain "$1" --event lifecycle --loop
    wait_until 5 "virsh event" eval 'proc_list "^virsh event " | grep -q .'
}

# domain_user NAME HOST: the user that its QEMU runs as
domain_user() {
    on_host "$2" sh -c 'stat -c %U "/proc/$(cat "/run/libvirt/qemu/$1.pid")"' sh "$1"
}
domain_state_reason() { { virsh_on "$2" domstate --reason "$1" 2>/dev/null || true; } | sed '/^$/d'; }

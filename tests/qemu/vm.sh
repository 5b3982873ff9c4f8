# Virtual machines: QEMU with the bare-metal guest (or a kernel of your own), its monitor and its serial port.
# shellcheck shell=bash disable=SC2034

declare -A VM_HOST=() VM_QMP=() VM_SERIAL=() VM_LOG=() VM_PROC=()
# on how many disks its guest has to work
declare -A VM_DISKS=()

# The QEMU that a test is about; its first argument may name another by version.
QEMU=${QEMU:-$(command -v qemu-system-x86_64 || true)}

# vm_start NAME HOST [KEY=VALUE]...: a VM in $T/NAME. Keys:
#     qemu=PROGRAM           ($QEMU)
#     guest=NAME             what QEMU calls it (NAME)
#     mem=MIB                (32)
#     machine=TYPE           (pc)
#     append=OPTIONS         for the guest, see tests/guest/main.c (ram=16 rate=1000)
#     kernel=FILE initrd=FILE (the bare-metal guest)
#     disk=FORMAT:BUS:PATH[:ro]   once a disk, in order; BUS is ide or virtio; the n-th is named diskN
#     names=explicit|auto    node names of our own through -blockdev (the default), or -drive with QEMU's own
#     arg=WORD               once a further word of the command line
#     monitors=2             a second monitor, in $T/NAME/qmp2.sock
#     incoming=1             waits for a migration, paused: -incoming defer -S
# Its process is proc NAME, its monitor ${VM_QMP[NAME]}, its serial port ${VM_SERIAL[NAME]} and ${VM_LOG[NAME]}.
vm_start() {
    local name=$1 host=$2 item dir=$T/$1 guest=$1
    local qemu=$QEMU mem=32 machine=pc append='ram=16 rate=1000' kernel=$GUEST_ELF initrd='' names=explicit
    local incoming='' monitors=1 disks=() args=()
    shift 2
    for item; do
        case $item in
        qemu=*) qemu=${item#*=} ;; mem=*) mem=${item#*=} ;; machine=*) machine=${item#*=} ;;
        append=*) append=${item#*=} ;; kernel=*) kernel=${item#*=} ;; initrd=*) initrd=${item#*=} ;;
        guest=*) guest=${item#*=} ;; names=*) names=${item#*=} ;; incoming=*) incoming=${item#*=} ;; monitors=*) monitors=${item#*=} ;;
        disk=*) disks+=("${item#*=}") ;; arg=*) args+=("${item#*=}") ;;
        *) fail "vm_start: $item is not known" ;;
        esac
    done
    [ -x "$qemu" ] || skip "no such QEMU: ${qemu:-qemu-system-x86_64}"
    mkdir -p "$dir"
    local command=("$qemu" -accel tcg -machine "$machine" -m "$mem" -name "guest=${guest//,/,,}" -nodefaults -display none -no-reboot
        -kernel "$kernel" -append "$append")
    [ -z "$initrd" ] || command+=(-initrd "$initrd")
    local i=0 ide=0
    for item in "${disks[@]}"; do
        vm_disk_args "$item" "$i" "$names"
        i=$((i + 1))
    done
    command+=(-chardev "socket,id=serial0,path=$dir/serial.sock,server=on,wait=off,logfile=$dir/serial.log"
        -serial chardev:serial0 -qmp "unix:$dir/qmp.sock,server=on,wait=off")
    [ "$monitors" = 1 ] || command+=(-qmp "unix:$dir/qmp2.sock,server=on,wait=off")
    [ -z "$incoming" ] || command+=(-incoming defer -S)
    command+=(${args[@]+"${args[@]}"})
    VM_HOST[$name]=$host VM_PROC[$name]=$name
    VM_QMP[$name]=$dir/qmp.sock VM_SERIAL[$name]=$dir/serial.sock VM_LOG[$name]=$dir/serial.log
    printf '%q ' "${command[@]}" >"$dir/command.txt"
    proc_start "$name" "$host" "${command[@]}"
    wait_until 20 "the monitor of $name" vm_has_monitor "$name"
    vm_count_disks "$name" "$append"
}

# appends to command; ide counts the places on the IDE channels
vm_disk_args() {
    local format bus path mode device
    IFS=: read -r format bus path mode <<<"$1"
    case $bus in
    ide) device=ide-hd,bus=ide.$((ide / 2)),unit=$((ide % 2)) ide=$((ide + 1)) ;;
    virtio) device=virtio-blk-pci ;;
    *) fail "vm_start: a disk on $bus is not known" ;;
    esac
    local ro=off
    [ "$mode" != ro ] || ro=on
    if [ "$names" = explicit ]; then
        command+=(-blockdev "driver=file,node-name=disk$2-file,filename=$path,read-only=$ro"
            -blockdev "driver=$format,node-name=disk$2,file=disk$2-file,read-only=$ro" -device "$device,drive=disk$2,id=dev$2")
    else
        command+=(-drive "if=none,id=drive$2,file=$path,format=$format,readonly=$ro" -device "$device,drive=drive$2")
    fi
}

# vm_count_disks NAME [OPTIONS]: into VM_DISKS, the disks of a VM that the guest can drive and may write to, or as many as
# its option disks= names
vm_count_disks() {
    local only device n=0
    only=$(sed -nE 's/^(.* )?disks=([^ ]*).*/\2/p' <<<"${2:-}")
    case $only in
    none) ;;
    '' | all)
        # (its socket is there a moment before QEMU listens)
        wait_until 10 "the monitor of $1" vm_answers "$1"
        for device in $(vm_query "$1" query-block '.[] | select(.qdev and .inserted and (.inserted.ro | not)).qdev'); do
            case $(vm_qmp "$1" '{"execute":"qom-get","arguments":{"path":"'"$device"'","property":"type"}}' | jq -r .return) in
            ide-hd | virtio-blk-device) n=$((n + 1)) ;;
            esac
        done
        ;;
    *) n=$(tr , '\n' <<<"$only" | grep -c .) ;;
    esac
    VM_DISKS[$1]=$n
}

vm_has_monitor() {
    proc_runs "$1" || fail "QEMU for $1 ended: $(tail -n 1 "${PROC_LOG[$1]}")"
    [ -S "${VM_QMP[$1]}" ]
}

# vm_adopt NAME HOST QMP SERIAL LOG PID: a VM that somebody else started (the twin that adit launched)
vm_adopt() {
    VM_HOST[$1]=$2 VM_QMP[$1]=$3 VM_SERIAL[$1]=$4 VM_LOG[$1]=$5 VM_PROC[$1]='' VM_DISKS[$1]=''
    PROC_PID[$1]=$6 PROC_LOG[$1]=$5
}

# vm_keep_log NAME: what it says can be read also once its folder has gone, as that of a twin goes with it
vm_keep_log() {
    local fd
    exec {fd}<"${VM_LOG[$1]}"
    VM_LOG[$1]=/proc/$BASHPID/fd/$fd
}

# vm_qmp NAME JSON...: sends commands, prints the answers as they come
vm_qmp() {
    local name=$1
    shift
    "$QMP_CLIENT" "${VM_QMP[$name]}" "$@"
}

# vm_query NAME COMMAND [JQ]: the answer to a command without arguments, through jq (-r)
vm_query() { vm_qmp "$1" "{\"execute\":\"$2\"}" | jq -r ".return | ${3:-.}"; }

# vm_status NAME: running, paused, postmigrate, inmigrate ...
vm_status() { vm_query "$1" query-status .status; }
vm_answers() { [ -n "$(vm_status "$1" 2>/dev/null)" ]; }
vm_is() { [ "$(vm_status "$1")" = "$2" ]; }

# vm_migration NAME: the status of its migration
vm_migration() { vm_query "$1" query-migrate '.status // "none"'; }
vm_migration_is() { [ "$(vm_migration "$1")" = "$2" ]; }

# vm_end NAME
vm_end() { proc_end "$1"; }

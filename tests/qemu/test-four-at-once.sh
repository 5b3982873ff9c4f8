#!/usr/bin/env bash
# On: each QEMU
# Goal: four VMs move at the same time over one port, two each way: each host runs one adit serve and two adit migrate. All
# four are under way at one moment, and whole in the end; each took one connection, to that port, and nothing else crossed.
. "$(dirname "$0")/lib.sh"

# from HOST: adit migrate runs there from now on, and its VMs come to the other host
from() {
    ADIT_FROM=$1
    case $1 in
    src) ADIT_DEST=tls://$DST_IP ADIT_IMAGES=$T/images ;;
    dst) ADIT_DEST=tls://$SRC_IP ADIT_IMAGES=$T/images-src ;;
    esac
}
serves() { proc_runs serve-src || fail "adit serve ended: $(tail -n 1 "$T/serve-src.log")"; listeners src | grep -q ":$ADIT_PORT "; }
declare -A goes=([a]=src [b]=src [c]=dst [d]=dst)
all_copy() {
    local vm
    for vm in a b c d; do
        MIGRATE=mig-$vm phase_is $vm mirror || return 1
    done
}

adit_needed
hosts_make
firewall_make_both "$ADIT_PORT"
adit_keys
adit_serve_launch
mkdir -m 700 "$T/run-src"
from dst
adit_images
proc_start serve-src src "$ADIT" serve --listen "$SRC_IP:$ADIT_PORT" "${ADIT_SERVE_CREDS[@]}" --allow-migrate \
    --allow-launch "$QEMU" --images "$ADIT_IMAGES" --run-dir "$T/run-src" --state-dir "$T/state-src"
wait_until 10 'adit serve on src to listen' serves
for vm in a b c d; do
    from ${goes[$vm]}
    move_disks $vm 32M raw:virtio
    move_vm $vm append='ram=8 rate=500 sectors=256 diskrate=20'
done

link_rate 120mbit
firewall_reset
listeners_watch_start
for vm in a b c d; do
    from ${goes[$vm]}
    MIGRATE=mig-$vm adit_start $vm
done
wait_until 20 'all four copying at one moment' all_copy
say 'all four copy their disks at the same moment'
for vm in a b c d; do
    from ${goes[$vm]}
    MIGRATE=mig-$vm
    adit_wait
    move_succeeded $vm $vm-twin raw:virtio
done
listeners_watch_end
for host in src dst; do
    expect_equal "TCP connections that reached $host" 2 "$(firewall_count $host conns)"
    expect_equal "packets dropped by the firewall of $host" 0 "$(firewall_count $host dropped)"
done
expect_equal 'different twins' 4 "$(printf '%s\n' "${VM_QMP[a-twin]}" "${VM_QMP[b-twin]}" "${VM_QMP[c-twin]}" "${VM_QMP[d-twin]}" | sort -u | wc -l)"
# those that came first were checked then; now all four run beside each other
for vm in a b c d; do
    guest_beats_on $vm-twin 4
done

#!/usr/bin/env bash
# Goal: adit as a service of a real systemd, with the units that are installed and all of their hardening on: sockets
# start it when a peer comes, VMs come (in postcopy too) and stay through everything that befalls it: a restart, kill -9, a loop
# that hangs, a stop; what was half there when it died is undone; the journal has its lines with their priorities.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/systemd.sh"
. "$TESTS_QEMU/postcopy.sh"
. "$TOP/tests/lib/docs.sh"
systemd_needed

# adopt NAME: the VM that the last migration brought. adit's pid is one of systemd's namespace.
adopt() {
    local dir
    adit_adopt_twin "$1"
    dir=$(dirname "${VM_QMP[$1]}")
    PROC_PID[$1]=$(proc_list "$dir/qmp.sock" | awk 'NR == 1 { print $1 }')
    [ -n "${PROC_PID[$1]}" ] || fail "no process has $dir"
}
# stays WHAT: the VM is where it was, and at work, and so is adit
pid_of_adit() { systemd_show MainPID; }
stays() {
    say "  $1"
    proc_runs one-twin || fail "$1: the VM has gone"
    vm_is one-twin running || fail "$1: the VM is $(vm_status one-twin)"
    guest_beats_on one-twin 4
}
new_adit() { [ "$(pid_of_adit)" != "$1" ] && systemd_shows SubState running; }
# qemu_is_gone: nothing but adit and the first VM is in the service's group
only_the_first() { [ "$(systemd_processes | grep -c .)" = 2 ]; }

move_hosts
# a VM that runs as another user has to get to its images
adit_users_pass
systemd_start dst
ADIT_IMAGES=$T/images
adit_images
say 'the configuration as it is installed: nobody has said who may come'
systemd_in sh -c 'cat >/etc/adit/adit.conf' <"$TOP/dist/adit.conf"
! systemd_in systemctl start adit.service 2>"$T/start.log" || fail 'it starts with the configuration as it is installed'
wait_until 10 'an error in the journal that says what to write' systemd_journal adit -p err SYSLOG_IDENTIFIER=adit 'psk = FILE'
systemd_in systemctl stop adit.service

systemd_in sh -c 'cp "$1" /etc/adit/psk && cat >/etc/adit/adit.conf' sh "$T/psk" <<CONF
[serve]
psk = /etc/adit/psk
[peer tester]
migrate = yes
launch = $QEMU
images = $ADIT_IMAGES
CONF

# it is started more often below than a service may be in a minute; what counts as a start differs from systemd to systemd
systemd_drop_in limit '[Unit]' StartLimitIntervalSec=0

say 'the units'
systemd_in systemd-analyze verify --man=no adit.service adit.socket adit-api.socket >"$T/verify.log" 2>&1 ||
    fail "systemd-analyze verify: $(cat "$T/verify.log")"
[ ! -s "$T/verify.log" ] || fail "systemd-analyze verify: $(cat "$T/verify.log")"
# (50: 5.0, which systemd calls "OK"; it is 9.6 without any)
systemd_in systemd-analyze security --no-pager --threshold=50 adit.service >"$T/security.log" 2>&1 ||
    fail "systemd-analyze security: $(tail -n 1 "$T/security.log")"
say "  $(tail -n 1 "$T/security.log" | sed 's/[^ -~]//g')"

say 'the sockets start it'
systemd_in systemctl start adit.socket adit-api.socket
expect_equal 'adit.service before anybody comes' inactive "$(systemd_show ActiveState)"
move_disks one 16M qcow2:virtio
move_vm one append='ram=16 rate=4000 sectors=1024 diskrate=40'
adit_migrate one
[ "$MIGRATE_STATUS" = 0 ] || fail "adit migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/migrate.log")"
adopt one-twin
move_succeeded one one-twin qcow2:virtio
firewall_expect_connections 1
wait_until 5 'the status' systemd_shows StatusText 'no session, no VM coming, no VM going'
expect_equal 'jobs, by the socket of the API' 200 "$(systemd_in curl -sS -o /dev/null -w '%{http_code}' --unix-socket /run/adit/api.sock http://adit/tasks)"
grep -q '^NoNewPrivs:.*1$' "/proc/${PROC_PID[one-twin]}/status" || fail 'the VM is not within what the unit sets'

say 'a restart, kill -9, a loop that hangs'
systemd_in systemctl restart adit.service
stays 'after a restart'
pid=$(pid_of_adit)
systemd_in systemctl kill --signal=KILL --kill-who=main adit.service
wait_until 10 'another adit' new_adit "$pid"
stays 'after kill -9'
systemd_drop_in watchdog WatchdogSec=1
systemd_in systemctl restart adit.service
pid=$(pid_of_adit)
systemd_in systemctl kill --signal=STOP --kill-who=main adit.service
wait_until 15 'another adit' new_adit "$pid"
wait_until 10 'the word that it was the watchdog that saw the loop hang' systemd_journal adit 'adit.service: Watchdog timeout'
stays 'after the watchdog'
# (that was short for a busy machine)
rm /run/systemd/system/adit.service.d/watchdog.conf
systemd_in systemctl daemon-reload
systemd_in systemctl restart adit.service

say 'a reload'
systemd_in systemctl reload adit.service
wait_until 5 'the end of the reload' systemd_shows SubState running
wait_until 5 'a line of it' systemd_journal adit 'read /etc/adit/adit.conf and the credentials anew'

say 'kill -9 in mid-RAM: the guardian outlives it'
link_rate 40mbit
postcopy_vm two
adit_start two
move_phase two ram
only_the_first && fail 'nothing of the second VM is there yet'
left_clock
systemd_in systemctl kill --signal=KILL --kill-who=main adit.service
link_rate none
adit_wait 20
expect_equal 'the exit status of adit migrate' 1 "$MIGRATE_STATUS"
move_runs_on two
wait_until 10 'the end of all that was half there' only_the_first
[ ! -e "$ADIT_IMAGES/two-0.raw" ] || fail 'its image is left'
stays 'after that'

say 'postcopy, with the system calls that are left; a restart waits for it, longer than TimeoutStopSec'
systemd_drop_in stop TimeoutStopSec=1
postcopy_reach two
pid=$(pid_of_adit)
systemd_in systemctl --no-block restart adit.service
wait_until 5 'the status of one that ends' systemd_shows StatusText 'Ending: 1 session, 1 VM coming, no VM going'
sleep 2
expect_equal 'the state while the VM comes' deactivating "$(systemd_show ActiveState)"
expect_equal 'adit while the VM comes' "$pid" "$(pid_of_adit)"
link_rate none
adit_wait
wait_until 10 'another adit' new_adit "$pid"
[ "$MIGRATE_STATUS" = 0 ] || fail "adit migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/migrate.log")"
adopt two-twin
move_succeeded two two-twin raw:virtio

say 'launch-user, from a reload on: with the capabilities that are left, and a strict umask'
systemd_in sh -c 'sed -i "s/^migrate = yes/&\nlaunch-user = nobody/" /etc/adit/adit.conf && systemctl reload adit.service'
move_disks three 8M raw:virtio
move_vm three append='ram=8 rate=1000 sectors=64 diskrate=20'
adit_migrate three --persistent
[ "$MIGRATE_STATUS" = 0 ] || fail "adit migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/migrate.log")"
adopt three-twin
move_succeeded three three-twin raw:virtio
expect_equal 'whose process it is' "$(id -u nobody)" "$(stat -c %u "/proc/${PROC_PID[three-twin]}")"
systemd_in systemctl restart adit.service
vm_is three-twin running || fail 'that VM does not outlive a restart'

say 'the same VM, which came to stay: started again in a unit of its own, as that user'
systemd_in systemctl start adit-vm@three
wait_until 5 'the end of another start of it' eval '[ "$(systemd_show ActiveState adit-vm@three)" = failed ]'
wait_until 10 'the word that it runs already' systemd_journal adit-vm@three 'VM three runs already, in /run/adit/vms/three-'
vm_is three-twin running || fail 'it does not run any more'
vm_qmp three-twin '{"execute":"quit"}' >/dev/null
wait_until 5 'the end of the VM' proc_gone three-twin
systemd_in systemctl start adit-vm@three
wait_until 10 'the VM in its unit' eval 'systemd_in adit vms three --json 2>/dev/null | jq -e .look >/dev/null'
dir=$(systemd_in adit vms three --json | jq -r .dir)
vm_adopt three-again dst "$dir/qmp.sock" "$dir/serial0.sock" "$dir/serial.log" "$(proc_list "$dir/qmp.sock" | awk 'NR == 1 { print $1 }')"
VM_DISKS[three-again]=1
guest_ready three-again
guest_beats_on three-again
expect_equal 'whose process it is' "$(id -u nobody)" "$(stat -c %u "/proc/${PROC_PID[three-again]}")"
expect_equal 'its state' running "$(systemd_in adit vms three --json | jq -r .look.status)"
# this guest has no ear for the button: it is told to end
mkdir -p /run/systemd/system/adit-vm@three.service.d
printf '%s\n' '[Service]' TimeoutStopSec=2 >/run/systemd/system/adit-vm@three.service.d/stop.conf
systemd_in systemctl daemon-reload
systemd_in systemctl --no-block stop adit-vm@three
wait_until 5 'the button' eval 'systemd_in adit vms three --json | jq -e .silent >/dev/null'
wait_until 20 'the end of the VM' proc_gone three-again

say 'a launch hook that has systemd start the VM, in a unit of its own, as docs/system.md has it'
docs_block docs/system.md 'What becomes of VMs' 1 >"$T/unit.sh"
sed -e "/-daemonize/{r $T/unit.sh" -e 'd}' -e 's/^dir=.*/&\njob=$(get .job)/' "$TOP/dist/launch-hook-example.sh" >"$T/hook"
systemd_in sh -c 'mkdir -p /etc/adit/vms /var/lib/vms && install -m 755 "$1" /usr/local/sbin/adit-launch-hook && printf "%s\n" "[serve]" \
    "psk = /etc/adit/psk" "[peer tester]" "migrate = yes" "launch-hook = /usr/local/sbin/adit-launch-hook" >/etc/adit/adit.conf' sh "$T/hook"
printf '%s\n' -accel tcg -machine pc -m 32 -name guest=four -nodefaults -display none -no-reboot -kernel "$ADIT_IMAGES/${GUEST_ELF##*/}" \
    -drive if=none,id=drive0,file=/var/lib/vms/four-0.raw,format=raw -device virtio-blk-pci,drive=drive0,id=dev0 \
    -chardev 'socket,id=serial0,path={dir}/serial0.sock,server=on,wait=off,logfile={dir}/serial.log' -serial chardev:serial0 |
    systemd_in sh -c 'cat >/etc/adit/vms/four.args'
systemd_in systemctl reload adit.service
move_disks four 8M raw:virtio
move_vm four names=auto append='ram=8 rate=1000 sectors=64 diskrate=20'
adit_migrate four
[ "$MIGRATE_STATUS" = 0 ] || fail "adit migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/migrate.log")"
qmp=$(tail -n 1 "$T/migrate.json" | jq -r .destination.qmp)
vm_adopt four-twin dst "$qmp" "${qmp%/*}/serial0.sock" "${qmp%/*}/serial.log" "$(proc_list "$qmp" | awk 'NR == 1 { print $1 }')"
move_succeeded four four-twin
expect_equal 'the unit of the VM' active "$(systemd_in systemctl is-active "vm-$(jq -r 'select(.job) | .job' "$T/migrate.json" | head -n 1)")"

say 'a stop'
systemd_in systemctl stop adit.service adit.socket adit-api.socket
expect_equal 'the result' success "$(systemd_show Result)"
stays 'after a stop'
listeners dst >"$T/listeners.txt"
! grep -q ":$ADIT_PORT " "$T/listeners.txt" || fail 'somebody still listens'

say 'the journal'
systemd_in journalctl -u adit --no-pager -o json SYSLOG_IDENTIFIER=adit | jq -r '[.PRIORITY, .MESSAGE] | @tsv' >"$T/journal.txt"
grep -qP '^6\tlistening on .*, handed over' "$T/journal.txt" || fail 'no line of the sockets'
grep -qP '^6\tpeer=psk:tester job=[0-9a-f]* a VM comes: one' "$T/journal.txt" || fail 'no line of the first VM'
! grep -P '\t(20[0-9][0-9]-|(info|warning|error): |<)' "$T/journal.txt" || fail 'lines with a time, a level or a prefix of their own'
docs_done
systemd_end

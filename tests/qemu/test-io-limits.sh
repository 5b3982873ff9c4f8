#!/usr/bin/env bash
# On: each QEMU
# Limit: 240 s
# Goal: I/O limits are at the destination what they are at the source when it moves, also those that were set or taken away
# at run time, of drives and of throttle groups, but not what an earlier migration left; they hold up the guest only, not the
# copy, on either side, also those of a throttle filter, which are the device's while the copy lasts, and are back in every
# end. Where that cannot be, it is said.
. "$(dirname "$0")/lib.sh"

move_hosts
adit_serve_launch
options='append=ram=4 rate=400 sectors=256 diskrate=20'
D=$T/disks
qmp() { vm_qmp "${1}2" "$2" | jq -e 'has("return")' >/dev/null || fail "$2"; }
# limits VM JQ: of drives (by place), one line
drives() { vm_query "$1" query-block '[.[] | select(.inserted) | .inserted | [.bps, .bps_wr, .iops, .iops_rd, .bps_max, .bps_max_length, .iops_size]] | tojson'; }
group() { vm_qmp "$1" '{"execute":"qom-get","arguments":{"path":"/objects/'"$2"'","property":"limits"}}' | jq -cS .return; }

# vm NAME: a drive without limits, one with, one behind a filter, two behind another
vm() {
    local i
    for i in 1 2 3 4; do disk_make "$D/$1-$i.raw" raw 12M; done
    move_disks "$1" 12M raw:virtio
    MOVE_DISKS+=(arg=-drive "arg=if=none,id=d1,file=$D/$1-1.raw,format=raw,throttling.bps-total=262144"
        arg=-device arg=virtio-blk-pci,drive=d1,id=v1
        arg=-object arg=throttle-group,id=g,x-bps-total=100000000 arg=-object arg=throttle-group,id=h,x-iops-total=50
        arg=-blockdev "arg={\"driver\":\"throttle\",\"node-name\":\"t2\",\"throttle-group\":\"g\",\"file\":{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"$D/$1-2.raw\"}}}"
        arg=-device arg=virtio-blk-pci,drive=t2,id=v2
        arg=-blockdev "arg=driver=file,node-name=f3,filename=$D/$1-3.raw" arg=-blockdev arg=driver=raw,node-name=r3,file=f3
        arg=-blockdev arg=driver=throttle,node-name=t3,throttle-group=h,file=r3 arg=-device arg=virtio-blk-pci,drive=t3,id=v3
        arg=-drive "arg=if=none,id=d4,file=$D/$1-4.raw,format=raw,throttling.iops-total=70" arg=-device arg=virtio-blk-pci,drive=d4,id=v4)
    move_vm "$1" append='ram=4 rate=400 sectors=256 diskrate=20 disks=vd0'
    # at run time: one gets limits, one other ones, one loses them
    qmp "$1" '{"execute":"block_set_io_throttle","arguments":{"id":"/machine/peripheral/dev0/virtio-backend","bps":0,"bps_rd":0,"bps_wr":3000000,"iops":0,"iops_rd":90,"iops_wr":0}}'
    qmp "$1" '{"execute":"block_set_io_throttle","arguments":{"device":"d1","bps":262144,"bps_rd":0,"bps_wr":0,"iops":200,"iops_rd":0,"iops_wr":0,"bps_max":1000000,"bps_max_length":2,"iops_size":4096}}'
    qmp "$1" '{"execute":"block_set_io_throttle","arguments":{"device":"d4","bps":0,"bps_rd":0,"bps_wr":0,"iops":0,"iops_rd":0,"iops_wr":0}}'
    qmp "$1" '{"execute":"qom-set","arguments":{"path":"/objects/h","property":"limits","value":{"iops-total":6000,"bps-write":200000000}}}'
    DRIVES=$(drives "${1}2") G=$(group "${1}2" g) H=$(group "${1}2" h)
}

say 'it moves'
vm one
adit_migrate one
move_succeeded one one-twin raw:virtio
expect_equal "the drives' limits" "$DRIVES" "$(drives one-twin)"
expect_equal "the limits of g" "$G" "$(group one-twin g)"
expect_equal "the limits of h" "$H" "$(group one-twin h)"
for i in 1 2 3 4; do disk_same raw "$D/one-$i.raw" raw "$T/images/one-$i.raw"; done
took=$(tail -n 1 "$T/migrate.json" | jq .total_ms)
say "  12 MiB a disk, behind a limit of 256 KiB/s: $took ms"
# (which would take 40 s)
[ "$took" -lt 30000 ] || fail "the limits held up the copy: $took ms"
! grep -q 'behind a throttle filter' "$T/migrate.json" || fail 'a filter is said to hold up the copy'
vm_end one-twin

# filtered NAME LIMITS [WORD]...: one disk, behind a throttle filter with those limits
filtered() {
    disk_make "$D/$1-0.raw" raw 12M
    MOVE_DISKS=()
    move_vm "$1" append='ram=4 rate=200 sectors=16384 diskrate=max' arg=-object "arg=throttle-group,id=g,$2" "${@:3}" \
        arg=-blockdev "arg={\"driver\":\"throttle\",\"node-name\":\"t0\",\"throttle-group\":\"g\",\"file\":{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"$D/$1-0.raw\"}}}" \
        arg=-device arg=virtio-blk-pci,drive=t0,id=dev0
    DRIVES=$(drives "${1}2") G=$(group "${1}2" g)
}
# raised VM: the group has no limits now
raised() {
    proc_runs migrate || fail "adit migrate ended: $(tail -n 1 "$T/migrate.log")"
    [ "$(group "${1}2" g | jq '."bps-total"')" = 0 ]
}
as_before() {
    expect_equal "the drive's limits" "$DRIVES" "$(drives "${1}2")"
    expect_equal "the limits of g" "$G" "$(group "${1}2" g)"
}
# sectors VM: that its guest has written so far
sectors() { guest_value "$1" disk0; }

say 'behind a filter of 256 KiB/s: the copy is not, the guest is'
filtered two x-bps-total=262144
link_rate 16mbit
adit_start two
wait_until 20 'the limits of the filter to be raised' raised two
sleep 0.5
from=$(sectors two) began=$(now_ms)
sleep 3
wrote=$((($(sectors two) - from) * 512000 / ($(now_ms) - began)))
proc_runs migrate || fail 'the copy was over too soon to see'
raised two || fail 'the limits of the filter were back too soon'
say "  the guest wrote $wrote bytes a second meanwhile"
[ "$wrote" -gt 20000 ] && [ "$wrote" -lt 400000 ] || fail "the guest wrote $wrote bytes a second, with a limit of 262144"
link_rate none
adit_wait
move_succeeded two two-twin
rate=$(tail -n 1 "$T/migrate.json" | jq '.streams[] | select(.name | startswith("disk")).rate_bytes_per_s')
say "  the disk went over at $rate bytes a second"
[ "$rate" -gt $((3 * 262144)) ] || fail "the filter held up the copy: $rate bytes a second"
expect_equal "the drive's limits there" "$DRIVES" "$(drives two-twin)"
expect_equal 'the limits of g there' "$G" "$(group two-twin g)"
vm_end two-twin

say 'cancelled: they are back'
filtered three x-bps-total=262144,x-bps-total-max=600000,x-iops-read=5000
link_rate 8mbit
adit_start three
wait_until 20 'the limits of the filter to be raised' raised three
proc_kill migrate INT
adit_wait 20
as_before three

say 'killed, and recovered: they are back'
adit_start three
wait_until 20 'the limits of the filter to be raised' raised three
proc_kill migrate KILL
adit_wait 5
raised_still() { [ "$(group three2 g)" != "$G" ]; }
raised_still || fail 'nothing is left to be put back'
adit_recover || fail 'adit recover failed'
as_before three

say 'killed, and an adit serve on its host finds it: they are back'
adit_start three
wait_until 20 'the limits of the filter to be raised' raised three
proc_kill migrate KILL
adit_wait 5
raised_still || fail 'nothing is left to be put back'
adit_caretaker
as_before three
vm_end three

say 'a medium was taken out meanwhile, without which QEMU takes back no limits: a person may let them be'
disk_make "$D/five-f.raw" raw 1440K
filtered five x-bps-total=262144 arg=-drive "arg=if=floppy,index=0,id=fl,format=raw,file=$D/five-f.raw"
adit_start five
wait_until 20 'the limits of the filter to be raised' raised five
proc_kill migrate KILL
adit_wait 5
ejected() {
    local job
    for job in $(vm_query five2 query-block-jobs '.[].device'); do
        vm_qmp five2 '{"execute":"block-job-cancel","arguments":{"device":"'"$job"'","force":true}}' >/dev/null
    done
    vm_qmp five2 '{"execute":"eject","arguments":{"device":"fl","force":true}}' >/dev/null
    [ "$(vm_query five2 query-block 'any(.[]; .device == "fl" and has("inserted"))')" = false ]
}
wait_until 10 'the floppy to be taken out' ejected
! adit_recover || fail 'adit recover says that all is settled'
grep 'has no medium.*--run-here lets them be' "$T/recover.out" || fail 'nothing is said of --run-here'
expect_equal 'the limits of g' "$G" "$(group five2 g)"
job=$(basename "$(find "$T/state-src/journal" -name '*.json')" .json)
adit_recover "${job#source-}" --run-here || fail 'adit recover --run-here does not settle it'
grep 'has no medium.*look at them' "$T/recover.out" || fail 'nothing is said of the limits that are left'
expect_equal 'records' '' "$(find "$T/state-src/journal" -name '*.json')"
vm_end five

say 'a group that something else uses too: said'
disk_make "$D/other.raw" raw 1M
filtered four x-bps-total=20000000 arg=-blockdev "arg={\"driver\":\"throttle\",\"node-name\":\"t1\",\"throttle-group\":\"g\",\"file\":{\"driver\":\"file\",\"filename\":\"$D/other.raw\",\"read-only\":true},\"read-only\":true}"
say '  and its device has limits that an earlier migration left: they are not its own, which is said'
qmp four '{"execute":"block_set_io_throttle","arguments":{"id":"/machine/peripheral/dev0/virtio-backend","bps":0,"bps_rd":0,"bps_wr":30000000,"iops":0,"iops_rd":0,"iops_wr":0,"group":"adit-0a1b2c3d"}}'
[ "$(drives four2)" != "$DRIVES" ] || fail 'no limits are left'
link_rate none
adit_migrate four
move_succeeded four four-twin
expect_equal "the drive's limits there" "$DRIVES" "$(drives four-twin)"
jq -r 'select(.event == "note") | .text' "$T/migrate.json" | grep 'earlier migration.*group adit-0a1b2c3d' || fail 'nothing is said of the limits that were left'
jq -r 'select(.event == "note") | .text' "$T/migrate.json" | grep 'behind a throttle filter (group g)' || fail 'nothing is said of the filter'

#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of the destination's QEMU, at each moment of a migration. The
# source's VM runs on, or again, up to the moment where Confirm was answered. After that a VM that has moved is killed.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row destination-qemu
kill_cell 'Begin' d-begin waiting-qemu source
kill_cell 'Prepare' d-prepared destination-qemu source
kill_cell 'mirroring' s-disks destination-qemu source
kill_cell 'RAM' s-ram destination-qemu source
kill_cell 'pre-switchover' s-switchover destination-qemu source
kill_cell 'between Perform and Finish' s-completed destination-qemu source
kill_cell 'Finish, before the decision' d-finish destination-qemu source
kill_cell 'Finish, after the decision' d-decided destination-qemu source
kill_cell 'Finish, after the decision' d-committed destination-qemu source
kill_cell 'before Confirm' s-finished destination-qemu source
kill_cell 'Confirm' d-confirm destination-qemu source
kill_cell 'Confirm' s-confirmed destination-qemu crashed
kill_table

#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of the source's QEMU, at each moment of a migration. Before
# its migration has completed no VM can survive that: the destination is clean, and adit says so in one line with status 1.
# Afterwards the VM runs on the destination.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row source-qemu
kill_cell 'Begin' s-begin source-qemu none
kill_cell 'Prepare' d-prepared source-qemu none
kill_cell 'mirroring' s-disks source-qemu none
kill_cell 'RAM' s-ram source-qemu none
kill_cell 'pre-switchover' s-switchover source-qemu none
kill_cell 'between Perform and Finish' s-completed source-qemu destination
kill_cell 'Finish, before the decision' d-finish source-qemu destination
kill_cell 'Finish, after the decision' d-decided source-qemu destination
kill_cell 'before Confirm' s-finished source-qemu destination
kill_cell 'Confirm' d-confirm source-qemu destination
kill_cell 'Confirm' s-confirmed source-qemu destination
kill_table

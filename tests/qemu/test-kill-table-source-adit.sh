#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of adit on the source, at each moment of a migration. Then
# exactly one VM runs, whole; before the destination has decided that is the source's, afterwards the destination's.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row source-adit
kill_cell 'Begin' s-begin source-adit source
kill_cell 'Prepare' s-prepare source-adit source
kill_cell 'mirroring' s-disks source-adit source
kill_cell 'RAM' s-ram source-adit source
kill_cell 'pre-switchover' s-switchover source-adit source
kill_cell 'between Perform and Finish' s-completed source-adit source
kill_cell 'Finish, before the decision' d-finish source-adit either
kill_cell 'Finish, after the decision' d-decided source-adit destination
kill_cell 'before Confirm' s-finished source-adit destination
kill_cell 'Confirm' s-confirm source-adit destination
kill_cell 'Confirm' s-confirmed source-adit destination
kill_cell 'Confirm' s-ended source-adit destination
kill_table

#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of adit serve on the destination, at each moment of a
# migration. Then exactly one VM runs, whole; as long as the guardian was not dismissed that is the source's.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row destination-adit
kill_cell 'Begin' d-begin destination-adit source
kill_cell 'Prepare' d-prepared destination-adit source
kill_cell 'mirroring' s-disks destination-adit source
kill_cell 'RAM' s-ram destination-adit source
kill_cell 'pre-switchover' s-switchover destination-adit source
kill_cell 'between Perform and Finish' s-completed destination-adit source
kill_cell 'Finish, before the decision' d-finish destination-adit source
kill_cell 'Finish, after the decision' d-decided destination-adit source
kill_cell 'Finish, after the decision' d-committed destination-adit destination
kill_cell 'Finish, after the decision' d-runs destination-adit destination
kill_cell 'before Confirm' s-finished destination-adit destination
kill_cell 'Confirm' d-confirm destination-adit destination
kill_cell 'Confirm' s-confirmed destination-adit destination
kill_cell 'Confirm' d-ended destination-adit destination
kill_table

#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of adit on both hosts at once, so that only the journals and the
# guardian are left to know. Then exactly one VM runs, whole.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row both-adits
kill_cell 'Prepare' d-prepared both-adits source
kill_cell 'RAM' s-ram both-adits source
kill_cell 'between Perform and Finish' s-completed both-adits source
kill_cell 'Finish, before the decision' d-finish both-adits source
kill_cell 'Finish, after the decision' d-decided both-adits source
kill_cell 'Finish, after the decision' d-committed both-adits destination
kill_cell 'before Confirm' s-finished both-adits destination
kill_cell 'Confirm' d-confirm both-adits destination
kill_cell 'Confirm' s-confirmed both-adits destination
kill_table

#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): the link's connections are reset at each moment of a migration, and new
# ones refused for 2 s. Then exactly one VM runs, whole. (A link that is silent: test-kill-table-link-silent.sh.)
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row link-reset
kill_cell 'Begin' d-begin reset source
kill_cell 'Prepare' d-prepared reset source
kill_cell 'mirroring' s-disks reset source
kill_cell 'RAM' s-ram reset source
kill_cell 'pre-switchover' s-switchover reset source
kill_cell 'between Perform and Finish' s-completed reset source
kill_cell 'Finish, before the decision' d-finish reset either
kill_cell 'Finish, after the decision' d-decided reset destination
kill_cell 'before Confirm' s-finished reset destination
kill_cell 'Confirm' d-confirm reset destination
kill_cell 'Confirm' s-confirmed reset destination
kill_table

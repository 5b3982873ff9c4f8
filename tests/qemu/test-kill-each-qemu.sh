#!/usr/bin/env bash
# On: each QEMU
# Points
# Goal: some cells of the kill table (test-kill-table-*.sh, which run on one QEMU only) on every version: those where it counts
# what QEMU itself does when everybody around it is killed.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row each-qemu
kill_cell 'RAM' s-ram source-adit source
kill_cell 'pre-switchover' s-switchover source-adit source
kill_cell 'pre-switchover' s-switchover destination-adit source
kill_cell 'between Perform and Finish' s-completed source-adit source
kill_cell 'between Perform and Finish' s-completed source-qemu destination
kill_cell 'between Perform and Finish' s-completed destination-qemu source
kill_cell 'Finish, after the decision' d-committed destination-adit destination
kill_cell 'before Confirm' s-finished destination-qemu source
kill_cell 'before Confirm' s-finished source-adit destination

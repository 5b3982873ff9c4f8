#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): the link lets no packet through and tells nobody, for 17 s, which is longer
# than the keepalive waits, or for 2 s, which TCP mends. Then exactly one VM runs, whole.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row link-silent
kill_cell 'RAM' s-ram blink destination
kill_cell 'pre-switchover' s-switchover silent source
kill_cell 'Finish, after the decision' d-decided silent destination
kill_cell 'Finish, after the decision' d-runs blink destination
kill_cell 'Confirm' d-confirm silent destination
kill_table

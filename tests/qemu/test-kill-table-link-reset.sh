#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): the link's connections are reset at each moment of a migration, and new
# ones refused for 2 s. Then exactly one VM runs, whole. (A link that is silent: test-kill-table-link-silent.sh.)
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row link-reset
kill_cells
kill_table

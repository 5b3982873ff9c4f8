#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of adit on both hosts at once, so that only the journals and the
# guardian are left to know. Then exactly one VM runs, whole.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row both-adits
kill_cells
kill_table

#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of adit on the source, at each moment of a migration. Then
# exactly one VM runs, whole; before the destination has decided that is the source's, afterwards the destination's.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row source-adit
kill_cells
kill_table

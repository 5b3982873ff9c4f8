#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of adit serve on the destination, at each moment of a
# migration. Then exactly one VM runs, whole; as long as the guardian was not dismissed that is the source's.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row destination-adit
kill_cells
kill_table

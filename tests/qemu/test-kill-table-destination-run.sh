#!/usr/bin/env bash
# Points
# Whole table
# On: each QEMU
# Limit: 3600 s
# Goal: a row of the kill table (docs/kill-table.md): the destination's run folder becomes full or read-only for
# some seconds, or is removed. Exactly one VM runs, whole.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

KILL_ROW=destination-run
kill_cells_apart 6 < <(kill_cells_of destination-run)
kill_table

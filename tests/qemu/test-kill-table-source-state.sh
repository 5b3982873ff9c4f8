#!/usr/bin/env bash
# Points
# Whole table
# On: each QEMU
# Limit: 3600 s
# Goal: a row of the kill table (docs/kill-table.md): the source's state folder becomes full or read-only for
# some seconds, or is removed, also in postcopy. Exactly one VM runs, whole, and no record is left.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

KILL_ROW=source-state
kill_cells_apart 6 < <(kill_cells_of source-state)
kill_table

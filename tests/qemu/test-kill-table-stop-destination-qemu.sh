#!/usr/bin/env bash
# Points
# Whole table
# On: each QEMU
# Limit: 3600 s
# Goal: a row of the kill table (docs/kill-table.md): the destination's QEMU is stopped (SIGSTOP) for longer than
# every limit, then goes on (SIGCONT). Exactly one VM runs, whole.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

KILL_ROW=stop-destination-qemu
kill_cells_apart 16 < <(kill_cells_of stop-destination-qemu)
kill_table

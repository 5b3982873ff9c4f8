#!/usr/bin/env bash
# Points
# Whole table
# On: each QEMU
# Limit: 3600 s
# Goal: a row of the kill table (docs/kill-table.md): both hosts are killed at once, and boot again. No VM is left,
# and no record, and nothing that was made for one that has not arrived.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

KILL_ROW=both-hosts
kill_cells_apart 6 < <(kill_cells_of both-hosts)
kill_table

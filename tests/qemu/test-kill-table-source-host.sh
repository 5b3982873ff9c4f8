#!/usr/bin/env bash
# Points
# Whole table
# On: each QEMU
# Limit: 3600 s
# Goal: a row of the kill table (docs/kill-table.md): the whole source host is killed, and boots again.
# Until the destination has decided, that VM is lost, as it is with any host, and the destination is clean.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

KILL_ROW=source-host
kill_cells_apart 6 < <(kill_cells_of source-host)
kill_table

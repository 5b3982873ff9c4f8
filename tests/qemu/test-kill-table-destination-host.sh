#!/usr/bin/env bash
# Points
# Whole table
# On: each QEMU
# Limit: 3600 s
# Goal: a row of the kill table (docs/kill-table.md): the whole destination host is killed, and boots again,
# adit serve with it. Until CONFIRMED has come the VM goes on at the source.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

KILL_ROW=destination-host
kill_cells_apart 6 < <(kill_cells_of destination-host)
kill_table

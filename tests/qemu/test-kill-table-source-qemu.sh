#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of the source's QEMU, at each moment of a migration. Before
# its migration has completed no VM can survive that: the destination is clean, and adit says so in one line with status 1.
# Afterwards the VM runs on the destination.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row source-qemu
kill_cells
kill_table

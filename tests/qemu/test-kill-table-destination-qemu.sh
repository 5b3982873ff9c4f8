#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): kill -9 of the destination's QEMU, at each moment of a migration. The
# source's VM runs on, or again, up to the moment where Confirm was answered. After that a VM that has moved is killed.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row destination-qemu
kill_cells
kill_table

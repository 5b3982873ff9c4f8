#!/usr/bin/env bash
# Points
# Goal: a row of the kill table (docs/kill-table.md): the link lets no packet through and tells nobody, for 17 s, which is longer
# than the keepalive waits, or for 2 s, which TCP mends. Then exactly one VM runs, whole.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_row link-silent
kill_cells
kill_table

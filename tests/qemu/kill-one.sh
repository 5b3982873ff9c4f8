#!/usr/bin/env bash
# One cell of the kill table in namespaces of its own, for kill_cells_apart: kill-one.sh ROW POINT FAULT WHO
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

kill_hosts
kill_cell "$@"

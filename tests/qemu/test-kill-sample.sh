#!/usr/bin/env bash
# Points
# On: each QEMU
# Limit: 400 s
# Goal: a sample of the kill table's newer columns (docs/kill-table.md), drawn by ADIT_SEED: one part stopped for longer than
# every limit; whole hosts killed; and folders that are full, read-only or removed, also in postcopy. In each exactly one VM
# runs, whole, or none where none can. ./check --all runs every cell.
. "$(dirname "$0")/lib.sh"
. "$TESTS_QEMU/kill.sh"

# draw N REGEX: so many of the cells that match
draw() {
    kill_cells_sampled | { grep -E -- "$2" || true; } | while read -r cell; do
        printf '%s %s\n' "$(cksum <<<"$ADIT_SEED $KILL_VERSION $cell" | cut -d' ' -f1)" "$cell"
    done | sort -n | sed -n "1,$1s/^[0-9]* //p"
}

ADIT_SEED=${ADIT_SEED:-$((RANDOM * 32768 + RANDOM))}
mapfile -t cells < <(
    draw 1 ' stop-'
    draw 2 '-hosts? '
    draw 6 '^[a-z]*-(state|run|images) [^p]'
    draw 1 '^[a-z]*-state postcopy:'
)
say "drawn: ADIT_SEED=$ADIT_SEED"
printf 'drawn: %s\n' "${cells[@]}"
kill_cells_apart 4 < <(printf '%s\n' "${cells[@]}")
kill_table

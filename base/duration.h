/* Durations as users write them. */
#ifndef ADIT_BASE_DURATION_H
#define ADIT_BASE_DURATION_H

#include <stdint.h>

#include "base/err.h"

enum duration_unit {
	DURATION_MS,
	DURATION_S,
};

/* Reads a whole number of 1 to max units, with ms, s, m (or min) or h behind it if it is of
 * another: "500ms", "90s", "10m", "2h". *out is in units. ERR_USAGE when malformed, out of these
 * bounds, or no whole number of units. */
int duration_parse(uint64_t *out, const char *text, enum duration_unit unit, uint64_t max,
		   struct err *e);

#endif

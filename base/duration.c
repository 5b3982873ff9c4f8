/* Durations: see duration.h. Whole numbers only. Owns nothing. */
#include "base/duration.h"

#include <ctype.h>
#include <string.h>

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}};

enum { UNITS = sizeof(units) / sizeof(units[0]) };

int duration_parse(uint64_t *out, const char *text, enum duration_unit unit, uint64_t max,
		   struct err *e)
{
	uint64_t ms_each = unit == DURATION_MS ? 1 : 1000, ms = ms_each, v = 0;
	const char *words = unit == DURATION_MS ? "milliseconds" : "seconds", *p = text;
	int large = 0;

	for (; isdigit((unsigned char)*p); p++)
		large |= __builtin_mul_overflow(v, 10, &v) ||
			 __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v);
	if (*p && p != text) {
		size_t i = 0;

		while (i < UNITS && strcmp(units[i].name, p) != 0)
			i++;
		ms = i < UNITS ? units[i].ms : 0;
	}
	if (p == text || !ms)
		return err_set(e, ERR_USAGE,
			       "\"%s\" is no time: write a whole number of %s, or ms, s, m or h "
			       "behind it, as in %s",
			       text, words, unit == DURATION_MS ? "500ms" : "90s");
	large |= __builtin_mul_overflow(v, ms, &v);
	if (!large && v % ms_each)
		return err_set(e, ERR_USAGE, "\"%s\" is no whole number of %s", text, words);
	v /= ms_each;
	if (large || v < 1 || v > max)
		return err_set(e, ERR_USAGE, "\"%s\": 1 to %llu %s", text, (unsigned long long)max,
			       words);
	*out = v;
	return 0;
}

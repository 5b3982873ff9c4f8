/* Sizes and rates: see size.h. Whole numbers only. Owns nothing. */
#include "base/size.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int malformed(const char *what, const char *text, struct err *e)
{
	return err_set(e, ERR_USAGE,
		       "\"%s\" is no %s: write a whole number, and K, M, G or T behind it if you "
		       "wish, as in 64M",
		       text, what);
}

static int parse(uint64_t *bytes, const char *text, const char *what, int rate, struct err *e)
{
	static const char units[] = "KMGTPE";
	const char *p = text, *unit;
	uint64_t v = 0;

	if (!isdigit((unsigned char)*p))
		return malformed(what, text, e);
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return err_set(e, ERR_USAGE, "\"%s\" is too large", text);
	unit = *p ? strchr(units, toupper((unsigned char)*p)) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		if (v > UINT64_MAX >> shift)
			return err_set(e, ERR_USAGE, "\"%s\" is too large", text);
		v <<= shift;
		p++;
		if (*p == 'i')
			p++;
	}
	if (*p == 'B')
		p++;
	if (rate && strcmp(p, "/s") == 0)
		p += 2;
	if (*p)
		return malformed(what, text, e);
	*bytes = v;
	return 0;
}

int size_parse(uint64_t *bytes, const char *text, struct err *e)
{
	return parse(bytes, text, "size", 0, e);
}

int size_parse_rate(uint64_t *bytes_per_s, const char *text, struct err *e)
{
	uint64_t v;
	int rc = parse(&v, text, "rate", 1, e);

	if (rc < 0)
		return rc;
	if (v == 0)
		return err_set(e, ERR_USAGE,
			       "a rate of 0 would never end: leave it out for no limit");
	*bytes_per_s = v;
	return 0;
}

char *size_format(uint64_t bytes, char *buf, size_t size)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 1023.95 && i < sizeof(names) / sizeof(names[0]) - 1) {
		v /= 1024;
		i++;
	}
	if (i == 0)
		snprintf(buf, size, "%u B", (unsigned)bytes);
	else
		snprintf(buf, size, "%.1f %s", v, names[i]);
	return buf;
}

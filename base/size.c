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

/* Mb, Mbps: some mean bits by it, and some bytes. */
static int ambiguous(const char *text, char unit, struct err *e)
{
	return err_set(e, ERR_USAGE, "\"%s\" may be bits or bytes: write %cbit or %cB", text, unit,
		       unit);
}

static int too_large(const char *text, struct err *e)
{
	return err_set(e, ERR_USAGE, "\"%s\" is too large", text);
}

/* How many bytes one of what stands behind the number is, in *mul and, for bits, *div. What is left
 * of the text; NULL and an error if it cannot be read. */
static const char *parse_unit(uint64_t *mul, uint64_t *div, const char *p, const char *text,
			      int rate, struct err *e)
{
	static const char letters[] = "KMGTPE";
	const char *at = *p ? strchr(letters, toupper((unsigned char)*p)) : NULL;
	uint64_t kilo = 1024;
	int bits = 0;
	char unit = 'M';

	*mul = *div = 1;
	p += at != NULL;
	if (at && *p == 'i')
		p++;
	else if (rate && strncmp(p, "bit", 3) == 0)
		bits = 1;
	if (bits)
		kilo = 1000; /* of lines, which are sold by it */
	if (at)
		unit = *at;
	for (const char *l = letters; at && l <= at; l++)
		*mul *= kilo;
	if (*p == 'B')
		return p + 1;
	if (bits) {
		*div = 8;
		return p + 3;
	}
	if (rate && *p == 'b' && strncmp(p, "bit", 3) != 0) {
		ambiguous(text, unit, e);
		return NULL;
	}
	return p;
}

static int parse(uint64_t *bytes, const char *text, const char *what, int rate, struct err *e)
{
	const char *p = text;
	uint64_t v = 0, mul, div;
	unsigned __int128 whole;

	if (!isdigit((unsigned char)*p))
		return malformed(what, text, e);
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return too_large(text, e);
	p = parse_unit(&mul, &div, p, text, rate, e);
	if (!p)
		return ERR_USAGE;
	if (rate && strcmp(p, "/s") == 0)
		p += 2;
	if (*p)
		return malformed(what, text, e);
	whole = (unsigned __int128)v * mul / div;
	if (whole > UINT64_MAX)
		return too_large(text, e);
	*bytes = (uint64_t)whole;
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

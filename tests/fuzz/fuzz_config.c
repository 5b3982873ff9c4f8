/* A configuration file: any bytes are read or refused with the line; lines only go up, and what
 * is told of a line stands in it. */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/common/config_file.h"

struct seen {
	const char *text; /* the whole file */
	size_t size;
	unsigned line;
	int refuse; /* the n-th call */
};

/* Whether words stand in that line of the file, one after the other. */
static void look(struct seen *s, unsigned line, const char *words)
{
	const char *at = s->text, *end = s->text + s->size;

	if (line < s->line || line == 0)
		abort();
	s->line = line;
	for (unsigned i = 1; i < line; i++) {
		at = memchr(at, '\n', (size_t)(end - at));
		if (!at++)
			abort();
	}
	if (strlen(words) > (size_t)(end - at) ||
	    !memmem(at, (size_t)(end - at), words, strlen(words)))
		abort();
}

static int refused(struct seen *s, struct err *e)
{
	return s->refuse-- == 0 ? err_set(e, ERR_USAGE, "no") : 0;
}

static int on_section(void *ctx, const char *name, unsigned line, struct err *e)
{
	look(ctx, line, name);
	return refused(ctx, e);
}

static int on_key(void *ctx, const char *key, const char *value, unsigned line, struct err *e)
{
	if (!*value || isspace((unsigned char)*value))
		abort();
	(void)key; /* perhaps of a line before */
	look(ctx, line, value);
	return refused(ctx, e);
}

static const struct config_file_ops ops = {on_section, on_key};

/* Most of what noise is made of is refused in its first line. */
static size_t make_text(const uint8_t *data, size_t size, char *text, size_t room)
{
	static const char *const parts[] = {"[serve]\n",
					    "[peer a]\n",
					    "[peer ",
					    "]",
					    "psk = /k\n",
					    "forward = unix:/a\n",
					    "\n",
					    " ",
					    "\t",
					    "=",
					    ":",
					    "x",
					    "key",
					    " ; ",
					    "#",
					    "[",
					    "\xef\xbb\xbf",
					    "\r\n"};
	size_t len = 0;

	for (size_t i = 0; i < size && len + 24 < room; i++) {
		unsigned n = data[i] % (sizeof(parts) / sizeof(*parts) + 1);

		if (n < sizeof(parts) / sizeof(*parts))
			len += (size_t)snprintf(text + len, room - len, "%s", parts[n]);
		else
			text[len++] = (char)data[i];
	}
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[8192];
	struct seen s = {.refuse = size ? data[0] % 16 : 0};
	struct err e = ERR_INIT;
	unsigned line;
	FILE *f;
	int rc;

	if (size < 2)
		return 0;
	s.text = (const char *)data + 1;
	s.size = size - 1;
	if (data[0] & 0x80) {
		s.size = make_text(data + 1, size - 1, text, sizeof(text));
		s.text = text;
	}
	f = fmemopen((void *)s.text, s.size, "r");
	if (!f)
		return 0;
	rc = config_file_parse(f, "f", &ops, &s, &e);
	fclose(f);
	if (rc != (int)e.code || (rc && (sscanf(e.text, "f:%u: ", &line) != 1 || line == 0)))
		abort();
	return 0;
}

/* The cutter of QMP's byte stream: see qmp_scan.h. It counts braces outside of
 * strings, and leaves it to jansson whether what lies between is JSON. */
#include "control/qmp/qmp_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/qmp/qmp.h"

int qmp_scan_append(struct qmp_scan *s, const char *data, size_t len)
{
	if (s->from > 0) {
		memmove(s->buf, s->buf + s->from, s->len - s->from);
		s->len -= s->from;
		s->at -= s->from;
		s->from = 0;
	}
	if (len > QMP_REPLY_MAX - s->len)
		return -1;
	if (s->len + len > s->size) {
		size_t size = s->size ? s->size : 16384;
		char *buf;

		while (size < s->len + len)
			size *= 2;
		buf = realloc(s->buf, size);
		if (!buf)
			return -1;
		s->buf = buf;
		s->size = size;
	}
	memcpy(s->buf + s->len, data, len);
	s->len += len;
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The length of the number that text begins with, 0 of none. */
static size_t number(const char *text, size_t len)
{
	size_t n = 0;

	if (len && (*text == '-' || (*text >= '0' && *text <= '9')))
		while (n < len && text[n] && strchr("0123456789.eE+-", text[n]))
			n++;
	return n;
}

/* QEMU has numbers of 64 bits without a sign, which are no integers to jansson: they are written as
 * reals, and all others stay what they are. */
static json_t *load_large(const char *text, size_t len)
{
	/* (one that is too large has 19 digits at least) */
	char *copy = malloc(len + len / 8 + 8), *to = copy;
	bool in_string = false;
	json_t *msg;

	if (!copy)
		return NULL;
	for (size_t at = 0; at < len;) {
		size_t n = in_string ? 0 : number(text + at, len - at);

		if (text[at] == '"')
			in_string = !in_string;
		if (in_string && text[at] == '\\' && at + 1 < len)
			n = 2;
		memcpy(to, text + at, n ? n : 1);
		to += n ? n : 1;
		at += n ? n : 1;
		if (in_string || !n)
			continue;
		*to = 0;
		errno = 0;
		strtoll(to - n, NULL, 10);
		if (errno == ERANGE && !strpbrk(to - n, ".eE")) {
			memcpy(to, "e0", 2);
			to += 2;
		}
	}
	msg = json_loadb(copy, (size_t)(to - copy), 0, NULL);
	free(copy);
	return msg;
}

static json_t *load(const char *text, size_t len)
{
	json_t *msg = json_loadb(text, len, 0, NULL);

	return msg ? msg : load_large(text, len);
}

int qmp_scan_next(struct qmp_scan *s, json_t **msg)
{
	for (; s->at < s->len; s->at++) {
		char c = s->buf[s->at];

		if (s->depth == 0) {
			if (is_space(c)) {
				s->from = s->at + 1;
				continue;
			}
			if (c != '{')
				return -1;
			s->depth = 1;
			s->from = s->at;
		} else if (s->in_string) {
			if (s->escaped)
				s->escaped = false;
			else if (c == '\\')
				s->escaped = true;
			else if (c == '"')
				s->in_string = false;
		} else if (c == '"') {
			s->in_string = true;
		} else if (c == '{') {
			s->depth++;
		} else if (c == '}' && --s->depth == 0) {
			s->at++;
			*msg = load(s->buf + s->from, s->at - s->from);
			s->from = s->at;
			return *msg ? 1 : -1;
		}
	}
	return 0;
}

void qmp_scan_fini(struct qmp_scan *s)
{
	free(s->buf);
	memset(s, 0, sizeof(*s));
}

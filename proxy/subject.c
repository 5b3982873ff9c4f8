/*
 * Patterns of certificates' subjects: see subject.h. Both are cut into attributes in the same way,
 * at what no backslash stands before, and the two attributes are compared as they are written:
 * nothing is unescaped, as a value may hold any byte, a 0 as well. Keeps nothing.
 */
#include "proxy/subject.h"

#include <fnmatch.h>
#include <string.h>
#include <strings.h>

enum { PART_MAX = 1024 }; /* of an attribute's type or value; a subject is shorter */

/* An attribute's text, within a subject or a pattern. */
struct part {
	const char *at;
	size_t len;
};

/* Where one of stops is that no backslash stands before; the end. */
static const char *find_bare(const char *text, const char *end, const char *stops)
{
	for (; text < end && !strchr(stops, *text); text++)
		if (*text == '\\' && text + 1 < end)
			text++;
	return text;
}

/* The attribute that *text begins with, without blanks around; *text goes behind it, and *border is
 * what was there: `,`, `+`, or 0 at the end. false when there was nothing left. */
static bool next_part(const char **text, struct part *p, char *border)
{
	const char *end = *text + strlen(*text), *stop;

	if (!*border)
		return false;
	stop = find_bare(*text, end, ",+");
	*border = *stop;
	while (*text < stop && **text == ' ')
		(*text)++;
	p->at = *text;
	*text = *stop ? stop + 1 : stop;
	while (stop > p->at && stop[-1] == ' ' && !(stop - 1 > p->at && stop[-2] == '\\'))
		stop--;
	p->len = (size_t)(stop - p->at);
	return true;
}

static bool match_text(const char *pattern, size_t pattern_len, const char *text, size_t len)
{
	char a[PART_MAX], b[PART_MAX];

	if (pattern_len >= sizeof(a) || len >= sizeof(b))
		return false;
	memcpy(a, pattern, pattern_len);
	a[pattern_len] = '\0';
	memcpy(b, text, len);
	b[len] = '\0';
	return fnmatch(a, b, FNM_NOESCAPE) == 0;
}

/* An attribute TYPE=VALUE against its pattern. A type has no `=`, a value may. */
static bool match_part(const struct part *pattern, const struct part *part)
{
	const char *sign = memchr(pattern->at, '=', pattern->len);
	const char *is = memchr(part->at, '=', part->len);
	size_t type = sign ? (size_t)(sign - pattern->at) : 0;
	size_t is_type = is ? (size_t)(is - part->at) : 0;

	if (!sign)
		return pattern->len == 1 && *pattern->at == '*';
	return is && match_text(pattern->at, type, part->at, is_type) &&
	       match_text(sign + 1, pattern->len - type - 1, is + 1, part->len - is_type - 1);
}

static bool match_parts(const char *pattern, const char *subject)
{
	char border_a = ',', border_b = ',';
	struct part a, b;

	while (next_part(&pattern, &a, &border_a)) {
		if (!next_part(&subject, &b, &border_b) || border_a != border_b ||
		    !match_part(&a, &b))
			return false;
	}
	return !border_b;
}

static bool match_common_name(const char *pattern, const char *subject)
{
	struct part p, cn = {0};
	char border = ',';

	while (next_part(&subject, &p, &border)) {
		if (p.len < 3 || strncasecmp(p.at, "CN=", 3) != 0)
			continue;
		if (cn.at)
			return false;
		cn = p;
	}
	return cn.at && match_text(pattern, strlen(pattern), cn.at + 3, cn.len - 3);
}

bool subject_match(const char *pattern, const char *subject)
{
	if (strcmp(pattern, "*") == 0)
		return true;
	return strchr(pattern, '=') ? match_parts(pattern, subject)
				    : match_common_name(pattern, subject);
}

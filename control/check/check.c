/* The list of findings: see check.h. No I/O; judges nothing itself. */
#include "control/check/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/vm.h"

static const char *const levels[] = {"ok", "warning", "error"};

const char *check_level_name(enum check_level level)
{
	return levels[level];
}

/* A text that was cut may end within a character, and a cookie takes whole ones only. */
static void mend_end(char *s)
{
	size_t len = strlen(s), at = len;
	unsigned need;

	while (at > 0 && len - at < 4 && ((unsigned char)s[at - 1] & 0xc0) == 0x80)
		at--;
	if (at == 0 || ((unsigned char)s[at - 1] & 0xc0) != 0xc0)
		return;
	need = (unsigned char)s[at - 1] >= 0xf0 ? 4 : (unsigned char)s[at - 1] >= 0xe0 ? 3 : 2;
	if (len - (at - 1) < need)
		s[at - 1] = 0;
}

static struct check_finding *append(struct check *c, enum check_level level, const char *name)
{
	struct check_finding *f;

	if (c->count == CHECK_FINDINGS_MAX) {
		c->failed = true;
		return NULL;
	}
	if (c->count == c->room) {
		size_t room = c->room ? c->room * 2 : 16;

		f = realloc(c->at, room * sizeof(*f));
		if (!f) {
			c->failed = true;
			return NULL;
		}
		c->at = f;
		c->room = room;
	}
	f = &c->at[c->count++];
	memset(f, 0, sizeof(*f));
	f->level = level;
	snprintf(f->check, sizeof(f->check), "%s", name);
	return f;
}

static void set_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
	mend_end(to);
	err_printable(to);
}

void check_add(struct check *c, enum check_level level, const char *name, const char *mend,
	       const char *fmt, ...)
{
	struct check_finding *f = append(c, level, name);
	char text[ERR_TEXT_MAX];
	va_list ap;

	if (!f)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	set_text(f->text, sizeof(f->text), text);
	set_text(f->mend, sizeof(f->mend), mend ? mend : "");
}

void check_add_err(struct check *c, enum check_level level, const char *name, const struct err *e)
{
	check_add(c, level, name, NULL, "%s", e->text);
}

void check_append(struct check *c, const struct check *more)
{
	for (size_t i = 0; i < more->count; i++) {
		struct check_finding *f = append(c, more->at[i].level, more->at[i].check);

		if (f)
			*f = more->at[i];
	}
	c->failed = c->failed || more->failed;
}

bool check_has(const struct check *c, const char *name, enum check_level level)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->at[i].level >= level && strcmp(c->at[i].check, name) == 0)
			return true;
	return false;
}

size_t check_count(const struct check *c, enum check_level level)
{
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++)
		n += c->at[i].level == level;
	return n;
}

char *check_line(const struct check_finding *f, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s", f->text, *f->mend ? ": " : "", f->mend);
	return buf;
}

int check_refuse(const struct check *c, struct err *e)
{
	char line[CHECK_LINE_MAX];

	for (size_t i = 0; i < c->count; i++)
		if (c->at[i].level == CHECK_ERROR)
			return err_set(e, ERR_REFUSED, "%s",
				       check_line(&c->at[i], line, sizeof(line)));
	return c->failed ? err_set(e, ERR_SPACE, "no memory for what the checks found") : 0;
}

json_t *check_finding_json(const struct check_finding *f)
{
	json_t *o = json_pack("{s:s,s:s,s:s}", "check", f->check, "level", levels[f->level], "text",
			      f->text);

	if (o && *f->mend)
		json_object_set_new(o, "mend", json_string(f->mend));
	return o;
}

json_t *check_to_json(const struct check *c)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < c->count; i++) {
		json_t *f = check_finding_json(&c->at[i]);

		/* Words that are no UTF-8 are lost, the finding is not. */
		if (!f)
			f = json_pack("{s:s,s:s,s:s}", "check", c->at[i].check, "level",
				      levels[c->at[i].level], "text", "(not UTF-8)");
		json_array_append_new(list, f);
	}
	return list;
}

int check_from_json(struct check *c, const json_t *findings, struct err *e)
{
	const json_t *item;
	size_t i;

	json_array_foreach(findings, i, item)
	{
		const char *level = json_text(item, "level");
		int at = CHECK_ERROR;

		while (at >= 0 && strcmp(levels[at], level) != 0)
			at--;
		if (at < 0)
			return err_set(e, ERR_PROTOCOL, "the peer's finding %s has the level %.32s",
				       json_text(item, "check"), level);
		check_add(c, (enum check_level)at, json_text(item, "check"),
			  json_text(item, "mend"), "%s", json_text(item, "text"));
	}
	return 0;
}

void check_fini(struct check *c)
{
	free(c->at);
	memset(c, 0, sizeof(*c));
}

/* QEMU's option strings: see qopts.h (util/qemu-option.c of QEMU is the reference). */
#include "control/vm/qopts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies text up to an undoubled comma (or '=' when key); *next is what follows. */
static char *cut(const char *text, bool key, const char **next)
{
	const char *end = text;
	char *out, *p;

	while (*end && !(key && *end == '=') && (*end != ',' || (!key && end[1] == ',')))
		end += *end == ',' ? 2 : 1;
	/* (not for all of the rest, which another key would do again) */
	out = p = malloc((size_t)(end - text) + 1);
	if (!out)
		return NULL;
	while (text < end) {
		text += *text == ',';
		*p++ = *text++;
	}
	*p = 0;
	*next = end;
	return out;
}

static int add(struct qopts *o, char *key, char *value)
{
	struct qopts_item *at = value ? realloc(o->at, (o->count + 1) * sizeof(*at)) : NULL;

	if (!at) {
		free(key);
		free(value);
		return -1;
	}
	o->at = at;
	at[o->count].key = key;
	at[o->count++].value = value;
	return 0;
}

int qopts_parse(struct qopts *o, const char *text, const char *implied)
{
	memset(o, 0, sizeof(*o));
	while (*text) {
		size_t plain = strcspn(text, ",=");
		char *key = NULL, *value;

		if (text[plain] == '=') {
			const char *after;

			key = cut(text, true, &after);
			if (!key)
				goto fail;
			text = after + 1;
		} else if (o->count == 0 && implied && !(key = strdup(implied))) {
			goto fail;
		}
		value = cut(text, false, &text);
		if (add(o, key, value) < 0)
			goto fail;
		if (*text == ',')
			text++;
	}
	return 0;
fail:
	qopts_fini(o);
	return -1;
}

bool qopts_is_long(const char *text)
{
	size_t count = 0;

	for (; *text && count <= QOPTS_MAX; text++)
		if (*text == ',' && text[1] == ',')
			text++;
		else
			count += *text == ',';
	return count >= QOPTS_MAX;
}

const char *qopts_get(const struct qopts *o, const char *key)
{
	for (size_t i = o->count; i-- > 0;)
		if (o->at[i].key && strcmp(o->at[i].key, key) == 0)
			return o->at[i].value;
	return NULL;
}

static bool item_is(const struct qopts_item *it, const char *key)
{
	return strcmp(it->key ? it->key : it->value, key) == 0;
}

bool qopts_is_on(const struct qopts *o, const char *key)
{
	for (size_t i = o->count; i-- > 0;) {
		const char *v = o->at[i].value;

		if (!item_is(&o->at[i], key))
			continue;
		return !o->at[i].key || !strcmp(v, "on") || !strcmp(v, "yes") ||
		       !strcmp(v, "true") || !strcmp(v, "y");
	}
	return false;
}

static void remove_at(struct qopts *o, size_t i)
{
	free(o->at[i].key);
	free(o->at[i].value);
	memmove(&o->at[i], &o->at[i + 1], (o->count - i - 1) * sizeof(*o->at));
	o->count--;
}

bool qopts_is_key(const char *key)
{
	return *key && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "._-") == strlen(key);
}

int qopts_set(struct qopts *o, const char *key, const char *value)
{
	bool done = false;

	if (!qopts_is_key(key))
		return -1;
	for (size_t i = 0; i < o->count;) {
		if (!item_is(&o->at[i], key)) {
			i++;
		} else if (done) {
			remove_at(o, i);
		} else {
			char *v = strdup(value);

			if (!v || (!o->at[i].key && !(o->at[i].key = strdup(key)))) {
				free(v);
				return -1;
			}
			free(o->at[i].value);
			o->at[i++].value = v;
			done = true;
		}
	}
	return done ? 0 : add(o, strdup(key), strdup(value));
}

size_t qopts_remove(struct qopts *o, const char *key)
{
	size_t removed = 0;

	for (size_t i = 0; i < o->count;) {
		if (item_is(&o->at[i], key)) {
			remove_at(o, i);
			removed++;
		} else {
			i++;
		}
	}
	return removed;
}

void qopts_keep(struct qopts *o, bool (*keep)(const char *key))
{
	for (size_t i = 0; i < o->count;) {
		if (keep(o->at[i].key ? o->at[i].key : o->at[i].value))
			i++;
		else
			remove_at(o, i);
	}
}

size_t qopts_remove_prefix(struct qopts *o, const char *prefix)
{
	size_t removed = 0;

	for (size_t i = 0; i < o->count;) {
		if (o->at[i].key && strncmp(o->at[i].key, prefix, strlen(prefix)) == 0) {
			remove_at(o, i);
			removed++;
		} else {
			i++;
		}
	}
	return removed;
}

char *qopts_text(const struct qopts *o)
{
	size_t size = 1;
	char *out, *p;

	for (size_t i = 0; i < o->count; i++)
		size += (o->at[i].key ? strlen(o->at[i].key) : 0) + 2 * strlen(o->at[i].value) + 2;
	out = p = malloc(size);
	if (!out)
		return NULL;
	for (size_t i = 0; i < o->count; i++) {
		if (i > 0)
			*p++ = ',';
		if (o->at[i].key)
			p += sprintf(p, "%s=", o->at[i].key);
		for (const char *v = o->at[i].value; *v; v++) {
			if (*v == ',')
				*p++ = ',';
			*p++ = *v;
		}
	}
	*p = 0;
	return out;
}

void qopts_fini(struct qopts *o)
{
	for (size_t i = 0; i < o->count; i++) {
		free(o->at[i].key);
		free(o->at[i].value);
	}
	free(o->at);
	memset(o, 0, sizeof(*o));
}

/* What a configuration says that is no error, and cannot be meant: see config.h. */
#include <stdio.h>
#include <string.h>

#include "cli/serve/config.h"
#include "tunnel/creds.h"

enum { NAMES_MAX = 160, IDENTITY_MAX = 128 };

struct warner {
	const struct config *c;
	struct creds *creds;
	config_warner *fn;
	void *ctx;
};

static void say(const struct warner *w, const char *pattern, const char *text)
{
	char line[ERR_TEXT_MAX];

	snprintf(line, sizeof(line), "%s: [peer %s]: %s", w->c->file, pattern, text);
	w->fn(w->ctx, err_printable(line));
}

/* Whether a key is pattern's; their names, for the message. */
static bool has_key(const struct warner *w, const char *pattern, char *names, size_t size)
{
	char peer[sizeof("psk:") + IDENTITY_MAX] = "psk:";
	size_t used = 0;

	names[0] = '\0';
	for (size_t i = 0; creds_identity(w->creds, i, peer + 4, IDENTITY_MAX); i++) {
		if (rights_match(pattern, peer))
			return true;
		if (used < size)
			used += (size_t)snprintf(names + used, size - used, "%s%s", i ? ", " : "",
						 peer + 4);
	}
	return false;
}

/* The kind of credentials that a pattern is for, with the colon; "" for any. */
static const char *kind_of(const char *pattern)
{
	static const char *const kinds[] = {"psk:", "x509:", "ssh:", "tcp:"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(pattern, kinds[i], strlen(kinds[i])) == 0)
			return kinds[i];
	return "";
}

static void look_at_peer(const struct warner *w, const char *pattern)
{
	const struct auth *a = &w->c->auth;
	const char *kind = kind_of(pattern);
	const char *here = a->psk ? "psk:" : a->tls_creds ? "x509:" : "tcp:";
	size_t len = strlen(pattern);
	char names[NAMES_MAX], text[ERR_TEXT_MAX / 2];

	if (len > 1 && strchr("\"'", pattern[0]) && pattern[len - 1] == pattern[0]) {
		snprintf(text, sizeof(text),
			 "the quotation marks are taken as part of the name: write [peer %.*s]",
			 (int)(len - 2), pattern + 1);
		say(w, pattern, text);
		return;
	}
	if (strcmp(pattern, "*") == 0 || strcmp(kind, "ssh:") == 0)
		return;
	if (*kind ? strcmp(kind, here) != 0 : a->insecure) {
		snprintf(text, sizeof(text),
			 "nobody is called so here: peers come as %s... or ssh:...", here);
		say(w, pattern, text);
		return;
	}
	if (a->psk && !has_key(w, pattern, names, sizeof(names))) {
		snprintf(text, sizeof(text), "no key in %s has that name; it has: %s%s", a->psk,
			 names, strlen(names) + 1 >= sizeof(names) ? "..." : "");
		say(w, pattern, text);
	}
}

void config_warn(const struct config *c, struct creds *creds, config_warner *fn, void *ctx)
{
	struct warner w = {c, creds, fn, ctx};
	const struct rights *r;
	const char *pattern;

	if (!c->file || !creds)
		return;
	for (unsigned i = 0; (pattern = rights_table_at(c->rights, i, &r)) != NULL; i++)
		look_at_peer(&w, pattern);
}

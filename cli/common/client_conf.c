/* See client_conf.h. What the other sections mean is config.h's. */
#include "cli/common/client_conf.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/config_file.h"
#include "cli/common/suggest.h"

static int take_text(char *to, size_t size, const char *value, int path, struct err *e)
{
	if (path && value[0] != '/')
		return err_set(e, ERR_USAGE, "%s: give an absolute path", value);
	if (strlen(value) >= size)
		return err_set(e, ERR_USAGE, "\"%.40s...\" is longer than %zu bytes", value,
			       size - 1);
	if (!*value)
		return err_set(e, ERR_USAGE, "the value is missing");
	snprintf(to, size, "%s", value);
	return 0;
}

int client_conf_take(struct client_conf *c, const char *key, const char *value, struct err *e)
{
	int rc;

	if (strcmp(key, "identity") == 0)
		return take_text(c->identity, sizeof(c->identity), value, 0, e);
	rc = strcmp(key, "psk") == 0 ? take_text(c->psk, sizeof(c->psk), value, 1, e)
				     : take_text(c->tls_creds, sizeof(c->tls_creds), value, 1, e);
	if (rc == 0 && c->psk[0] && c->tls_creds[0])
		return err_set(e, ERR_USAGE, "psk and tls-creds cannot go together");
	return rc;
}

struct reading {
	struct client_conf *c;
	int inside;
};

static int on_section(void *ctx, const char *name, unsigned line, struct err *e)
{
	struct reading *g = ctx;

	(void)line;
	(void)e;
	g->inside = strcmp(name, "client") == 0;
	return 0;
}

static int on_key(void *ctx, const char *key, const char *value, unsigned line, struct err *e)
{
	static const char *const keys[] = {"psk", "tls-creds", "identity"};
	struct reading *g = ctx;
	struct suggest s;
	char meant[64];

	(void)line;
	if (!g->inside)
		return 0;
	suggest_begin(&s, key);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i], key) == 0)
			return client_conf_take(g->c, key, value, e) < 0 ? err_prefix(e, "%s", key)
									 : 0;
		suggest_try(&s, keys[i]);
	}
	return err_set(e, ERR_CONFIG, "there is no key %s in [client]%s; adit.conf(5) has them all",
		       key, suggest_words(&s, "", meant, sizeof(meant)));
}

static const struct config_file_ops ops = {on_section, on_key};

int client_conf_read(struct client_conf *c, const char *file, struct err *e)
{
	struct reading g = {.c = c};

	memset(c, 0, sizeof(*c));
	if (access(file, R_OK) < 0)
		return 0;
	return config_file_read(file, &ops, &g, e);
}

void client_conf_fill(const struct client_conf *c, struct auth *a)
{
	if (!auth_given(a)) {
		a->psk = c->psk[0] ? c->psk : NULL;
		a->tls_creds = c->tls_creds[0] ? c->tls_creds : NULL;
	}
	if (a->psk && c->identity[0])
		a->identity_hint = c->identity;
}

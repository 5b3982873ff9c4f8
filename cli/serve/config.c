/*
 * The configuration of adit serve: see config.h. An option and a key of the same name are
 * one thing, in the table of config_keys.c. What is in the file (config_sections.c) is held to the
 * same as what is on the command line, with the line in front of the words.
 */
#include "cli/serve/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/creds_options.h"
#include "cli/serve/config_i.h"
#include "proxy/router.h"

/* ---- the command line ---- */

static int take_options(struct config_reading *g, struct err *e)
{
	const struct config_source *s = g->source;

	for (unsigned k = 0; k < s->option_count; k++) {
		const char *option = s->options[k].name, *name = option;
		unsigned i;

		if (strncmp(name, "allow-", 6) == 0)
			name += 6;
		/* [serve] comes first, and its sessions are not an option. */
		for (i = 0; i < CONFIG_KEY_COUNT && strcmp(config_keys[i].name, name) != 0; i++)
			;
		if (i == CONFIG_KEY_COUNT)
			return err_set(e, ERR_INTERNAL, "--%s has no key", option);
		g->seen[i] = CONFIG_LINE_OPTION;
		g->c->rights_given = g->c->rights_given || config_keys[i].where == CONFIG_PEER;
		if (config_i_take(g, i, option, s->options[k].value ? s->options[k].value : "yes",
				  e) < 0)
			return e->code;
	}
	if (s->stdio && auth_given(&g->c->auth))
		return err_set(e, ERR_USAGE,
			       "--stdio takes no credentials: ssh has proved who the peer is");
	if (s->stdio && serve_api_wanted(&g->c->api))
		return err_set(e, ERR_USAGE, "--stdio and the API cannot go together");
	return config_i_check_rights(g, e);
}

/* ---- the whole ---- */

static void fini_auth(struct auth *a)
{
	free((char *)a->psk);
	free((char *)a->tls_creds);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	free(c->file);
	fini_auth(&c->auth);
	free(c->run_dir);
	free(c->state_dir);
	free(c->libvirt_dir);
	serve_api_options_fini(&c->api);
	rights_table_free(c->rights);
	free(c);
}

/* What is wrong with the API that the file and the options make together, in the words of whoever
 * said it: the option or the line that the words begin with. */
static int explain_api(const struct config_reading *g, struct err *e)
{
	unsigned line = 0;

	if (!g->c->file)
		return e->code;
	for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++) {
		size_t len = strlen(config_keys[i].name);

		if (strncmp(e->text, "--", 2) == 0 &&
		    strncmp(e->text + 2, config_keys[i].name, len) == 0 &&
		    e->text[2 + len] == ' ' &&
		    (g->seen[i] == CONFIG_LINE_OPTION || !config_keys[i].many))
			line = g->seen[i];
	}
	if (line == CONFIG_LINE_OPTION)
		return e->code;
	config_i_name_keys(e->text);
	e->code = e->code == ERR_USAGE ? ERR_CONFIG : e->code;
	return line ? err_prefix(e, "%s:%u", g->c->file, line) : err_prefix(e, "%s", g->c->file);
}

static int check(const struct config_reading *g, struct err *e)
{
	struct config *c = g->c;
	const struct config_source *s = g->source;

	if (c->libvirt_dir && !c->libvirt && !c->file)
		return err_set(e, ERR_USAGE, "--libvirt-dir needs --allow-libvirt");
	if (user_is_given(&c->launch_user) && !c->launch && !c->file)
		return err_set(e, ERR_USAGE, "--launch-user needs --allow-launch");
	if (s->stdio) { /* the file's are for adit serve itself */
		fini_auth(&c->auth);
		c->auth = (struct auth){0};
		serve_api_options_fini(&c->api);
		return 0;
	}
	if (serve_api_check(&c->api, e) < 0)
		return explain_api(g, e);
	if (c->file && !auth_given(&c->auth))
		return err_set(e, ERR_CONFIG,
			       "%s: [serve] does not say who may connect: write psk = FILE or "
			       "tls-creds = DIR",
			       c->file);
	return 0;
}

/* [serve]'s, for whoever has no user of its own. It is root's adit serve that becomes one: a
 * process of sshd's is somebody already, if not root. */
static void use_launch_user(struct config *c, const struct config_source *s)
{
	const struct rights *r;

	if (s->stdio && geteuid() != 0)
		c->launch_user = (struct user){0};
	for (unsigned i = 0; rights_table_at(c->rights, i, &r); i++) {
		if (r->launch && !user_is_given(&r->launch_user))
			((struct rights *)r)->launch_user = c->launch_user;
		c->any_launch_user = c->any_launch_user || user_is_given(&r->launch_user);
	}
}

struct config *config_new(const struct config_source *source, struct err *e)
{
	struct config *c = calloc(1, sizeof(*c));
	struct config_reading g = {.c = c, .source = source, .rights = rights_new()};
	struct rights *line;
	int rc = -1;

	if (c)
		c->rights = rights_table_new();
	if (!c || !c->rights || !g.rights) {
		err_set(e, ERR_SPACE, "memory is short");
		goto out;
	}
	c->listen = (struct addr){.kind = ADDR_TCP, .port = ADDR_PORT_DEFAULT};
	c->log_level = LOG_LEVEL_INFO;
	listener_config_default(&c->limits);
	c->limits.session.features = ROUTER_FEATURES;
	if (take_options(&g, e) < 0)
		goto out;
	line = g.rights;
	g.rights = NULL;
	rc = source->file ? config_i_read_file(&g, e) : 0;
	rights_unref(g.rights);
	g.rights = line;
	/* The command line's are for everybody else. */
	if (rc == 0 && (c->rights_given || !source->file)) {
		g.from_file = false;
		free(g.peer);
		g.peer = strdup("*");
		rc = g.peer ? config_i_end_peer(&g, e) : err_set(e, ERR_SPACE, "memory is short");
	}
	if (rc == 0)
		rc = config_i_end_host(&g, e);
	if (rc == 0)
		rc = check(&g, e);
	if (rc == 0)
		use_launch_user(c, source);
out:
	rights_unref(g.rights);
	rights_unref(g.host);
	free(g.peer);
	if (rc == 0)
		return c;
	config_free(c);
	return NULL;
}

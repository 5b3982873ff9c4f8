/*
 * The file of --config: see config_i.h. Which section a line stands in, whether its key may stand
 * there, and the rights of a peer, whose section ends where the next one begins.
 */
#include "cli/serve/config_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/common/suggest.h"

/* ---- peers ---- */

/* What goes only together; in the words of the file or the command line. */
int config_i_check_rights(const struct config_reading *g, struct err *e)
{
	const struct rights *r = g->rights;
	const struct {
		bool wrong;
		const char *option, *words, *other;
	} rules[] = {
	    {r->launch && !r->migrate, "allow-launch", "needs", "allow-migrate"},
	    {r->dest_qmp.first && !r->migrate, "allow-dest-qmp", "needs", "allow-migrate"},
	    {r->launch_hook && !r->migrate, "launch-hook", "needs", "allow-migrate"},
	    {r->launch_hook && r->launch, "launch-hook", "and", "allow-launch"},
	    {user_is_given(&r->launch_user) && !r->launch, "launch-user", "needs", "allow-launch"},
	    {r->images && !r->launch, "images", "needs", "allow-launch"},
	    {r->storage_count && !r->images, "allow-storage", "needs", "images"},
	    {r->overwrite_images && !r->images, "overwrite-images", "needs", "images"},
	    {r->network_count && !r->launch, "allow-networks", "needs", "allow-launch"},
	    {r->memory && !r->launch, "memory-paths", "needs", "allow-launch"},
	    {r->swtpm && !r->launch, "swtpm", "needs", "allow-launch"},
	};

	for (unsigned i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		bool both = strcmp(rules[i].words, "and") == 0;
		const char *a = rules[i].option, *b = rules[i].other;

		if (!rules[i].wrong)
			continue;
		if (g->from_file) {
			a = strncmp(a, "allow-", 6) == 0 ? a + 6 : a;
			b = strncmp(b, "allow-", 6) == 0 ? b + 6 : b;
			return err_set(e, ERR_CONFIG, "%s:%u: peer %s: %s %s %s%s", g->source->file,
				       g->peer_line, g->peer, a, rules[i].words, b,
				       both ? " cannot go together: one of them starts VMs"
				       : strcmp(b, "migrate") == 0 ? " = yes"
								   : "");
		}
		return err_set(e, ERR_USAGE, "--%s %s --%s%s", a, rules[i].words, b,
			       both ? " cannot go together: one of them starts VMs" : "");
	}
	return 0;
}

/* Puts the section that was read, or the command line's rights, behind the others. */
int config_i_end_peer(struct config_reading *g, struct err *e)
{
	struct rights *r = g->rights;
	int rc;

	if (!g->peer)
		return 0;
	rc = config_i_check_rights(g, e);
	if (rc == 0) {
		g->c->migrate = g->c->migrate || r->migrate;
		g->c->libvirt = g->c->libvirt || r->libvirt;
		g->c->launch = g->c->launch || r->launch;
		g->c->any = g->c->any || rights_any(r);
		g->rights = NULL;
		rc = rights_table_add(g->c->rights, g->peer, r, e);
		if (rc < 0 && g->from_file) {
			err_prefix(e, "%s:%u", g->source->file, g->peer_line);
			e->code = rc == ERR_SPACE ? ERR_SPACE : ERR_CONFIG;
		}
	}
	free(g->peer);
	g->peer = NULL;
	return rc < 0 ? (int)e->code : 0;
}

static int begin_peer(struct config_reading *g, const char *pattern, unsigned line, struct err *e)
{
	rights_unref(g->rights);
	g->rights = rights_new();
	g->peer = strdup(pattern);
	g->peer_line = line;
	g->others = g->source->stdio && g->source->peer &&
		    (g->peer_found || !rights_match(pattern, g->source->peer));
	g->peer_found = g->peer_found || !g->others;
	for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
		if (config_keys[i].where == CONFIG_PEER)
			g->seen[i] = 0;
	return g->rights && g->peer ? 0 : err_set(e, ERR_SPACE, "memory is short");
}

/* ---- the file ---- */

static int on_section(void *ctx, const char *name, unsigned line, struct err *e)
{
	struct config_reading *g = ctx;
	const char *pattern;

	/* (these are told with their own lines) */
	if (config_i_end_peer(g, e) < 0 || config_i_end_section(g, e) < 0)
		return e->code;
	g->in_client = strcmp(name, "client") == 0;
	if (g->in_client && g->client_seen)
		return err_set(e, ERR_CONFIG, "[client] is there already");
	g->client_seen = g->client_seen || g->in_client;
	g->in_serve = strcmp(name, "serve") == 0;
	if (g->in_client)
		return 0;
	if (g->in_serve) {
		if (g->serve_seen)
			return err_set(e, ERR_CONFIG, "[serve] is there already");
		g->serve_seen = true;
		return 0;
	}
	pattern = name + strcspn(name, " \t");
	if (strncmp(name, "network", 7) == 0 && pattern == name + 7)
		return config_i_begin_section(g, CONFIG_NETWORK, pattern + strspn(pattern, " \t"),
					      line, e);
	if (strncmp(name, "storage", 7) == 0 && pattern == name + 7)
		return config_i_begin_section(g, CONFIG_STORAGE, pattern + strspn(pattern, " \t"),
					      line, e);
	if (strncmp(name, "peer", 4) != 0 || pattern != name + 4)
		return err_set(e, ERR_CONFIG,
			       "[%s] is no section: write [serve], [client], [peer NAME], "
			       "[network NAME] or [storage NAME]",
			       name);
	pattern += strspn(pattern, " \t");
	if (!*pattern || strchr(" \t", pattern[strlen(pattern) - 1]))
		return err_set(e, ERR_CONFIG, "[%s]: write [peer NAME], with * for everybody",
			       name);
	return begin_peer(g, pattern, line, e);
}

/* Those that say who may connect are one thing. */
static bool is_creds(const char *name)
{
	return strcmp(name, "psk") == 0 || strcmp(name, "tls-creds") == 0 ||
	       strcmp(name, "insecure") == 0;
}

/* Whether the command line has said it already; then the file's word does not count. */
static bool is_overridden(const struct config_reading *g, unsigned i)
{
	if (is_creds(config_keys[i].name))
		for (unsigned k = 0; k < CONFIG_KEY_COUNT; k++)
			if (is_creds(config_keys[k].name) && g->seen[k] == CONFIG_LINE_OPTION)
				return true;
	return g->seen[i] == CONFIG_LINE_OPTION;
}

static const char *const section_names[] = {"[serve]", "[peer NAME]", "[client]", "[network NAME]",
					    "[storage NAME]"};

static int no_key(const char *key, struct err *e)
{
	struct suggest s;
	char meant[64];

	/* As the option is called. */
	suggest_begin(&s, strncmp(key, "allow-", 6) == 0 ? key + 6 : key);
	for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
		suggest_try(&s, config_keys[i].name);
	return err_set(e, ERR_CONFIG, "there is no key %s%s; adit.conf(5) has them all", key,
		       suggest_words(&s, "", meant, sizeof(meant)));
}

static int on_key(void *ctx, const char *key, const char *value, unsigned line, struct err *e)
{
	struct config_reading *g = ctx;
	enum config_where where = g->peer	 ? CONFIG_PEER
				  : *g->section	 ? g->section_kind
				  : g->in_client ? CONFIG_CLIENT
						 : CONFIG_SERVE;
	unsigned i;

	for (i = 0; where == CONFIG_SERVE && !g->in_serve && i < CONFIG_KEY_COUNT; i++)
		if (strcmp(config_keys[i].name, key) == 0)
			return err_set(e, ERR_CONFIG, "%s stands in no section: write %s above it",
				       key, section_names[config_keys[i].where]);
	if (where == CONFIG_SERVE && !g->in_serve)
		return no_key(key, e);
	for (i = 0; i < CONFIG_KEY_COUNT; i++)
		if (config_keys[i].where == where && strcmp(config_keys[i].name, key) == 0)
			break;
	if (i == CONFIG_KEY_COUNT) {
		for (i = 0; i < CONFIG_KEY_COUNT; i++)
			if (strcmp(config_keys[i].name, key) == 0)
				return err_set(e, ERR_CONFIG, "%s belongs to a section %s", key,
					       section_names[config_keys[i].where]);
		return no_key(key, e);
	}
	if ((where == CONFIG_SERVE || where == CONFIG_PEER) && is_overridden(g, i))
		return 0;
	if (g->seen[i] && !config_keys[i].many)
		return err_set(e, ERR_CONFIG, "%s stands in line %u already", key, g->seen[i]);
	g->seen[i] = line;
	return config_i_take(g, i, key, value, e);
}

static const struct config_file_ops file_ops = {on_section, on_key};

int config_i_read_file(struct config_reading *g, struct err *e)
{
	const struct rights *all;
	int rc;

	g->from_file = true;
	rc = config_file_read(g->source->file, &file_ops, g, e);
	if (rc == 0)
		rc = config_i_end_peer(g, e);
	if (rc == 0)
		rc = config_i_end_section(g, e);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; g->c->rights_given; i++) {
		const char *pattern = rights_table_at(g->c->rights, i, &all);

		if (!pattern)
			break;
		if (strcmp(pattern, "*") == 0)
			return err_set(e, ERR_USAGE,
				       "the command line's rights (--allow-...) and [peer *] of %s "
				       "are for the same peers: leave one of them out",
				       g->source->file);
	}
	g->c->file = strdup(g->source->file);
	return g->c->file ? 0 : err_set(e, ERR_SPACE, "memory is short");
}

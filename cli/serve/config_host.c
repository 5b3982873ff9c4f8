/*
 * What of the file is this host's own: [network NAME] and [storage NAME]. Peers name them in their
 * rights, wherever in the file that is, so that what they are is told to these in the end.
 */
#include "cli/serve/config_i.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/netlink.h"

int config_i_begin_section(struct config_reading *g, enum config_where kind, const char *name,
			   unsigned line, struct err *e)
{
	int rc;

	if (!g->host)
		g->host = rights_new();
	if (!g->host)
		return err_set(e, ERR_SPACE, "memory is short");
	if (kind == CONFIG_NETWORK)
		rc = rights_add_network(g->host, name, NULL, e);
	else
		rc = strchr(name, '=')
			 ? err_set(e, ERR_USAGE,
				   "[storage %.80s]: write the name alone, and folder "
				   "= FOLDER below it",
				   name)
			 : rights_add_storage(g->host, name, e);
	if (rc < 0) {
		e->code = e->code == ERR_SPACE ? ERR_SPACE : ERR_CONFIG;
		return e->code;
	}
	snprintf(g->section, sizeof(g->section), "%s", name);
	/* (a user by ssh makes no interfaces, and may not see what is root's) */
	if (kind == CONFIG_NETWORK)
		g->others = g->source->stdio && geteuid() != 0;
	g->section_kind = kind;
	g->section_line = line;
	g->folder[0] = g->format[0] = '\0';
	for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
		if (config_keys[i].where == kind)
			g->seen[i] = 0;
	return 0;
}

int config_i_end_section(struct config_reading *g, struct err *e)
{
	const bool network = g->section_kind == CONFIG_NETWORK;
	const struct rights_network *n = config_i_network(g);
	bool has = true;

	if (n)
		has = *n->bridge || *n->script;
	else if (*g->section)
		has = *g->folder;
	if (!has)
		return err_set(e, ERR_CONFIG, "%s:%u: [%s %s] does not say its %s: write %s",
			       g->source->file, g->section_line, network ? "network" : "storage",
			       g->section, network ? "bridge" : "folder",
			       network ? "bridge = NAME, openvswitch = NAME or script = PATH"
				       : "folder = FOLDER");
	if (n && n->vlan && n->kind != RIGHTS_OPENVSWITCH)
		return err_set(e, ERR_CONFIG, "%s:%u: [network %s]: vlan needs openvswitch",
			       g->source->file, g->section_line, g->section);
	if (*g->section && !network &&
	    rights_set_storage(g->host, g->section, g->folder, g->format, e) < 0)
		return e->code;
	*g->section = '\0';
	return 0;
}

static int tell_networks(const struct config_reading *g, const char *pattern, struct rights *r,
			 struct err *e)
{
	for (unsigned k = 0; g->host && k < g->host->network_count; k++)
		rights_set_network(r, &g->host->networks[k]);
	for (unsigned k = 0; k < r->network_count; k++)
		if (r->networks[k].kind == RIGHTS_BRIDGE &&
		    !netlink_is_name(rights_network_bridge(&r->networks[k])))
			return err_set(e, g->source->file ? ERR_CONFIG : ERR_USAGE,
				       "network %s (of peer %s) is no [network] of adit.conf, "
				       "and no bridge can be called so: write %s=BRIDGE",
				       r->networks[k].name, pattern, r->networks[k].name);
	return 0;
}

/* looked_at: what is there has been, when its section was read. */
static int tell_storages(const struct config_reading *g, const char *pattern, struct rights *r,
			 bool looked_at, struct err *e)
{
	const struct rights_storage *s;

	for (unsigned k = 0; g->host && k < g->host->storage_count; k++) {
		s = &g->host->storage[k];
		if (rights_set_storage(r, s->name, s->folder, s->format, e) < 0)
			return e->code;
	}
	for (unsigned k = 0; k < r->storage_count; k++) {
		s = &r->storage[k];
		if (!s->folder)
			return err_set(e, g->source->file ? ERR_CONFIG : ERR_USAGE,
				       "storage %s (of peer %s) is no [storage] of adit.conf: "
				       "write one, or %s=FOLDER",
				       s->name, pattern, s->name);
		if (!looked_at && config_i_check_path(s->folder, true, e) < 0)
			return err_prefix(e, "%s: [storage %s]", g->source->file, s->name);
	}
	return 0;
}

int config_i_end_host(const struct config_reading *g, struct err *e)
{
	const struct config_source *source = g->source;
	const bool late = source->stdio && source->file;
	bool found = false;
	const struct rights *r;
	const char *pattern;

	for (unsigned i = 0; (pattern = rights_table_at(g->c->rights, i, &r)) != NULL; i++) {
		/* (of what sshd has started, the one section of its peer) */
		bool mine =
		    late && (!source->peer || (!found && rights_match(pattern, source->peer)));

		found = found || mine;
		if (tell_networks(g, pattern, (struct rights *)r, e) < 0 ||
		    tell_storages(g, pattern, (struct rights *)r, !mine, e) < 0)
			return e->code;
	}
	return 0;
}

/*
 * The configuration of adit serve: see config.h. An option and a key of the same name are
 * one thing, in the table below. What is in the file is held to the same as what is on the
 * command line, with the line in front of the words.
 */
#include "cli/serve/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/common/config_file.h"
#include "cli/common/creds_options.h"
#include "cli/common/suggest.h"
#include "cli/common/usage.h"
#include "proxy/libvirt_path.h"
#include "proxy/router.h"

struct reading;

enum where { SERVE, PEER, CLIENT };

struct key {
	const char *name; /* of the file's key; the option's, perhaps behind "allow-" */
	enum where where;
	bool many;
	int (*take)(struct reading *g, const char *value, struct err *e);
};

enum { KEYS_MAX = 32 };

/* Owned by config_new, for its call. */
struct reading {
	struct config *c;
	const struct config_source *source;
	struct rights *rights; /* of the section that is being read; the command line's at first */
	char *peer;	       /* its pattern; NULL outside of one */
	unsigned peer_line;
	bool serve_seen, in_serve, client_seen, in_client;
	bool others;	 /* the section is of peers that never come to this process (--stdio) */
	bool peer_found; /* the one of its only peer was there */
	bool from_file;
	unsigned seen[KEYS_MAX]; /* the line of a key; LINE_OPTION for an option */
};

enum { LINE_OPTION = ~0u };

/* ---- values ---- */

static int take_bool(bool *to, const char *value, struct err *e)
{
	if (strcmp(value, "yes") == 0)
		*to = true;
	else if (strcmp(value, "no") == 0)
		*to = false;
	else
		return err_set(e, ERR_USAGE, "\"%s\" is neither yes nor no: write one of these",
			       value);
	return 0;
}

static int take_text(char **to, const char *value, struct err *e)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : err_set(e, ERR_SPACE, "memory is short");
}

static int take_path(char **to, const char *value, struct err *e)
{
	if (value[0] != '/')
		return err_set(e, ERR_USAGE, "%s: give an absolute path", value);
	return take_text(to, value, e);
}

static int take_count(uint32_t *to, const char *value, uint32_t max, struct err *e)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || n < 1 || n > max)
		return err_set(e, ERR_USAGE, "\"%s\" is no number from 1 to %u", value, max);
	*to = (uint32_t)n;
	return 0;
}

/* Whether path is absolute and a directory, or a program. Of others' only the words: what is there
 * is not for this user to see. */
static int check_path(const struct reading *g, const char *path, bool directory, struct err *e)
{
	struct stat st;

	if (path[0] != '/')
		return err_set(e, ERR_USAGE, "%s: give an absolute path", path);
	if (g->others)
		return 0;
	if (stat(path, &st) < 0 && errno == ENOENT && directory)
		return err_set(
		    e, ERR_CONFIG,
		    "%s: there is no such folder; make it (mkdir -p %s), or name another", path,
		    path);
	if (stat(path, &st) < 0)
		return err_set_sys(e, errno, "%s", path);
	if (directory && !S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFIG, "%s: not a directory", path);
	/* What is made in it could be swapped for a link before QEMU opens it. */
	if (directory && (st.st_mode & S_IWOTH))
		return err_set(e, ERR_CONFIG,
			       "%s: everybody may write to that folder; chmod o-w it", path);
	if (!directory && (!S_ISREG(st.st_mode) || access(path, X_OK) < 0))
		return err_set(e, ERR_CONFIG, "%s: not a program that can be run", path);
	return 0;
}

/* ---- [serve] ---- */

static int take_listen(struct reading *g, const char *value, struct err *e)
{
	return addr_parse_listen(&g->c->listen, value, e);
}

/* creds_options keeps what it is given. */
static int take_creds(struct reading *g, int option, const char *value, struct err *e)
{
	char *copy = strdup(value);

	if (!copy)
		return err_set(e, ERR_SPACE, "memory is short");
	if (creds_options_take(&g->c->auth, option, copy, e) < 0) {
		free(copy);
		return e->code;
	}
	return 0;
}

static int take_psk(struct reading *g, const char *value, struct err *e)
{
	return take_creds(g, CREDS_OPTION_PSK, value, e);
}

static int take_tls_creds(struct reading *g, const char *value, struct err *e)
{
	return take_creds(g, CREDS_OPTION_TLS_CREDS, value, e);
}

static int take_insecure(struct reading *g, const char *value, struct err *e)
{
	bool yes;

	if (take_bool(&yes, value, e) < 0 || !yes)
		return e->code;
	return creds_options_take(&g->c->auth, CREDS_OPTION_INSECURE, NULL, e) < 0 ? (int)e->code
										   : 0;
}

static int take_run_dir(struct reading *g, const char *value, struct err *e)
{
	return take_text(&g->c->run_dir, value, e);
}

static int take_state_dir(struct reading *g, const char *value, struct err *e)
{
	return take_text(&g->c->state_dir, value, e);
}

static int take_libvirt_dir(struct reading *g, const char *value, struct err *e)
{
	if (libvirt_path_check_dir(value, e) < 0)
		return e->code;
	return take_text(&g->c->libvirt_dir, value, e);
}

static int take_vms(struct reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_VMS, value, e);
}

static int take_api(struct reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_API, value, e);
}

static int take_api_listen(struct reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_LISTEN, value, e);
}

static int take_api_token_file(struct reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_TOKEN, value, e);
}

static int take_log_level(struct reading *g, const char *value, struct err *e)
{
	return usage_parse_log_level(&g->c->log_level, value, e);
}

static int take_handshakes(struct reading *g, const char *value, struct err *e)
{
	return take_count(&g->c->limits.handshakes_max, value, 65536, e);
}

static int take_sessions_in_all(struct reading *g, const char *value, struct err *e)
{
	return take_count(&g->c->limits.all_sessions_max, value, 65536, e);
}

static int take_size(uint64_t *bytes, uint64_t least, const char *value, struct err *e)
{
	uint64_t v;

	if (size_parse(&v, value, e) < 0)
		return e->code;
	if (v < least)
		return err_set(e, ERR_USAGE, "\"%s\" is too little: a session needs %uM", value,
			       (unsigned)(least >> 20));
	*bytes = v;
	return 0;
}

static int take_memory(struct reading *g, const char *value, struct err *e)
{
	return take_size(&g->c->limits.session.memory_max_bytes, 1 << 20, value, e);
}

static int take_memory_total(struct reading *g, const char *value, struct err *e)
{
	return take_size(&g->c->limits.memory_max_bytes, 4 << 20, value, e);
}

/* Only root may become another; whom sshd has started this as may not need to. */
static int take_user(struct reading *g, struct user *to, const char *value, struct err *e)
{
	struct user u;

	if (user_parse(&u, value, e) < 0)
		return e->code;
	if (geteuid() != 0 && u.uid != geteuid() && !(g->source->stdio && g->from_file))
		return err_set(e, ERR_CONFIG,
			       "adit serve does not run as root, and cannot become user %s",
			       u.name);
	/* Nobody needs to become who he is. */
	*to = u.uid == geteuid() ? (struct user){0} : u;
	return 0;
}

static int take_launch_user_of_all(struct reading *g, const char *value, struct err *e)
{
	return take_user(g, &g->c->launch_user, value, e);
}

/* ---- [peer] ---- */

static int take_forward(struct reading *g, const char *value, struct err *e)
{
	return rules_add(&g->rights->forwards, value, e);
}

static int take_migrate(struct reading *g, const char *value, struct err *e)
{
	return take_bool(&g->rights->migrate, value, e);
}

static int take_launch(struct reading *g, const char *value, struct err *e)
{
	int rc = check_path(g, value, false, e);

	return rc < 0 ? rc : rights_add_launch(g->rights, value, e);
}

static int take_launch_user(struct reading *g, const char *value, struct err *e)
{
	return take_user(g, &g->rights->launch_user, value, e);
}

static int take_images(struct reading *g, const char *value, struct err *e)
{
	int rc = check_path(g, value, true, e);

	return rc < 0 ? rc : rights_add_images(g->rights, value, e);
}

static int take_overwrite_images(struct reading *g, const char *value, struct err *e)
{
	return take_bool(&g->rights->overwrite_images, value, e);
}

/* It is run with our rights, so nobody else may write to it. */
static int take_launch_hook(struct reading *g, const char *value, struct err *e)
{
	struct stat st;

	if (check_path(g, value, false, e) < 0)
		return e->code;
	if (strpbrk(value, "\n"))
		return err_set(e, ERR_USAGE, "a path has no newline in it");
	if (!g->others && stat(value, &st) < 0)
		return err_set_sys(e, errno, "%s", value);
	if (!g->others && ((st.st_uid != 0 && st.st_uid != geteuid()) || config_file_is_loose(&st)))
		return err_set(e, ERR_CONFIG,
			       "%s: must belong to root or to the user who runs adit, and be "
			       "writable for its owner only (chmod go-w)",
			       value);
	return take_path(&g->rights->launch_hook, value, e);
}

static int take_dest_qmp(struct reading *g, const char *value, struct err *e)
{
	return rights_add_dest_qmp(g->rights, value, e);
}

static int take_libvirt(struct reading *g, const char *value, struct err *e)
{
	return take_bool(&g->rights->libvirt, value, e);
}

static int take_bandwidth(struct reading *g, const char *value, struct err *e)
{
	return size_parse_rate(&g->rights->bandwidth, value, e);
}

static int take_sessions(struct reading *g, const char *value, struct err *e)
{
	return take_count(&g->rights->sessions_max, value, 65536, e);
}

static int take_memory_of_peer(struct reading *g, const char *value, struct err *e)
{
	return take_size(&g->rights->memory_max, 4 << 20, value, e);
}

/* ---- [client] ---- */

static int take_client_psk(struct reading *g, const char *value, struct err *e)
{
	return client_conf_take(&g->c->client, "psk", value, e);
}

static int take_client_tls_creds(struct reading *g, const char *value, struct err *e)
{
	return client_conf_take(&g->c->client, "tls-creds", value, e);
}

static int take_client_identity(struct reading *g, const char *value, struct err *e)
{
	return client_conf_take(&g->c->client, "identity", value, e);
}

static const struct key keys[] = {
    {"listen", SERVE, false, take_listen},
    {"psk", SERVE, false, take_psk},
    {"tls-creds", SERVE, false, take_tls_creds},
    {"insecure", SERVE, false, take_insecure},
    {"run-dir", SERVE, false, take_run_dir},
    {"state-dir", SERVE, false, take_state_dir},
    {"libvirt-dir", SERVE, false, take_libvirt_dir},
    {"vms", SERVE, true, take_vms},
    {"api", SERVE, false, take_api},
    {"api-listen", SERVE, false, take_api_listen},
    {"api-token-file", SERVE, false, take_api_token_file},
    {"launch-user", SERVE, false, take_launch_user_of_all},
    {"log-level", SERVE, false, take_log_level},
    {"handshakes", SERVE, false, take_handshakes},
    {"sessions", SERVE, false, take_sessions_in_all},
    {"memory", SERVE, false, take_memory},
    {"memory-total", SERVE, false, take_memory_total},
    {"forward", PEER, true, take_forward},
    {"migrate", PEER, false, take_migrate},
    {"launch", PEER, true, take_launch},
    {"launch-user", PEER, false, take_launch_user},
    {"images", PEER, true, take_images},
    {"overwrite-images", PEER, false, take_overwrite_images},
    {"launch-hook", PEER, false, take_launch_hook},
    {"dest-qmp", PEER, true, take_dest_qmp},
    {"libvirt", PEER, false, take_libvirt},
    {"bandwidth", PEER, false, take_bandwidth},
    {"sessions", PEER, false, take_sessions},
    {"memory", PEER, false, take_memory_of_peer},
    {"psk", CLIENT, false, take_client_psk},
    {"tls-creds", CLIENT, false, take_client_tls_creds},
    {"identity", CLIENT, false, take_client_identity},
};

enum { KEY_COUNT = sizeof(keys) / sizeof(*keys) };
_Static_assert((int)KEY_COUNT <= (int)KEYS_MAX, "room for each key's line");

/* ---- peers ---- */

/* What goes only together; in the words of the file or the command line. */
static int check_rights(const struct reading *g, struct err *e)
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
	    {r->overwrite_images && !r->images, "overwrite-images", "needs", "images"},
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
static int end_peer(struct reading *g, struct err *e)
{
	struct rights *r = g->rights;
	int rc;

	if (!g->peer)
		return 0;
	rc = check_rights(g, e);
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

static int begin_peer(struct reading *g, const char *pattern, unsigned line, struct err *e)
{
	rights_unref(g->rights);
	g->rights = rights_new();
	g->peer = strdup(pattern);
	g->peer_line = line;
	g->others = g->source->stdio && g->source->peer &&
		    (g->peer_found || !rights_match(pattern, g->source->peer));
	g->peer_found = g->peer_found || !g->others;
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if (keys[i].where == PEER)
			g->seen[i] = 0;
	return g->rights && g->peer ? 0 : err_set(e, ERR_SPACE, "memory is short");
}

/* ---- the file ---- */

static int on_section(void *ctx, const char *name, unsigned line, struct err *e)
{
	struct reading *g = ctx;
	const char *pattern;

	if (end_peer(g, e) < 0) {
		/* it is told with its own line */
		return e->code;
	}
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
	if (strncmp(name, "peer", 4) != 0 || pattern != name + 4)
		return err_set(e, ERR_CONFIG,
			       "[%s] is no section: write [serve], [client] or [peer NAME]", name);
	pattern += strspn(pattern, " \t");
	if (!*pattern || strchr(" \t", pattern[strlen(pattern) - 1]))
		return err_set(e, ERR_CONFIG, "[%s]: write [peer NAME], with * for everybody",
			       name);
	return begin_peer(g, pattern, line, e);
}

/* Names the file's keys where the words name the options. */
static void name_keys(char *text)
{
	for (char *p = strstr(text, "--"); p; p = strstr(p + 2, "--"))
		for (unsigned i = 0; i < KEY_COUNT && (p == text || p[-1] == ' '); i++) {
			size_t len = strlen(keys[i].name);

			if (strncmp(p + 2, keys[i].name, len) == 0 && strchr(" :", p[2 + len])) {
				memmove(p, p + 2, strlen(p + 2) + 1);
				break;
			}
		}
}

/* Takes a value, with the key's name in front of what is wrong. */
static int take(struct reading *g, unsigned i, const char *name, const char *value, struct err *e)
{
	struct err own = ERR_INIT;
	const char *text = own.text;
	size_t len;

	if (keys[i].take(g, value, &own) >= 0)
		return 0;
	/* Some name their option themselves. */
	if (strncmp(text, "--", 2) == 0 && !g->from_file)
		return err_set(e, own.code, "%s", text);
	if (strncmp(text, "--", 2) == 0) {
		name_keys(own.text);
		len = strcspn(text, ": ");
		if (len == strlen(name) && strncmp(text, name, len) == 0)
			text += len + strspn(text + len, ": ");
	}
	return err_set(e, own.code, "%s%s: %s", g->from_file ? "" : "--", name, text);
}

/* Those that say who may connect are one thing. */
static bool is_creds(const char *name)
{
	return strcmp(name, "psk") == 0 || strcmp(name, "tls-creds") == 0 ||
	       strcmp(name, "insecure") == 0;
}

/* Whether the command line has said it already; then the file's word does not count. */
static bool is_overridden(const struct reading *g, unsigned i)
{
	if (is_creds(keys[i].name))
		for (unsigned k = 0; k < KEY_COUNT; k++)
			if (is_creds(keys[k].name) && g->seen[k] == LINE_OPTION)
				return true;
	return g->seen[i] == LINE_OPTION;
}

static const char *const section_names[] = {"[serve]", "[peer NAME]", "[client]"};

static int no_key(const char *key, struct err *e)
{
	struct suggest s;
	char meant[64];

	/* As the option is called. */
	suggest_begin(&s, strncmp(key, "allow-", 6) == 0 ? key + 6 : key);
	for (unsigned i = 0; i < KEY_COUNT; i++)
		suggest_try(&s, keys[i].name);
	return err_set(e, ERR_CONFIG, "there is no key %s%s; adit.conf(5) has them all", key,
		       suggest_words(&s, "", meant, sizeof(meant)));
}

static int on_key(void *ctx, const char *key, const char *value, unsigned line, struct err *e)
{
	struct reading *g = ctx;
	enum where where = g->peer ? PEER : g->in_client ? CLIENT : SERVE;
	unsigned i;

	for (i = 0; !g->peer && !g->in_serve && !g->in_client && i < KEY_COUNT; i++)
		if (strcmp(keys[i].name, key) == 0)
			return err_set(e, ERR_CONFIG, "%s stands in no section: write %s above it",
				       key, section_names[keys[i].where]);
	if (!g->peer && !g->in_serve && !g->in_client)
		return no_key(key, e);
	for (i = 0; i < KEY_COUNT; i++)
		if (keys[i].where == where && strcmp(keys[i].name, key) == 0)
			break;
	if (i == KEY_COUNT) {
		for (i = 0; i < KEY_COUNT; i++)
			if (strcmp(keys[i].name, key) == 0)
				return err_set(e, ERR_CONFIG, "%s belongs to a section %s", key,
					       section_names[keys[i].where]);
		return no_key(key, e);
	}
	if (where != CLIENT && is_overridden(g, i))
		return 0;
	if (g->seen[i] && !keys[i].many)
		return err_set(e, ERR_CONFIG, "%s stands in line %u already", key, g->seen[i]);
	g->seen[i] = line;
	return take(g, i, key, value, e);
}

static const struct config_file_ops file_ops = {on_section, on_key};

static int read_file(struct reading *g, struct err *e)
{
	const struct rights *all;
	int rc;

	g->from_file = true;
	rc = config_file_read(g->source->file, &file_ops, g, e);
	if (rc == 0)
		rc = end_peer(g, e);
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
	return take_text(&g->c->file, g->source->file, e);
}

/* ---- the command line ---- */

static int take_options(struct reading *g, struct err *e)
{
	const struct config_source *s = g->source;

	for (unsigned k = 0; k < s->option_count; k++) {
		const char *option = s->options[k].name, *name = option;
		unsigned i;

		if (strncmp(name, "allow-", 6) == 0)
			name += 6;
		/* [serve] comes first, and its sessions are not an option. */
		for (i = 0; i < KEY_COUNT && strcmp(keys[i].name, name) != 0; i++)
			;
		if (i == KEY_COUNT)
			return err_set(e, ERR_INTERNAL, "--%s has no key", option);
		g->seen[i] = LINE_OPTION;
		g->c->rights_given = g->c->rights_given || keys[i].where == PEER;
		if (take(g, i, option, s->options[k].value ? s->options[k].value : "yes", e) < 0)
			return e->code;
	}
	if (s->stdio && auth_given(&g->c->auth))
		return err_set(e, ERR_USAGE,
			       "--stdio takes no credentials: ssh has proved who the peer is");
	if (s->stdio && serve_api_wanted(&g->c->api))
		return err_set(e, ERR_USAGE, "--stdio and the API cannot go together");
	return check_rights(g, e);
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
static int explain_api(const struct reading *g, struct err *e)
{
	unsigned line = 0;

	if (!g->c->file)
		return e->code;
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		size_t len = strlen(keys[i].name);

		if (strncmp(e->text, "--", 2) == 0 &&
		    strncmp(e->text + 2, keys[i].name, len) == 0 && e->text[2 + len] == ' ' &&
		    (g->seen[i] == LINE_OPTION || !keys[i].many))
			line = g->seen[i];
	}
	if (line == LINE_OPTION)
		return e->code;
	name_keys(e->text);
	e->code = e->code == ERR_USAGE ? ERR_CONFIG : e->code;
	return line ? err_prefix(e, "%s:%u", g->c->file, line) : err_prefix(e, "%s", g->c->file);
}

static int check(const struct reading *g, struct err *e)
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
	struct reading g = {.c = c, .source = source, .rights = rights_new()};
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
	rc = source->file ? read_file(&g, e) : 0;
	rights_unref(g.rights);
	g.rights = line;
	/* The command line's are for everybody else. */
	if (rc == 0 && (c->rights_given || !source->file)) {
		g.from_file = false;
		free(g.peer);
		g.peer = strdup("*");
		rc = g.peer ? end_peer(&g, e) : err_set(e, ERR_SPACE, "memory is short");
	}
	if (rc == 0)
		rc = check(&g, e);
	if (rc == 0)
		use_launch_user(c, source);
out:
	rights_unref(g.rights);
	free(g.peer);
	if (rc == 0)
		return c;
	config_free(c);
	return NULL;
}

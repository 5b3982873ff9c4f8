/* What a configuration says, for a person and for a reload: see config.h. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli/common/run_dir.h"
#include "cli/serve/config.h"

static void line(FILE *out, const char *name, const char *value)
{
	fprintf(out, "  %-17s %s\n", name, value);
}

static void lines(FILE *out, const char *name, const char *const *values)
{
	for (; values && *values; values++)
		line(out, name, *values);
}

static void print_addr(FILE *out, const char *name, const struct addr *a)
{
	char text[ADDR_HOST_MAX + 16];

	if (a->kind == ADDR_FD)
		snprintf(text, sizeof(text), "fd:%d", a->fd);
	else
		snprintf(text, sizeof(text), strchr(a->host, ':') ? "[%s]:%u" : "%s:%u",
			 a->host[0] ? a->host : "*", a->port);
	line(out, name, text);
}

static void print_serve(const struct config *c, const struct config_source *source, FILE *out)
{
	static const char *const levels[] = {"error", "warning", "info", "debug"};
	const struct serve_api_options *api = &c->api;
	char text[64];

	fprintf(out, "serve\n");
	print_addr(out, "listen", &c->listen);
	if (source->stdio)
		line(out, "stdio", "yes");
	if (c->auth.psk)
		line(out, "psk", c->auth.psk);
	if (c->auth.tls_creds)
		line(out, "tls-creds", c->auth.tls_creds);
	if (c->auth.insecure)
		line(out, "insecure", "yes");
	if (c->run_dir)
		line(out, "run-dir", c->run_dir);
	if (c->state_dir)
		line(out, "state-dir", c->state_dir);
	if (c->libvirt_dir)
		line(out, "libvirt-dir", c->libvirt_dir);
	lines(out, "vms", api->vms);
	if (api->at_given)
		line(out, "api", api->at.path);
	if (api->tcp_given)
		print_addr(out, "api-listen", &api->tcp);
	if (api->token_file)
		line(out, "api-token-file", api->token_file);
	line(out, "log-level", levels[c->log_level]);
	snprintf(text, sizeof(text), "%u", c->limits.handshakes_max);
	line(out, "handshakes", text);
	snprintf(text, sizeof(text), "%u", c->limits.all_sessions_max);
	line(out, "sessions", text);
	line(out, "memory", size_format(c->limits.session.memory_max_bytes, text, sizeof(text)));
	line(out, "memory-total", size_format(c->limits.memory_max_bytes, text, sizeof(text)));
	if (c->client.psk[0] || c->client.tls_creds[0] || c->client.identity[0])
		fprintf(out, "client\n");
	if (c->client.psk[0])
		line(out, "psk", c->client.psk);
	if (c->client.tls_creds[0])
		line(out, "tls-creds", c->client.tls_creds);
	if (c->client.identity[0])
		line(out, "identity", c->client.identity);
}

static void print_rules(FILE *out, const char *name, const struct rules *r, size_t skip)
{
	for (const struct rule *i = NULL; (i = rules_next(r, i)) != NULL;)
		line(out, name, rule_text(i) + skip);
}

static void print_peer(const char *pattern, const struct rights *r, uint32_t sessions, FILE *out)
{
	char text[64], rate[RIGHTS_NETWORK_MAX + RIGHTS_SCRIPT_MAX + 32];

	fprintf(out, "peer %s\n", pattern);
	if (!rights_any(r))
		fprintf(out, "  may do nothing\n");
	print_rules(out, "forward", &r->forwards, 0);
	if (r->migrate)
		line(out, "migrate", "yes");
	lines(out, "launch", r->launch);
	if (user_is_given(&r->launch_user)) {
		snprintf(rate, sizeof(rate), "%.39s%s%.39s", r->launch_user.name,
			 *r->launch_user.group ? ":" : "", r->launch_user.group);
		line(out, "launch-user", rate);
	}
	lines(out, "images", r->images);
	for (unsigned i = 0; i < r->storage_count; i++)
		fprintf(out, "  %-17s %s=%s%s%s%s\n", "storage", r->storage[i].name,
			r->storage[i].folder, *r->storage[i].format ? " (" : "",
			r->storage[i].format, *r->storage[i].format ? ")" : "");
	if (r->overwrite_images)
		line(out, "overwrite-images", "yes");
	for (unsigned i = 0; i < r->network_count; i++)
		line(out, "networks", rights_network_text(&r->networks[i], rate, sizeof(rate)));
	lines(out, "memory-paths", r->memory);
	if (r->swtpm)
		line(out, "swtpm", r->swtpm);
	if (r->launch_hook)
		line(out, "launch-hook", r->launch_hook);
	print_rules(out, "dest-qmp", &r->dest_qmp, strlen("unix:"));
	if (r->libvirt)
		line(out, "libvirt", "yes");
	if (r->bandwidth) {
		snprintf(rate, sizeof(rate), "%s/s", size_format(r->bandwidth, text, sizeof(text)));
		line(out, "bandwidth", rate);
	}
	snprintf(text, sizeof(text), "%u", r->sessions_max ? r->sessions_max : sessions);
	line(out, "sessions", text);
	if (r->memory_max)
		line(out, "memory", size_format(r->memory_max, text, sizeof(text)));
}

void config_print(const struct config *c, const struct config_source *source, FILE *out)
{
	const struct rights *r;
	const char *pattern = NULL;
	bool all = false;

	if (c->file)
		fprintf(out, "from %s%s\n", c->file,
			source->option_count ? " and the command line" : "");
	print_serve(c, source, out);
	for (unsigned i = 0; (pattern = rights_table_at(c->rights, i, &r)) != NULL; i++) {
		print_peer(pattern, r, c->limits.sessions_max, out);
		all = all || strcmp(pattern, "*") == 0;
	}
	if (!all)
		fprintf(out, "everybody else\n  may do nothing\n");
}

struct auth config_client(const struct config *c)
{
	struct auth a = {0};

	client_conf_fill(&c->client, &a);
	if (!auth_given(&a))
		a = c->auth;
	client_conf_fill(&c->client, &a);
	return a;
}

/* ---- reload ---- */

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool config_same_creds(const struct auth *a, const struct auth *b)
{
	return same(a->psk, b->psk) && same(a->tls_creds, b->tls_creds) &&
	       a->insecure == b->insecure;
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->kind == b->kind && a->fd == b->fd && a->port == b->port &&
	       strcmp(a->host, b->host) == 0 && strcmp(a->path, b->path) == 0;
}

static bool same_words(const char *const *a, const char *const *b)
{
	for (; a && b && *a && *b; a++, b++)
		if (strcmp(*a, *b) != 0)
			return false;
	return (!a || !*a) && (!b || !*b);
}

char *config_fixed(const struct config *now, const struct config *next, char *buf, size_t size)
{
	const struct serve_api_options *a = &now->api, *b = &next->api;
	const struct {
		const char *name;
		bool differs;
	} all[] = {
	    {"listen", !same_addr(&now->listen, &next->listen)},
	    {"run-dir", !same(now->run_dir, next->run_dir)},
	    {"state-dir", !same(now->state_dir, next->state_dir)},
	    {"libvirt-dir", !same(now->libvirt_dir, next->libvirt_dir)},
	    {"vms", !same_words(a->vms, b->vms)},
	    {"api", a->at_given != b->at_given || !same_addr(&a->at, &b->at)},
	    {"api-listen", a->tcp_given != b->tcp_given || !same_addr(&a->tcp, &b->tcp)},
	};
	size_t len = 0;

	*buf = '\0';
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i].differs && len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						all[i].name);
	return buf;
}

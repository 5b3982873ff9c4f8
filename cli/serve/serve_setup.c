/* What adit serve makes when it starts, and may have to when its configuration is read anew. */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/common/run_dir.h"
#include "cli/serve/serve_i.h"
#include "control/talk.h"

/* Who has proved who it is, and may have a session. */
static const char *admit(void *ctx, const char *peer, uint32_t *sessions_max,
			 uint64_t *memory_max_bytes, enum code *code)
{
	struct serve *v = ctx;
	const struct rights *r = rights_table_find(v->rights, peer);

	/* A source may ask what became of its job, of which the journal alone may know, for its VM
	 * stands still until then. All else is refused to it later. */
	if (v->state != SERVE_RUNS && !(v->state == SERVE_DRAINS && r->migrate)) {
		*code = CODE_DRAINING;
		return serve_drain_words;
	}
	if (r->sessions_max)
		*sessions_max = r->sessions_max;
	*memory_max_bytes = r->memory_max;
	return NULL;
}

struct listener_config serve_setup_limits(struct serve *v)
{
	struct listener_config c = v->config->limits;

	c.accounts = v->accounts;
	c.admit = admit;
	c.admit_ctx = v;
	return c;
}

static void log_warning(void *ctx, const char *line)
{
	(void)ctx;
	log_warn(NULL, "%s", line);
}

void serve_setup_warn(const struct config *c, struct creds *creds)
{
	config_warn(c, creds, log_warning, NULL);
}

void serve_setup_rights(struct serve *v, struct config *c)
{
	v->rights = c->rights;
	c->rights = NULL;
	router_set_rights(v->router, v->rights);
}

const char *serve_setup_own_folder(const struct serve *v, const char *option,
				   const char *configured)
{
	for (unsigned i = 0; i < v->source.option_count; i++)
		if (strcmp(v->options[i].name, option) == 0)
			return configured;
	return v->source.stdio && geteuid() != 0 ? NULL : configured;
}

/* VMs that other users run have their folders in run_dir. */
static int let_users_pass(const struct serve *v, const struct config *c, struct err *e)
{
	const struct rights_table *all = c->rights ? c->rights : v->rights;
	const struct rights *r;
	int rc = run_dir_let_pass(v->run_dir, e);

	for (unsigned i = 0; rc == 0 && rights_table_at(all, i, &r); i++)
		rc = user_check_path(&r->launch_user, v->run_dir, X_OK, e);
	return rc;
}

int serve_setup_folders(struct serve *v, const struct config *c, struct err *e)
{
	int rc = 0;

	if (!v->run_dir[0])
		rc = run_dir_prepare(serve_setup_own_folder(v, "run-dir", c->run_dir), v->run_dir,
				     sizeof(v->run_dir), e);
	if (rc == 0 && c->any_launch_user && geteuid() == 0)
		rc = let_users_pass(v, c, e);
	if (rc == 0 && !v->state_dir[0])
		rc = journal_prepare(serve_setup_own_folder(v, "state-dir", c->state_dir),
				     v->state_dir, sizeof(v->state_dir), e);
	return rc;
}

/* Whether a section of the configuration is for that user who logs in by ssh, by name. */
static bool knows_ssh_user(void *ctx, const char *peer)
{
	const struct serve *v = ctx;
	const struct rights *r;
	const char *pattern;

	for (unsigned i = 0; (pattern = rights_table_at(v->rights, i, &r)) != NULL; i++)
		if (rights_match(pattern, peer))
			return strncmp(pattern, "ssh:", 4) == 0 && rights_any(r);
	return false;
}

void serve_setup_keys(struct serve *v)
{
	struct err e = ERR_INIT;

	if (v->auth.insecure)
		return;
	if (v->run_dir[0] ||
	    run_dir_prepare(v->config->run_dir, v->run_dir, sizeof(v->run_dir), &e) == 0)
		v->once = serve_once_new(v->base, v->run_dir, v->creds, listener_port(v->listener),
					 knows_ssh_user, v, &e);
	if (!v->once)
		log_info(NULL, "takes no one-time keys for ssh+tls://: %s", e.text);
}

int serve_setup_caretaker(struct serve *v, struct err *e)
{
	if (!v->state_dir[0] || v->source.stdio || v->caretaker)
		return 0;
	v->caretaker = caretaker_new(v->base, v->state_dir, e);
	return v->caretaker ? 0 : (int)e->code;
}

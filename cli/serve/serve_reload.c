/*
 * SIGHUP: the configuration and all credentials are read anew. All of it is good, or the old stays
 * in force. Sessions and jobs keep the rights that they came with.
 */
#include <string.h>

#include "base/log.h"
#include "cli/common/creds_options.h"
#include "cli/serve/serve_i.h"

/* What of the next configuration had to be read from other files. */
struct fresh {
	struct creds *creds; /* NULL: those that there are, to be read anew */
	char token[API_TOKEN_MAX + 1];
};

/* Reads it, and changes nothing. 0 or *e. */
static int read_fresh(const struct serve *v, const struct config *next, struct fresh *f,
		      struct err *e)
{
	if (serve_api_read_token(&v->api, next->api.token_file, f->token, e) < 0)
		return e->code;
	if (!v->creds)
		return 0; /* --stdio has none */
	f->creds = auth_load_server(&next->auth, e);
	if (!f->creds)
		return e->code;
	if (config_same_creds(&v->auth, &next->auth)) {
		creds_free(f->creds);
		f->creds = NULL;
	}
	return 0;
}

/* What the next configuration needs, and the old one has not: folders, open jobs. */
static int make_room(struct serve *v, const struct config *next, struct err *e)
{
	int rc = next->migrate ? serve_setup_folders(v, next, e) : 0;

	if (rc == 0)
		rc = serve_setup_caretaker(v, e);
	/* (Its sessions are not to wait for jobs that were cut off long ago.) */
	if (rc == 0 && next->migrate)
		rc = service_open(v->service, true, e);
	if (rc == 0 && v->creds && config_same_creds(&v->auth, &next->auth))
		rc = creds_reload(v->creds, e);
	return rc;
}

/* All of it is good: it holds for who comes from now on. */
static void use_config(struct serve *v, struct config *next, const struct fresh *f)
{
	struct config *old = v->config;
	struct creds *old_creds = v->creds;
	struct listener_config c;
	struct err e = ERR_INIT;

	v->config = next;
	v->auth = next->auth;
	v->client = config_client(next);
	log_set_level(next->log_level);
	serve_setup_rights(v, next);
	if (f->creds)
		v->creds = f->creds;
	if (v->listener) {
		c = serve_setup_limits(v);
		listener_set(v->listener, v->creds, &c);
	}
	/* (Insecure ones refuse keys by themselves.) */
	if (v->once)
		serve_once_set_creds(v->once, v->creds);
	else if (v->listener)
		serve_setup_keys(v);
	if (f->creds)
		creds_free(old_creds);
	if (serve_api_set_token(&v->api, f->token, &e) < 0)
		log_error(NULL, "the API's old token stays in force: %s", e.text);
	if (old != v->first)
		config_free(old);
}

static int reload(struct serve *v, struct err *e)
{
	struct config *next = config_new(&v->source, e);
	struct fresh f = {0};
	char fixed[128];

	if (!next)
		return e->code;
	if (read_fresh(v, next, &f, e) < 0 || make_room(v, next, e) < 0) {
		creds_free(f.creds);
		explicit_bzero(&f, sizeof(f));
		config_free(next);
		return e->code;
	}
	if (*config_fixed(v->first, next, fixed, sizeof(fixed)))
		log_warn(NULL, "%s: changed in %s, but not while adit serve runs: restart it",
			 fixed, next->file ? next->file : "the command line");
	serve_setup_warn(next, f.creds ? f.creds : v->creds);
	use_config(v, next, &f);
	explicit_bzero(&f, sizeof(f));
	return 0;
}

void serve_reload_on_signal(evutil_socket_t signum, short what, void *ctx)
{
	struct serve *v = ctx;
	struct err e = ERR_INIT;
	char text[ERR_TEXT_MAX];

	(void)signum;
	(void)what;
	if (v->source.stdio)
		return; /* its session has the rights that it came with */
	serve_notify_reloading(&v->notify);
	if (reload(v, &e) < 0)
		log_error(NULL, "the old configuration and credentials stay in force: %s", e.text);
	else
		log_info(NULL, "read %s%sthe credentials anew (%s)",
			 v->config->file ? v->config->file : "", v->config->file ? " and " : "",
			 creds_options_describe(&v->auth, text, sizeof(text)));
	if (v->state == SERVE_RUNS)
		serve_notify_ready(&v->notify);
}

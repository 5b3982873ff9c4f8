/*
 * SIGHUP: the configuration and all credentials are read anew. All of it is good, or the old stays
 * in force. Sessions and jobs keep the rights that they came with.
 */
#include "base/log.h"
#include "cli/creds_options.h"
#include "cli/serve_i.h"

/* Those of the next configuration, read from disk: *fresh, or NULL for those that there are,
 * which have been read anew. */
static int reload_creds(struct serve *v, const struct config *next, struct creds **fresh,
			struct err *e)
{
	*fresh = NULL;
	if (!v->creds)
		return 0; /* --stdio has none */
	if (config_same_creds(&v->auth, &next->auth))
		return creds_reload(v->creds, e);
	*fresh = auth_load_server(&next->auth, e);
	return *fresh ? 0 : (int)e->code;
}

/* All of it is good: it holds for who comes from now on. */
static void use_config(struct serve *v, struct config *next, struct creds *fresh)
{
	struct config *old = v->config;
	struct creds *old_creds = v->creds;
	struct listener_config c;
	struct err e = ERR_INIT;

	v->config = next;
	v->auth = next->auth;
	log_set_level(next->log_level);
	serve_setup_rights(v, next);
	if (fresh)
		v->creds = fresh;
	if (v->listener) {
		c = serve_setup_limits(v);
		listener_set(v->listener, v->creds, &c);
	}
	/* (Insecure ones refuse keys by themselves.) */
	if (v->once)
		serve_once_set_creds(v->once, v->creds);
	else if (v->listener)
		serve_setup_keys(v);
	if (fresh)
		creds_free(old_creds);
	if (serve_api_reload(&v->api, next->api.token_file, &e) < 0)
		log_error(NULL, "the API's old token stays in force: %s", e.text);
	if (old != v->first)
		config_free(old);
}

static int reload(struct serve *v, struct err *e)
{
	struct config *next = config_new(&v->source, e);
	struct creds *fresh = NULL;
	char fixed[128];
	int rc;

	if (!next)
		return e->code;
	rc = next->migrate ? serve_setup_folders(v, next, e) : 0;
	if (rc == 0 && next->migrate)
		rc = service_open(v->service, e);
	if (rc == 0)
		rc = serve_setup_caretaker(v, e);
	if (rc == 0)
		rc = reload_creds(v, next, &fresh, e);
	if (rc < 0) {
		config_free(next);
		return rc;
	}
	if (*config_fixed(v->first, next, fixed, sizeof(fixed)))
		log_warn(NULL, "%s: changed in %s, but not while adit serve runs: restart it",
			 fixed, next->file ? next->file : "the command line");
	use_config(v, next, fresh);
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

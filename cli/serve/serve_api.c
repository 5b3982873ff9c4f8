/* See serve_api.h. */
#include "cli/serve/serve_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cli/serve/serve_sockets.h"

static int add_vms(struct serve_api_options *s, const char *dir, struct err *e)
{
	const char **grown = realloc(s->vms, (s->vms_count + 2) * sizeof(*grown));

	if (grown)
		s->vms = grown;
	if (!grown || !(grown[s->vms_count] = strdup(dir)))
		return err_set(e, ERR_SPACE, "memory is short");
	grown[++s->vms_count] = NULL;
	return 1;
}

int serve_api_take(struct serve_api_options *s, int option, const char *value, struct err *e)
{
	int rc;

	switch (option) {
	case SERVE_API_OPTION_VMS:
		return add_vms(s, value, e);
	case SERVE_API_OPTION_API:
		if (strncmp(value, "tcp:", 4) == 0)
			return err_set(e, ERR_USAGE,
				       "--api %s: a unix socket's path is meant; for TCP there are "
				       "--api-listen and --api-token-file",
				       value);
		if (value[0] != '/')
			return err_set(e, ERR_USAGE, "--api %s: give an absolute path", value);
		if (strlen(value) > ADDR_UNIX_MAX)
			return err_set(e, ERR_USAGE, "--api %s: the path is too long", value);
		s->at.kind = ADDR_UNIX;
		snprintf(s->at.path, sizeof(s->at.path), "%s", value);
		s->at_given = 1;
		return 1;
	case SERVE_API_OPTION_LISTEN:
		rc = addr_parse_listen(&s->tcp, value, e);
		if (rc < 0)
			return err_prefix(e, "--api-listen");
		if (!s->tcp.host[0])
			snprintf(s->tcp.host, sizeof(s->tcp.host), "127.0.0.1");
		s->tcp_given = 1;
		return 1;
	case SERVE_API_OPTION_TOKEN:
		free(s->token_file);
		s->token_file = strdup(value);
		return s->token_file ? 1 : err_set(e, ERR_SPACE, "memory is short");
	default:
		return 0;
	}
}

int serve_api_wanted(const struct serve_api_options *s)
{
	return s->vms_count || s->at_given || s->tcp_given || s->token_file;
}

static int check_token(const char *file, struct err *e)
{
	char token[API_TOKEN_MAX + 1];
	int rc = api_read_token(file, token, e);

	explicit_bzero(token, sizeof(token));
	return rc;
}

int serve_api_check(const struct serve_api_options *s, struct err *e)
{
	struct stat st;

	if (s->tcp_given && !s->token_file)
		return err_set(e, ERR_USAGE, "--api-listen needs --api-token-file");
	if (s->token_file && !s->tcp_given)
		return err_set(e, ERR_USAGE, "--api-token-file needs --api-listen");
	for (size_t i = 0; i < s->vms_count; i++) {
		if (s->vms[i][0] != '/')
			return err_set(e, ERR_USAGE, "--vms %s: give an absolute path", s->vms[i]);
		if (stat(s->vms[i], &st) < 0)
			return err_set_sys(e, errno, "--vms %s", s->vms[i]);
		if (!S_ISDIR(st.st_mode))
			return err_set(e, ERR_CONFIG, "--vms %s: not a directory", s->vms[i]);
	}
	return s->token_file ? check_token(s->token_file, e) : 0;
}

void serve_api_options_fini(struct serve_api_options *o)
{
	for (size_t i = 0; i < o->vms_count; i++)
		free((char *)o->vms[i]);
	free(o->vms);
	free(o->token_file);
	*o = (struct serve_api_options){0};
}

static int listen_tcp(struct serve_api *s, struct err *e)
{
	char token[API_TOKEN_MAX + 1];
	const struct addr *tcp = &s->options->tcp;
	int rc = api_read_token(s->options->token_file, token, e);

	if (rc == 0)
		rc = api_listen(s->api, tcp, token, e);
	explicit_bzero(token, sizeof(token));
	if (rc < 0)
		return rc;
	if (strncmp(tcp->host, "127.", 4) != 0 && strcmp(tcp->host, "::1") != 0 &&
	    strcmp(tcp->host, "localhost") != 0)
		log_warn(NULL,
			 "the API on %s is not encrypted: whoever can listen in has the token",
			 tcp->host);
	log_info(NULL, strchr(tcp->host, ':') ? "API on http://[%s]:%u" : "API on http://%s:%u",
		 tcp->host, api_port(s->api));
	return 0;
}

/* On the service manager's sockets; and on one of our own where there are none, or one is asked
 * for. */
static int listen_unix(struct serve_api *s, const char *run_dir, struct err *e)
{
	int fd, rc;

	if (s->sockets && serve_sockets_have_api(s->sockets)) {
		while ((fd = activation_claim(s->sockets, 1)) >= 0) {
			rc = api_listen_fd(s->api, fd, NULL, e);
			if (rc < 0)
				return rc;
		}
		log_info(NULL, "API on the socket of the service manager");
		if (!s->options->at_given)
			return 0;
	}
	if (!s->options->at_given) {
		s->at.kind = ADDR_UNIX;
		if ((size_t)snprintf(s->at.path, sizeof(s->at.path), "%s/api.sock", run_dir) >=
		    sizeof(s->at.path))
			return err_set(e, ERR_USAGE, "--run-dir %s: the path is too long", run_dir);
	}
	rc = api_listen(s->api, &s->at, NULL, e);
	if (rc < 0)
		return err_prefix(e, "--api");
	log_info(NULL, "API on %s", s->at.path);
	return 0;
}

int serve_api_start(struct serve_api *s, const struct serve_api_options *options,
		    struct event_base *base, struct router *router, struct accounts *accounts,
		    const struct auth *auth, const char *run_dir, const char *state_dir,
		    struct err *e)
{
	struct api_config config = {
	    .auth = auth, .state_dir = state_dir, .router = router, .accounts = accounts};
	int rc;

	s->options = options;
	s->at = options->at;
	s->tasks = tasks_new(base, e);
	if (!s->tasks)
		return e->code;
	if (options->vms_count) {
		s->found = vms_found_new(base, options->vms, s->tasks, e);
		if (!s->found)
			return e->code;
	}
	config.tasks = s->tasks;
	config.vms = s->found;
	s->api = api_new(base, &config, e);
	if (!s->api)
		return e->code;
	rc = listen_unix(s, run_dir, e);
	return rc == 0 && options->tcp_given ? listen_tcp(s, e) : rc;
}

int serve_api_read_token(const struct serve_api *s, const char *file, char *token, struct err *e)
{
	token[0] = '\0';
	return s->api && s->options->tcp_given && file ? api_read_token(file, token, e) : 0;
}

int serve_api_set_token(struct serve_api *s, const char *token, struct err *e)
{
	return *token ? api_set_token(s->api, token, e) : 0;
}

void serve_api_drain(struct serve_api *s, bool cancel, void (*fn)(void *ctx), void *ctx)
{
	unsigned n = tasks_running(s->tasks);

	if (n && cancel)
		log_info(NULL, "%u job%s cancelled first", n, n == 1 ? " is" : "s are");
	else if (n)
		log_info(NULL, "waits for the end of %u job%s from this host", n,
			 n == 1 ? "" : "s");
	api_drain(s->api);
	tasks_drain(s->tasks, cancel, fn, ctx);
}

void serve_api_fini(struct serve_api *s)
{
	if (s->api)
		api_linger(s->api); /* who follows a job is to hear of its end */
	api_free(s->api);
	vms_found_free(s->found);
	tasks_free(s->tasks);
	memset(s, 0, sizeof(*s));
}

/* See serve_api.h. */
#include "cli/serve_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cli/serve_sockets.h"

int serve_api_init(struct serve_api *s, size_t room, struct err *e)
{
	s->vms = calloc(room + 1, sizeof(*s->vms));
	return s->vms ? 0 : err_set(e, ERR_SPACE, "memory is short");
}

int serve_api_take(struct serve_api *s, int option, const char *value, struct err *e)
{
	int rc;

	switch (option) {
	case SERVE_API_OPTION_VMS:
		s->vms[s->vms_count++] = value;
		return 1;
	case SERVE_API_OPTION_API:
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
		s->token_file = value;
		return 1;
	default:
		return 0;
	}
}

int serve_api_wanted(const struct serve_api *s)
{
	return s->vms_count || s->at_given || s->tcp_given || s->token_file ||
	       (s->sockets && serve_sockets_have_api(s->sockets));
}

static int check(const struct serve_api *s, struct err *e)
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
	return 0;
}

static int listen_tcp(struct serve_api *s, struct err *e)
{
	char token[API_TOKEN_MAX + 1];
	int rc = api_read_token(s->token_file, token, e);

	if (rc == 0)
		rc = api_listen(s->api, &s->tcp, token, e);
	explicit_bzero(token, sizeof(token));
	if (rc < 0)
		return rc;
	if (strncmp(s->tcp.host, "127.", 4) != 0 && strcmp(s->tcp.host, "::1") != 0 &&
	    strcmp(s->tcp.host, "localhost") != 0)
		log_warn(NULL,
			 "the API on %s is not encrypted: whoever can listen in has the token",
			 s->tcp.host);
	log_info(NULL, strchr(s->tcp.host, ':') ? "API on http://[%s]:%u" : "API on http://%s:%u",
		 s->tcp.host, api_port(s->api));
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
		if (!s->at_given)
			return 0;
	}
	if (!s->at_given) {
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

int serve_api_start(struct serve_api *s, struct event_base *base, struct router *router,
		    const struct auth *auth, const char *run_dir, const char *state_dir,
		    struct err *e)
{
	struct api_config config = {.auth = auth, .state_dir = state_dir, .router = router};
	int rc = check(s, e);

	if (rc < 0)
		return rc;
	s->tasks = tasks_new(base, e);
	if (!s->tasks)
		return e->code;
	if (s->vms_count) {
		s->found = vms_found_new(base, s->vms, s->tasks, e);
		if (!s->found)
			return e->code;
	}
	config.tasks = s->tasks;
	config.vms = s->found;
	s->api = api_new(base, &config, e);
	if (!s->api)
		return e->code;
	rc = listen_unix(s, run_dir, e);
	return rc == 0 && s->tcp_given ? listen_tcp(s, e) : rc;
}

void serve_api_drain(struct serve_api *s, void (*fn)(void *ctx), void *ctx)
{
	unsigned n = tasks_running(s->tasks);

	if (n)
		log_info(NULL, "%u job%s cancelled first", n, n == 1 ? " is" : "s are");
	api_drain(s->api);
	tasks_drain(s->tasks, fn, ctx);
}

void serve_api_fini(struct serve_api *s)
{
	if (s->api)
		api_linger(s->api); /* who follows a job is to hear of its end */
	api_free(s->api);
	vms_found_free(s->found);
	tasks_free(s->tasks);
	free(s->vms);
	memset(s, 0, sizeof(*s));
}

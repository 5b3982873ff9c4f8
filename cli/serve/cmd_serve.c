/* adit serve: listens for other adits, and lets them do what its configuration says. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/common/creds_options.h"
#include "cli/common/log_timer.h"
#include "cli/common/run_dir.h"
#include "cli/common/usage.h"
#include "cli/serve/serve_i.h"
#include "cli/serve/serve_sockets.h"
#include "proxy/relay.h"
#include "tunnel/account.h"

static void on_session(void *ctx, struct session *s)
{
	struct serve *v = ctx;

	router_add_session(v->router, s);
}

/* Whether VMs may come: by anybody's hand, or by that of the only peer. */
static bool takes_vms(const struct serve *v)
{
	if (!v->source.stdio)
		return v->config->migrate;
	return rights_table_find(v->rights ? v->rights : v->config->rights, v->peer)->migrate;
}

static int watch_signals(struct serve *v)
{
	v->signals[0] = evsignal_new(v->base, SIGINT, serve_drain_on_signal, v);
	v->signals[1] = evsignal_new(v->base, SIGTERM, serve_drain_on_signal, v);
	v->signals[2] = evsignal_new(v->base, SIGHUP, serve_reload_on_signal, v);
	for (int i = 0; i < 3; i++)
		if (!v->signals[i] || event_add(v->signals[i], NULL) < 0)
			return -1;
	return 0;
}

static void count(void *ctx, struct serve_notify_count *c)
{
	const struct serve *v = ctx;
	const struct session *s = NULL;

	while (v->router && (s = router_next_session(v->router, s)))
		c->sessions++;
	c->coming = v->service ? service_arrivals(v->service) : 0;
	c->coming += v->libvirt ? libvirt_service_jobs(v->libvirt) : 0;
	c->going = v->api.tasks ? tasks_running(v->api.tasks) : 0;
}

static int start_service(struct serve *v, struct err *e)
{
	struct service_config config = {.run_dir = v->run_dir, .state_dir = v->state_dir};

	v->service = service_new(v->base, v->router, &config, e);
	if (!v->service)
		return e->code;
	v->libvirt = libvirt_service_new(v->base, v->router, v->config->libvirt_dir, e);
	if (!v->libvirt)
		return e->code;
	return takes_vms(v) ? service_open(v->service, false, e) : 0;
}

/* The one session that sshd has started this for. */
static int start_stdio(struct serve *v, struct err *e)
{
	/* Nobody knows whether the adit serve that runs has the same. */
	bool own_file = v->source.file && strcmp(v->source.file, CONFIG_FILE_DEFAULT) != 0;
	struct serve_stdio_config config = {.base = v->base,
					    .router = v->router,
					    .listen = &v->config->listen,
					    .run_dir = v->run_dir,
					    .host_run_dir = RUN_DIR_ROOT,
					    .rights_given = v->config->rights_given || own_file};

	/* Where there is no such folder, no adit serve has its socket in it. */
	if (!v->run_dir[0] && run_dir_find(serve_setup_own_folder(v, "run-dir", v->config->run_dir),
					   v->run_dir, sizeof(v->run_dir), NULL) < 0)
		v->run_dir[0] = '\0';
	if (v->config->run_dir)
		config.host_run_dir = v->config->run_dir;
	v->session = serve_stdio_new(&config, e);
	return v->session ? 0 : (int)e->code;
}

static int start(struct serve *v, struct err *e)
{
	struct config *c = v->config;
	struct listener_config config;
	bool has_api;
	int rc = 0;

	log_set_level(c->log_level);
	v->api.sockets = &v->sockets;
	if (!v->source.stdio)
		rc = serve_sockets_take(&v->sockets, e);
	v->has_sockets = serve_sockets_have_peers(&v->sockets);
	has_api = serve_api_wanted(&c->api) || serve_sockets_have_api(&v->sockets);
	if (rc == 0 && (takes_vms(v) || has_api))
		rc = serve_setup_folders(v, c, e);
	if (rc < 0)
		return rc;
	v->creds = v->source.stdio ? NULL : auth_load_server(&v->auth, e);
	if (!v->creds && !v->source.stdio)
		return e->code;
	v->base = event_base_new();
	if (v->base && !v->source.stdio && serve_notify_init(&v->notify, v->base, count, v, e) < 0)
		return e->code;
	v->router = v->base ? router_new(v->base) : NULL;
	v->accounts = v->base ? accounts_new(v->base) : NULL;
	if (!v->router || !v->accounts || watch_signals(v) < 0)
		return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	v->log_timer = log_timer_new(v->base);
	serve_setup_warn(c, v->creds);
	serve_setup_rights(v, c);
	rc = start_service(v, e);
	if (rc == 0)
		rc = serve_setup_caretaker(v, e);
	if (rc == 0 && has_api)
		rc = serve_api_start(&v->api, &c->api, v->base, v->router, v->accounts, &v->client,
				     v->run_dir, v->state_dir, e);
	if (rc < 0)
		return rc;
	if (v->source.stdio)
		return start_stdio(v, e);
	config = serve_setup_limits(v);
	v->listener = serve_sockets_listen(&v->sockets, v->base, &c->listen, v->creds, &config,
					   on_session, v, e);
	if (!v->listener)
		return e->code;
	serve_setup_keys(v);
	return 0;
}

static void announce(const struct serve *v)
{
	char text[ERR_TEXT_MAX], where[512];
	const struct addr *listen = &v->config->listen;
	const char *host = listen->host[0] ? listen->host : "*";

	/* With a one-time key another adit serve may say what is allowed. */
	if (v->source.stdio)
		return;
	if (!v->config->any && !v->api.api)
		log_warn(NULL, "nothing is allowed to anybody: see --allow-forward and "
			       "--allow-migrate in adit serve --help, or [peer NAME] in adit.conf");
	if (v->auth.insecure)
		log_warn(NULL, "--insecure: whoever reaches the port may do all that is allowed");
	creds_options_describe(&v->auth, text, sizeof(text));
	if (!getenv("NOTIFY_SOCKET") && isatty(STDERR_FILENO))
		log_info(NULL, "stays in the foreground until Ctrl-C (as a service: systemctl "
			       "start adit)");
	if (v->has_sockets || listen->kind == ADDR_FD)
		log_info(NULL, "listening on %s (%s), handed over",
			 listener_describe(v->listener, where, sizeof(where)), text);
	else
		log_info(NULL,
			 strchr(host, ':') ? "listening on [%s]:%u (%s)"
					   : "listening on %s:%u (%s)",
			 host, listener_port(v->listener), text);
}

/* Ends in order: no new sessions, no jobs, no sessions; then lets the farewells out. */
static void stop(struct serve *v)
{
	serve_notify_stopping(&v->notify);
	serve_drain_unwatch(v);
	serve_once_free(v->once);
	listener_free(v->listener);
	caretaker_free(v->caretaker);
	serve_api_fini(&v->api);
	service_free(v->service);
	v->service = NULL;
	libvirt_service_free(v->libvirt);
	v->libvirt = NULL;
	router_free(v->router);
	v->router = NULL;
	serve_stdio_free(v->session); /* the router has told it */
	if (v->base) {
		session_linger(v->base);
		relay_see_off();
		accounts_free(v->accounts);
		serve_notify_fini(&v->notify);
		if (v->log_timer)
			event_free(v->log_timer);
		event_base_free(v->base);
	}
	activation_fini(&v->sockets);
	creds_free(v->creds);
	if (v->config != v->first)
		config_free(v->config);
	config_free(v->first);
	free(v->options);
}

int cmd_serve(int argc, char **argv)
{
	struct serve v = {.check_only = 0};
	struct err e = ERR_INIT;
	int status;

	v.options = calloc((size_t)argc + 1, sizeof(*v.options));
	if (!v.options) {
		err_set(&e, ERR_SPACE, "memory is short");
		return usage_fail("serve", &e);
	}
	v.source.options = v.options;
	status = serve_options_parse(&v, argc, argv);
	if (status >= 0)
		goto out;
	if (v.source.stdio) {
		serve_stdio_name_peer(v.peer, sizeof(v.peer));
		v.source.peer = v.peer;
	}
	v.first = v.config = config_new(&v.source, &e);
	if (!v.config) {
		status = usage_fail("serve", &e);
		goto out;
	}
	v.auth = v.config->auth;
	v.client = config_client(v.config);
	if (v.check_only) {
		status = serve_options_check(&v, &e) < 0 ? usage_fail("serve", &e) : EXIT_SUCCESS;
		goto out;
	}
	if (start(&v, &e) < 0) {
		status = usage_fail("serve", &e);
		goto out;
	}
	announce(&v);
	serve_notify_ready(&v.notify);
	event_base_dispatch(v.base);
	status = v.session ? serve_stdio_status(v.session) : EXIT_SUCCESS;
out:
	stop(&v);
	return status;
}

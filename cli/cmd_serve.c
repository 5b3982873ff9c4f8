/* adit serve: listens for other adits, and lets them do what the options name. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/creds_options.h"
#include "cli/run_dir.h"
#include "cli/serve_api.h"
#include "cli/serve_notify.h"
#include "cli/serve_once.h"
#include "cli/serve_sockets.h"
#include "cli/serve_stdio.h"
#include "cli/usage.h"
#include "control/caretaker.h"
#include "control/journal.h"
#include "control/service.h"
#include "proxy/libvirt_path.h"
#include "proxy/libvirt_service.h"
#include "proxy/rights.h"
#include "proxy/router.h"
#include "tunnel/listener.h"

static const char help[] =
    "usage: adit serve [--config FILE] [--check-config] [--listen HOST:PORT]\n"
    "                  (--psk FILE | --tls-creds DIR | --insecure | --stdio)\n"
    "                  [--allow-forward PATTERN]... [--allow-migrate]\n"
    "                  [--allow-launch QEMU]... [--launch-user USER] [--images DIR]...\n"
    "                  [--overwrite-images]\n"
    "                  [--allow-dest-qmp PATTERN]... [--allow-libvirt]\n"
    "                  [--vms DIR]... [--api SOCKET]\n"
    "                  [--api-listen HOST:PORT --api-token-file FILE]\n"
    "\n"
    "Accepts sessions from other adits on one TCP port. A peer that has proved who it is\n"
    "may do what is named here, and nothing else.\n"
    "\n"
    "  --config FILE       what it says is in force, too: adit.conf(5). Options hold against its\n"
    "                      [serve]; the rights that they give are those of peers that no section\n"
    "                      of it names. adit serve and adit serve --stdio without any other\n"
    "                      option but --log-level read " CONFIG_FILE_DEFAULT ", where it is\n"
    "  --check-config      say what is in force, and end: 0, or 1 and what is wrong\n"
    "  --listen HOST:PORT  where to listen; IPv6 in brackets; :PORT for all addresses, which\n"
    "                      with port 16516 is what happens when this is left out. Or fd:N, a\n"
    "                      listening socket that adit is started with. systemd's sockets (adit's\n"
    "                      TCP port, the API's unix socket) go before this: docs/system.md\n"
    "\n"
    "who may connect, exactly one of:\n" CREDS_OPTIONS_HELP_SERVER
    "  --stdio             nobody but the peer at standard input and output: what sshd runs for\n"
    "                      adit ... ssh://HOST. For ssh+tls://HOST the peer with the key that\n"
    "                      came this way is waited for at the port, for half a minute; or, where\n"
    "                      the command gives no rights (nor --config), is handed to the adit\n"
    "                      serve that has the port: of this user (with the same --run-dir), or of\n"
    "                      root if its configuration has a section of this user. One session,\n"
    "                      then it ends\n"
    "\n"
    "what they may do:\n"
    "  --allow-forward PATTERN  connect to targets that match unix:/path or tcp:HOST:PORT,\n"
    "                      with shell wildcards; * matches neither '/' nor a leading '.' of a\n"
    "                      name; HOST is compared as written. May be repeated\n"
    "  --allow-migrate     bring VMs to this host\n"
    "  --allow-launch QEMU have this binary (an absolute path) started for a VM that comes;\n"
    "                      needs --allow-migrate. May be repeated\n"
    "  --launch-user USER  run those, and qemu-img for them, as USER or USER:GROUP, with that\n"
    "                      user's groups, no capabilities and no way to more; images that are\n"
    "                      made become that user's. Also for who is named in the configuration\n"
    "                      without one. For root; needs --allow-launch. Without it QEMU runs\n"
    "                      as the user who runs adit serve\n"
    "  --images DIR        have disk images used and made in DIR for VMs that are launched;\n"
    "                      needs --allow-launch. May be repeated\n"
    "  --overwrite-images  an image that is in DIR already, under the name that a disk of the\n"
    "                      VM has, is overwritten when nobody uses it; refused without this\n"
    "  --launch-hook PROGRAM  have PROGRAM (an absolute path; of root or of the user who runs\n"
    "                      adit) start a QEMU that waits for each VM that comes, instead of\n"
    "                      --allow-launch: see docs/launch-hook.md; needs --allow-migrate\n"
    "  --allow-dest-qmp PATTERN  have a VM taken by a QEMU that waits here already, if the path\n"
    "                      of its monitor matches (adit migrate --dest-qmp); wildcards as\n"
    "                      above; needs --allow-migrate. May be repeated\n"
    "  --allow-libvirt     reach the libvirt daemon of this host, and the sockets of a migration\n"
    "                      that it takes part in (adit run --libvirt). Whoever may that may do\n"
    "                      here what root may\n"
    "  --libvirt-dir DIR   where those sockets are, in place of " LIBVIRT_PATH_DIR ";\n"
    "                      needs --allow-libvirt\n"
    "\n" SERVE_API_OPTIONS_HELP "\n"
    "  --run-dir DIR       private directory for the sockets of VMs; made with mode 0700 when\n"
    "                      missing. /run/adit for root, else $XDG_RUNTIME_DIR/adit\n"
    "  --state-dir DIR     what must outlive a reboot: the journal of VMs that come and go, so\n"
    "                      that none is lost or runs twice; made when missing. /var/lib/adit for\n"
    "                      root, else $XDG_STATE_HOME/adit\n"
    "  --log-level LEVEL   error, warning, info (what it is without this) or debug\n"
    "  -h, --help          this text\n"
    "\n"
    "SIGHUP reads the configuration and all credentials anew, for those who come from then on.\n"
    "SIGTERM takes nothing new, ends sessions without a migration, waits for the end of every\n"
    "migration, and ends the program. SIGINT, or a second SIGTERM, ends all sessions and the\n"
    "program; jobs of the API are cancelled first, and waited for where they cannot be any more.\n";

enum {
	OPTION_KEY = OPTION_OWN, /* one that the configuration knows by its name */
	OPTION_CONFIG,
	OPTION_CHECK_CONFIG,
	OPTION_STDIO,
};

/* How it ends. */
enum serve_state {
	SERVE_RUNS,
	SERVE_DRAINS, /* SIGTERM: nothing new is taken, what is under way is waited for */
	SERVE_ENDS,   /* jobs of the API are cancelled; a signal ends the program at once */
};

static const char ending[] = "this adit is ending, and takes nothing new";

enum {
	DRAIN_LOOK_MS = 100,
	DRAIN_ASK_MS = 5000, /* for those who come meanwhile, to ask what became of a job */
};

struct serve {
	struct config_source source;
	struct config_option *options;
	int check_only;
	struct config *config; /* in force, but for what is fixed: first is as it began */
	struct config *first;
	struct auth auth;
	enum serve_state state;
	char run_dir[ADDR_UNIX_MAX], state_dir[512];
	struct serve_api api;
	struct activation sockets; /* the service manager's */
	struct serve_notify notify;
	int has_sockets; /* that peers come to */
	struct caretaker *caretaker;

	struct event_base *base;
	struct creds *creds;
	struct router *router;
	struct rights_table *rights; /* the router's */
	struct listener *listener;
	struct serve_once *once;
	struct serve_stdio *session;	 /* --stdio: the only one */
	char peer[SERVE_STDIO_PEER_MAX]; /* whose it is */
	struct service *service;
	struct libvirt_service *libvirt;
	struct event *signals[3], *ev_drain;
};

static void on_session(void *ctx, struct session *s)
{
	struct serve *v = ctx;

	router_add_session(v->router, s);
}

/* Who has proved who it is, and may have a session. */
static const char *admit(void *ctx, const char *peer, uint32_t *sessions_max, enum code *code)
{
	struct serve *v = ctx;
	const struct rights *r = rights_table_find(v->rights, peer);

	/* A source may ask what became of its job, of which the journal alone may know, for its VM
	 * stands still until then. All else is refused to it later. */
	if (v->state != SERVE_RUNS && !(v->state == SERVE_DRAINS && r->migrate)) {
		*code = CODE_DRAINING;
		return ending;
	}
	if (r->sessions_max)
		*sessions_max = r->sessions_max;
	return NULL;
}

static struct listener_config limits(struct serve *v)
{
	struct listener_config c = v->config->limits;

	c.admit = admit;
	c.admit_ctx = v;
	return c;
}

/* From now on; the router owns them. */
static void use_rights(struct serve *v, struct config *c)
{
	v->rights = c->rights;
	c->rights = NULL;
	router_set_rights(v->router, v->rights);
}

/* Where this process keeps its own things: the configuration's folder, or NULL for the user's
 * where that is only for the host's adit serve, since --stdio runs as any user. */
static const char *own_folder(const struct serve *v, const char *option, const char *configured)
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

/* The folders that migrations need. Those that are there stay. */
static int make_folders(struct serve *v, const struct config *c, struct err *e)
{
	int rc = 0;

	if (!v->run_dir[0])
		rc = run_dir_prepare(own_folder(v, "run-dir", c->run_dir), v->run_dir,
				     sizeof(v->run_dir), e);
	if (rc == 0 && c->any_launch_user && geteuid() == 0)
		rc = let_users_pass(v, c, e);
	if (rc == 0 && !v->state_dir[0])
		rc = journal_prepare(own_folder(v, "state-dir", c->state_dir), v->state_dir,
				     sizeof(v->state_dir), e);
	return rc;
}

/* Whether VMs may come: by anybody's hand, or by that of the only peer. */
static bool takes_vms(const struct serve *v)
{
	if (!v->source.stdio)
		return v->config->migrate;
	return rights_table_find(v->rights ? v->rights : v->config->rights, v->peer)->migrate;
}

/* ---- the end ---- */

/* No job of this host is under way any more. */
static void on_drained(void *ctx)
{
	struct serve *v = ctx;

	event_base_loopbreak(v->base);
}

/* After it another signal ends the program at once. */
static void unwatch_signals(struct serve *v)
{
	for (int i = 0; i < 3; i++) {
		if (v->signals[i])
			event_free(v->signals[i]);
		v->signals[i] = NULL;
	}
	if (v->ev_drain)
		event_free(v->ev_drain);
	v->ev_drain = NULL;
}

static void end_now(struct serve *v)
{
	v->state = SERVE_ENDS;
	unwatch_signals(v);
	if (v->api.tasks)
		serve_api_drain(&v->api, true, on_drained, v);
	else
		event_base_loopbreak(v->base);
}

static bool is_busy(const struct serve *v)
{
	return service_jobs(v->service) || libvirt_service_jobs(v->libvirt) ||
	       (v->api.tasks && tasks_running(v->api.tasks));
}

/* Those that carry no migration, and came so long ago, have nothing to wait for. */
static void end_idle_sessions(struct serve *v, uint64_t age_ms)
{
	struct session *s = router_next_session(v->router, NULL), *next;

	for (; s; s = next) {
		next = router_next_session(v->router, s);
		if (router_session_age_ms(v->router, s) >= age_ms &&
		    !service_has_session(v->service, s) &&
		    !libvirt_service_has_session(v->libvirt, s))
			router_end_session(v->router, s, CODE_DRAINING, ending);
	}
}

static void on_drain_look(evutil_socket_t fd, short what, void *ctx)
{
	struct serve *v = ctx;

	(void)fd;
	(void)what;
	if (is_busy(v))
		end_idle_sessions(v, DRAIN_ASK_MS);
	else
		end_now(v);
}

static void drain(struct serve *v)
{
	static const struct timeval often = {.tv_usec = DRAIN_LOOK_MS * 1000};
	unsigned jobs = service_jobs(v->service) + libvirt_service_jobs(v->libvirt);

	v->state = SERVE_DRAINS;
	router_drain(v->router, ending);
	service_drain(v->service);
	libvirt_service_drain(v->libvirt);
	end_idle_sessions(v, 0);
	if (!is_busy(v)) {
		end_now(v);
		return;
	}
	if (jobs)
		log_info(NULL, "waits for the end of %u migration%s to this host", jobs,
			 jobs == 1 ? "" : "s");
	if (v->api.tasks)
		serve_api_drain(&v->api, false, NULL, NULL);
	v->ev_drain = event_new(v->base, -1, EV_PERSIST, on_drain_look, v);
	if (!v->ev_drain || event_add(v->ev_drain, &often) < 0)
		end_now(v);
}

static void on_end_signal(evutil_socket_t signum, short what, void *ctx)
{
	struct serve *v = ctx;

	(void)what;
	log_info(NULL, "ending: SIG%s", sigabbrev_np((int)signum));
	serve_notify_stopping(&v->notify);
	if (signum == SIGTERM && v->state == SERVE_RUNS)
		drain(v);
	else
		end_now(v);
}

/* ---- one-time keys ---- */

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

/* One-time keys come through sockets of this host. Without them all else works. */
static void take_keys(struct serve *v)
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

/* ---- reload ---- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Those of the next configuration, read from disk: *fresh, or NULL for those that there are,
 * which have been read anew. */
static int reload_creds(struct serve *v, const struct config *next, struct creds **fresh,
			struct err *e)
{
	*fresh = NULL;
	if (!v->creds)
		return 0; /* --stdio has none */
	if (same_text(v->auth.psk, next->auth.psk) &&
	    same_text(v->auth.tls_creds, next->auth.tls_creds) &&
	    v->auth.insecure == next->auth.insecure)
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
	use_rights(v, next);
	if (fresh)
		v->creds = fresh;
	if (v->listener) {
		c = limits(v);
		listener_set(v->listener, v->creds, &c);
	}
	/* (Insecure ones refuse keys by themselves.) */
	if (v->once)
		serve_once_set_creds(v->once, v->creds);
	else if (v->listener)
		take_keys(v);
	if (fresh)
		creds_free(old_creds);
	if (serve_api_reload(&v->api, next->api.token_file, &e) < 0)
		log_error(NULL, "the API's old token stays in force: %s", e.text);
	if (old != v->first)
		config_free(old);
}

/* Where there is a journal to look after. */
static int start_caretaker(struct serve *v, struct err *e)
{
	if (!v->state_dir[0] || v->source.stdio || v->caretaker)
		return 0;
	v->caretaker = caretaker_new(v->base, v->state_dir, e);
	return v->caretaker ? 0 : (int)e->code;
}

static int reload(struct serve *v, struct err *e)
{
	struct config *next = config_new(&v->source, e);
	struct creds *fresh = NULL;
	char fixed[128];
	int rc;

	if (!next)
		return e->code;
	rc = next->migrate ? make_folders(v, next, e) : 0;
	if (rc == 0 && next->migrate)
		rc = service_open(v->service, e);
	if (rc == 0)
		rc = start_caretaker(v, e);
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

static void on_hangup(evutil_socket_t signum, short what, void *ctx)
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

/* ---- the beginning ---- */

static int watch_signals(struct serve *v)
{
	v->signals[0] = evsignal_new(v->base, SIGINT, on_end_signal, v);
	v->signals[1] = evsignal_new(v->base, SIGTERM, on_end_signal, v);
	v->signals[2] = evsignal_new(v->base, SIGHUP, on_hangup, v);
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
	c->coming = v->service ? service_jobs(v->service) : 0;
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
	return takes_vms(v) ? service_open(v->service, e) : 0;
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
	if (!v->run_dir[0] && run_dir_find(own_folder(v, "run-dir", v->config->run_dir), v->run_dir,
					   sizeof(v->run_dir), NULL) < 0)
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
		rc = make_folders(v, c, e);
	if (rc < 0)
		return rc;
	v->creds = v->source.stdio ? NULL : auth_load_server(&v->auth, e);
	if (!v->creds && !v->source.stdio)
		return e->code;
	v->base = event_base_new();
	if (v->base && !v->source.stdio && serve_notify_init(&v->notify, v->base, count, v, e) < 0)
		return e->code;
	v->router = v->base ? router_new(v->base) : NULL;
	if (!v->router || watch_signals(v) < 0)
		return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	use_rights(v, c);
	rc = start_service(v, e);
	if (rc == 0)
		rc = start_caretaker(v, e);
	if (rc == 0 && has_api)
		rc = serve_api_start(&v->api, &c->api, v->base, v->router, &v->auth, v->run_dir,
				     v->state_dir, e);
	if (rc < 0)
		return rc;
	if (v->source.stdio)
		return start_stdio(v, e);
	config = limits(v);
	v->listener = serve_sockets_listen(&v->sockets, v->base, &c->listen, v->creds, &config,
					   on_session, v, e);
	if (!v->listener)
		return e->code;
	take_keys(v);
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
	unwatch_signals(v);
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
		serve_notify_fini(&v->notify);
		event_base_free(v->base);
	}
	activation_fini(&v->sockets);
	creds_free(v->creds);
	if (v->config != v->first)
		config_free(v->config);
	config_free(v->first);
	free(v->options);
}

/* --check-config: the credentials too; nothing is made. */
static int check_config(struct serve *v, struct err *e)
{
	struct creds *creds = v->source.stdio ? NULL : auth_load_server(&v->auth, e);
	char text[ADDR_UNIX_MAX];

	if (!creds && !v->source.stdio)
		return e->code;
	creds_free(creds);
	if (v->config->migrate && run_dir_find(v->config->run_dir, text, sizeof(text), e) < 0)
		return e->code;
	config_print(v->config, &v->source, stdout);
	return fflush(stdout) == 0 ? 0 : err_set_sys(e, errno, "standard output");
}

/* Without --config: what is on the command line is all that counts; where nothing is, the
 * host's own. */
static void choose_file(struct serve *v)
{
	bool alone = true;

	for (unsigned i = 0; i < v->source.option_count; i++)
		alone = alone && strcmp(v->options[i].name, "log-level") == 0;
	/* A user whom it is closed to has no rights by it. */
	if (!v->source.file && alone &&
	    access(CONFIG_FILE_DEFAULT, v->source.stdio ? R_OK : F_OK) == 0)
		v->source.file = CONFIG_FILE_DEFAULT;
}

static int parse(struct serve *v, int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, OPTION_CONFIG},
	    {"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
	    {"listen", required_argument, NULL, OPTION_KEY},
	    {"stdio", no_argument, NULL, OPTION_STDIO},
	    {"allow-forward", required_argument, NULL, OPTION_KEY},
	    {"allow-migrate", no_argument, NULL, OPTION_KEY},
	    {"allow-launch", required_argument, NULL, OPTION_KEY},
	    {"allow-libvirt", no_argument, NULL, OPTION_KEY},
	    {"launch-user", required_argument, NULL, OPTION_KEY},
	    {"images", required_argument, NULL, OPTION_KEY},
	    {"launch-hook", required_argument, NULL, OPTION_KEY},
	    {"overwrite-images", no_argument, NULL, OPTION_KEY},
	    {"allow-dest-qmp", required_argument, NULL, OPTION_KEY},
	    {"libvirt-dir", required_argument, NULL, OPTION_KEY},
	    {"run-dir", required_argument, NULL, OPTION_KEY},
	    {"state-dir", required_argument, NULL, OPTION_KEY},
	    {"log-level", required_argument, NULL, OPTION_KEY},
	    {"vms", required_argument, NULL, OPTION_KEY},
	    {"api", required_argument, NULL, OPTION_KEY},
	    {"api-listen", required_argument, NULL, OPTION_KEY},
	    {"api-token-file", required_argument, NULL, OPTION_KEY},
	    {"psk", required_argument, NULL, OPTION_KEY},
	    {"tls-creds", required_argument, NULL, OPTION_KEY},
	    {"insecure", no_argument, NULL, OPTION_KEY},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int c, at;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, &at)) != -1) {
		switch (c) {
		case 'h':
			return usage_help(help);
		case OPTION_CONFIG:
			v->source.file = optarg;
			break;
		case OPTION_CHECK_CONFIG:
			v->check_only = 1;
			break;
		case OPTION_STDIO:
			v->source.stdio = true;
			break;
		case OPTION_KEY:
			v->options[v->source.option_count++] =
			    (struct config_option){options[at].name, optarg};
			break;
		default:
			return usage_bad_option("serve", c, argv);
		}
	}
	if (optind < argc)
		return usage_error("serve", "it takes options only, not \"%s\"", argv[optind]);
	return -1;
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
	status = parse(&v, argc, argv);
	if (status >= 0)
		goto out;
	choose_file(&v);
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
	if (v.check_only) {
		status = check_config(&v, &e) < 0 ? usage_fail("serve", &e) : EXIT_SUCCESS;
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

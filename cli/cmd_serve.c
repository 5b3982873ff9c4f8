/* adit serve: listens for other adits, and lets them do what the options name. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/commands.h"
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
    "usage: adit serve [--listen HOST:PORT]\n"
    "                  (--psk FILE | --tls-creds DIR | --insecure | --stdio)\n"
    "                  [--allow-forward PATTERN]... [--allow-migrate]\n"
    "                  [--allow-launch QEMU]... [--images DIR]... [--overwrite-images]\n"
    "                  [--allow-dest-qmp PATTERN]... [--allow-libvirt]\n"
    "                  [--vms DIR]... [--api SOCKET]\n"
    "                  [--api-listen HOST:PORT --api-token-file FILE]\n"
    "\n"
    "Accepts sessions from other adits on one TCP port. A peer that has proved who it is\n"
    "may do what is named here, and nothing else.\n"
    "\n"
    "  --listen HOST:PORT  where to listen; IPv6 in brackets; :PORT for all addresses, which\n"
    "                      with port 16516 is what happens when this is left out. Or fd:N, a\n"
    "                      listening socket that adit is started with. systemd's sockets (adit's\n"
    "                      TCP port, the API's unix socket) go before this: docs/system.md\n"
    "\n"
    "who may connect, exactly one of:\n" CREDS_OPTIONS_HELP_SERVER
    "  --stdio             nobody but the peer at standard input and output: what sshd runs for\n"
    "                      adit ... ssh://HOST. For ssh+tls://HOST the peer with the key that\n"
    "                      came this way is waited for at the port, for half a minute; or, where\n"
    "                      the command gives no rights, is handed to the adit serve of this user\n"
    "                      that has the port (with the same --run-dir). One session, then the\n"
    "                      program ends\n"
    "\n"
    "what they may do:\n"
    "  --allow-forward PATTERN  connect to targets that match unix:/path or tcp:HOST:PORT,\n"
    "                      with shell wildcards; * matches neither '/' nor a leading '.' of a\n"
    "                      name; HOST is compared as written. May be repeated\n"
    "  --allow-migrate     bring VMs to this host\n"
    "  --allow-launch QEMU have this binary (an absolute path) started for a VM that comes;\n"
    "                      needs --allow-migrate. May be repeated\n"
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
    "SIGHUP reads the credentials anew. SIGTERM and SIGINT end all sessions and the program;\n"
    "jobs of the API are cancelled first, and waited for where they cannot be any more.\n";

enum {
	OPTION_LISTEN = OPTION_OWN,
	OPTION_STDIO,
	OPTION_ALLOW_FORWARD,
	OPTION_ALLOW_MIGRATE,
	OPTION_ALLOW_LAUNCH,
	OPTION_IMAGES,
	OPTION_OVERWRITE_IMAGES,
	OPTION_LAUNCH_HOOK,
	OPTION_ALLOW_DEST_QMP,
	OPTION_ALLOW_LIBVIRT,
	OPTION_LIBVIRT_DIR,
	OPTION_RUN_DIR,
	OPTION_STATE_DIR,
	OPTION_LOG_LEVEL,
};

struct serve {
	/* what the options say */
	struct addr listen;
	struct auth auth;
	struct rights *rights; /* everybody's; the router has it too */
	int stdio;
	const char *libvirt_dir;
	const char *run_dir_given, *state_dir_given;
	char run_dir[ADDR_UNIX_MAX], state_dir[512];
	struct serve_api api;
	struct activation sockets; /* the service manager's */
	struct serve_notify notify;
	int has_sockets; /* that peers come to */
	struct caretaker *caretaker;

	struct event_base *base;
	struct creds *creds;
	struct router *router;
	struct listener *listener;
	struct serve_once *once;
	struct serve_stdio *session; /* --stdio: the only one */
	struct service *service;
	struct libvirt_service *libvirt;
	struct event *signals[3];
};

static int take_option(struct serve *v, int c, const char *value, struct err *e)
{
	int rc;

	switch (c) {
	case OPTION_LISTEN:
		return addr_parse_listen(&v->listen, value, e);
	case OPTION_STDIO:
		v->stdio = 1;
		return 0;
	case OPTION_ALLOW_FORWARD:
		rc = rules_add(&v->rights->forwards, value, e);
		return rc < 0 ? err_prefix(e, "--allow-forward") : 0;
	case OPTION_ALLOW_MIGRATE:
		v->rights->migrate = true;
		return 0;
	case OPTION_ALLOW_LAUNCH:
		return rights_add_launch(v->rights, value, e);
	case OPTION_IMAGES:
		return rights_add_images(v->rights, value, e);
	case OPTION_LAUNCH_HOOK:
		free(v->rights->launch_hook);
		v->rights->launch_hook = strdup(value);
		return v->rights->launch_hook ? 0 : err_set(e, ERR_SPACE, "memory is short");
	case OPTION_OVERWRITE_IMAGES:
		v->rights->overwrite_images = true;
		return 0;
	case OPTION_ALLOW_DEST_QMP:
		rc = rights_add_dest_qmp(v->rights, value, e);
		return rc < 0 ? err_prefix(e, "--allow-dest-qmp") : 0;
	case OPTION_ALLOW_LIBVIRT:
		v->rights->libvirt = true;
		return 0;
	case OPTION_LIBVIRT_DIR:
		v->libvirt_dir = value;
		return libvirt_path_check_dir(value, e) < 0 ? err_prefix(e, "--libvirt-dir") : 0;
	case OPTION_RUN_DIR:
		v->run_dir_given = value;
		return 0;
	case OPTION_STATE_DIR:
		v->state_dir_given = value;
		return 0;
	case OPTION_LOG_LEVEL:
		return usage_take_log_level(value, e);
	default:
		rc = serve_api_take(&v->api, c, value, e);
		if (rc == 0)
			rc = creds_options_take(&v->auth, c, value, e);
		return rc < 0 ? rc : 0;
	}
}

/* Whether path is absolute and a directory, or a program; the option by its name. */
static int check_path(const char *option, const char *path, int directory, struct err *e)
{
	struct stat st;

	if (path[0] != '/')
		return err_set(e, ERR_USAGE, "%s %s: give an absolute path", option, path);
	if (stat(path, &st) < 0)
		return err_set_sys(e, errno, "%s %s", option, path);
	if (directory && !S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFIG, "%s %s: not a directory", option, path);
	/* What is made in it could be swapped for a link before QEMU opens it. */
	if (directory && (st.st_mode & S_IWOTH))
		return err_set(e, ERR_CONFIG,
			       "%s %s: everybody may write to that folder; chmod o-w it", option,
			       path);
	if (!directory && (!S_ISREG(st.st_mode) || access(path, X_OK) < 0))
		return err_set(e, ERR_CONFIG, "%s %s: not a program that can be run", option, path);
	return 0;
}

/* It is run with our rights, so nobody else may write to it. */
static int check_hook(const char *path, struct err *e)
{
	struct stat st;

	if (check_path("--launch-hook", path, 0, e) < 0)
		return e->code;
	if (strpbrk(path, "\n"))
		return err_set(e, ERR_USAGE, "--launch-hook: a path has no newline in it");
	if (stat(path, &st) < 0)
		return err_set_sys(e, errno, "--launch-hook %s", path);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH))
		return err_set(
		    e, ERR_CONFIG,
		    "--launch-hook %s: must belong to root or to the user who runs adit, "
		    "and not be writable for everybody",
		    path);
	return 0;
}

static int check_options(const struct serve *v, struct err *e)
{
	const struct rights *r = v->rights;
	int rc = 0;

	if (v->stdio && auth_given(&v->auth))
		return err_set(e, ERR_USAGE,
			       "--stdio takes no credentials: ssh has proved who the peer is");
	if (v->stdio && serve_api_wanted(&v->api))
		return err_set(e, ERR_USAGE, "--stdio and the API cannot go together");
	if (r->launch && !r->migrate)
		return err_set(e, ERR_USAGE, "--allow-launch needs --allow-migrate");
	if (r->dest_qmp.first && !r->migrate)
		return err_set(e, ERR_USAGE, "--allow-dest-qmp needs --allow-migrate");
	if (r->launch_hook && !r->migrate)
		return err_set(e, ERR_USAGE, "--launch-hook needs --allow-migrate");
	if (r->launch_hook && r->launch)
		return err_set(e, ERR_USAGE,
			       "--launch-hook and --allow-launch cannot go together: one of them "
			       "starts VMs");
	if (r->launch_hook && check_hook(r->launch_hook, e) < 0)
		return e->code;
	if (v->libvirt_dir && !r->libvirt)
		return err_set(e, ERR_USAGE, "--libvirt-dir needs --allow-libvirt");
	if (r->images && !r->launch)
		return err_set(e, ERR_USAGE, "--images needs --allow-launch");
	if (r->overwrite_images && !r->images)
		return err_set(e, ERR_USAGE, "--overwrite-images needs --images");
	for (const char **w = r->launch; w && *w && rc == 0; w++)
		rc = check_path("--allow-launch", *w, 0, e);
	for (const char **w = r->images; w && *w && rc == 0; w++)
		rc = check_path("--images", *w, 1, e);
	return rc;
}

static void on_session(void *ctx, struct session *s)
{
	struct serve *v = ctx;

	router_add_session(v->router, s);
}

/* No job of this host is under way any more. */
static void on_drained(void *ctx)
{
	struct serve *v = ctx;

	event_base_loopbreak(v->base);
}

/* After it a second signal ends the program at once. */
static void unwatch_signals(struct serve *v)
{
	for (int i = 0; i < 3; i++) {
		if (v->signals[i])
			event_free(v->signals[i]);
		v->signals[i] = NULL;
	}
}

static void on_end_signal(evutil_socket_t signum, short what, void *ctx)
{
	struct serve *v = ctx;

	(void)what;
	log_info(NULL, "ending: SIG%s", sigabbrev_np((int)signum));
	serve_notify_stopping(&v->notify);
	unwatch_signals(v);
	if (v->api.tasks)
		serve_api_drain(&v->api, on_drained, v);
	else
		event_base_loopbreak(v->base);
}

static void on_hangup(evutil_socket_t signum, short what, void *ctx)
{
	struct serve *v = ctx;
	struct err e = ERR_INIT;
	char text[ERR_TEXT_MAX];

	(void)signum;
	(void)what;
	if (!v->creds)
		return; /* --stdio has none */
	serve_notify_reloading(&v->notify);
	creds_options_describe(&v->auth, text, sizeof(text));
	if (creds_reload(v->creds, &e) < 0)
		log_error(NULL, "the old credentials stay in force: %s", e.text);
	else
		log_info(NULL, "read the credentials anew (%s)", text);
	serve_notify_ready(&v->notify);
}

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
	c->going = v->api.tasks ? tasks_running(v->api.tasks) : 0;
}

static int start_service(struct serve *v, struct err *e)
{
	struct service_config config = {.run_dir = v->run_dir, .state_dir = v->state_dir};

	v->service = service_new(v->base, v->router, &config, e);
	if (!v->service)
		return e->code;
	v->libvirt = libvirt_service_new(v->base, v->router, v->libvirt_dir, e);
	if (!v->libvirt)
		return e->code;
	return v->rights->migrate ? service_open(v->service, e) : 0;
}

/* The one session that sshd has started this for. */
static int start_stdio(struct serve *v, struct err *e)
{
	struct serve_stdio_config config = {.base = v->base,
					    .router = v->router,
					    .listen = &v->listen,
					    .run_dir = v->run_dir,
					    .rights_given = rights_any(v->rights)};

	/* Where there is no such folder, no adit serve has its socket in it. */
	if (!v->run_dir[0] &&
	    run_dir_find(v->run_dir_given, v->run_dir, sizeof(v->run_dir), NULL) < 0)
		v->run_dir[0] = '\0';
	v->session = serve_stdio_new(&config, e);
	return v->session ? 0 : (int)e->code;
}

/* One-time keys come through a socket of this user's. Without it all else works. */
static void take_keys(struct serve *v)
{
	struct err e = ERR_INIT;

	if (v->auth.insecure)
		return;
	if (v->run_dir[0] ||
	    run_dir_prepare(v->run_dir_given, v->run_dir, sizeof(v->run_dir), &e) == 0)
		v->once =
		    serve_once_new(v->base, v->run_dir, v->creds, listener_port(v->listener), &e);
	if (!v->once)
		log_info(NULL, "takes no one-time keys for ssh+tls://: %s", e.text);
}

static int start(struct serve *v, struct err *e)
{
	struct listener_config config;
	struct rights_table *table;
	int rc = 0;

	v->api.sockets = &v->sockets;
	if (!v->stdio)
		rc = serve_sockets_take(&v->sockets, e);
	v->has_sockets = serve_sockets_have_peers(&v->sockets);
	if (rc == 0)
		rc = check_options(v, e);
	if (rc == 0 && (v->rights->migrate || serve_api_wanted(&v->api)))
		rc = run_dir_prepare(v->run_dir_given, v->run_dir, sizeof(v->run_dir), e);
	if (rc == 0 && (v->rights->migrate || serve_api_wanted(&v->api)))
		rc = journal_prepare(v->state_dir_given, v->state_dir, sizeof(v->state_dir), e);
	if (rc < 0)
		return rc;
	v->creds = v->stdio ? NULL : auth_load_server(&v->auth, e);
	if (!v->creds && !v->stdio)
		return e->code;
	v->base = event_base_new();
	if (v->base && !v->stdio && serve_notify_init(&v->notify, v->base, count, v, e) < 0)
		return e->code;
	v->router = v->base ? router_new(v->base) : NULL;
	if (!v->router || watch_signals(v) < 0)
		return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	table = rights_table_new();
	if (!table)
		return err_set(e, ERR_SPACE, "memory is short");
	router_set_rights(v->router, table);
	rights_ref(v->rights);
	rc = rights_table_add(table, "*", v->rights, e);
	if (rc == 0)
		rc = start_service(v, e);
	if (rc == 0 && v->state_dir[0] && !v->stdio) {
		v->caretaker = caretaker_new(v->base, v->state_dir, e);
		rc = v->caretaker ? 0 : (int)e->code;
	}
	if (rc == 0 && serve_api_wanted(&v->api))
		rc = serve_api_start(&v->api, v->base, v->router, &v->auth, v->run_dir,
				     v->state_dir, e);
	if (rc < 0)
		return rc;
	if (v->stdio)
		return start_stdio(v, e);
	listener_config_default(&config);
	v->listener = serve_sockets_listen(&v->sockets, v->base, &v->listen, v->creds, &config,
					   on_session, v, e);
	if (!v->listener)
		return e->code;
	take_keys(v);
	return 0;
}

static void announce(const struct serve *v)
{
	char text[ERR_TEXT_MAX], where[512];
	const char *host = v->listen.host[0] ? v->listen.host : "*";

	/* With a one-time key another adit serve may say what is allowed. */
	if (v->stdio)
		return;
	if (!rights_any(v->rights) && !v->api.api)
		log_warn(NULL, "nothing is allowed to anybody: see --allow-forward and "
			       "--allow-migrate in adit serve --help");
	if (v->auth.insecure)
		log_warn(NULL, "--insecure: whoever reaches the port may do all that is allowed");
	creds_options_describe(&v->auth, text, sizeof(text));
	if (v->has_sockets || v->listen.kind == ADDR_FD)
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
	rights_unref(v->rights);
}

static int parse(struct serve *v, int argc, char **argv)
{
	static const struct option options[] = {
	    {"listen", required_argument, NULL, OPTION_LISTEN},
	    {"stdio", no_argument, NULL, OPTION_STDIO},
	    {"allow-forward", required_argument, NULL, OPTION_ALLOW_FORWARD},
	    {"allow-migrate", no_argument, NULL, OPTION_ALLOW_MIGRATE},
	    {"allow-launch", required_argument, NULL, OPTION_ALLOW_LAUNCH},
	    {"images", required_argument, NULL, OPTION_IMAGES},
	    {"launch-hook", required_argument, NULL, OPTION_LAUNCH_HOOK},
	    {"overwrite-images", no_argument, NULL, OPTION_OVERWRITE_IMAGES},
	    {"allow-dest-qmp", required_argument, NULL, OPTION_ALLOW_DEST_QMP},
	    {"allow-libvirt", no_argument, NULL, OPTION_ALLOW_LIBVIRT},
	    {"libvirt-dir", required_argument, NULL, OPTION_LIBVIRT_DIR},
	    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
	    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
	    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	    SERVE_API_OPTIONS_LONG,
	    CREDS_OPTIONS_LONG,
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct err e = ERR_INIT;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return usage_bad_option("serve", c, argv);
		if (c == 'h')
			return usage_help(help);
		if (take_option(v, c, optarg, &e) < 0)
			return usage_fail("serve", &e);
	}
	if (optind < argc)
		return usage_error("serve", "it takes options only, not \"%s\"", argv[optind]);
	return -1;
}

int cmd_serve(int argc, char **argv)
{
	struct serve v = {.listen = {.kind = ADDR_TCP, .port = ADDR_PORT_DEFAULT}};
	struct err e = ERR_INIT;
	size_t room = (size_t)argc + 1;
	int status;

	v.rights = rights_new();
	if (serve_api_init(&v.api, room, &e) < 0 || !v.rights) {
		err_set(&e, ERR_SYSTEM, "memory is short");
		status = usage_fail("serve", &e);
		goto out;
	}
	status = parse(&v, argc, argv);
	if (status >= 0)
		goto out;
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

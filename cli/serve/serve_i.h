/*
 * adit serve, from within: what its files share. cmd_serve.c begins and ends it, serve_options.c
 * reads its words, serve_setup.c makes what start and reload both need, serve_reload.c is SIGHUP,
 * serve_drain.c SIGTERM and SIGINT.
 */
#ifndef ADIT_CLI_SERVE_SERVE_I_H
#define ADIT_CLI_SERVE_SERVE_I_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/activation.h"
#include "cli/serve/config.h"
#include "cli/serve/serve_api.h"
#include "cli/serve/serve_notify.h"
#include "cli/serve/serve_once.h"
#include "cli/serve/serve_stdio.h"
#include "control/destination.h"
#include "control/source.h"
#include "proxy/libvirt_service.h"
#include "proxy/rights.h"
#include "proxy/router.h"
#include "tunnel/listener.h"

struct accounts;

/* How it ends. */
enum serve_state {
	SERVE_RUNS,
	SERVE_DRAINS, /* SIGTERM: nothing new is taken, what is under way is waited for */
	SERVE_ENDS,   /* jobs of the API are cancelled; a signal ends the program at once */
};

/* Owned by cmd_serve. */
struct serve {
	struct config_source source;
	struct config_option *options;
	int check_only;
	struct config *config; /* in force, but for what is fixed: first is as it began */
	struct config *first;
	struct auth auth, client; /* client: of the API's jobs */
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
	struct accounts *accounts;   /* of the peers that come */
	struct listener *listener;
	struct serve_once *once;
	struct serve_stdio *session;	 /* --stdio: the only one */
	char peer[SERVE_STDIO_PEER_MAX]; /* whose it is */
	struct service *service;
	struct libvirt_service *libvirt;
	struct event *signals[3], *ev_drain, *log_timer;
};

/* ---- serve_options.c ---- */

/* Reads the command line, and finds the file that goes with it: -1 to go on, else the exit
 * status. */
int serve_options_parse(struct serve *v, int argc, char **argv);

/* --check-config: says what is in force, credentials looked at too; nothing is made. */
int serve_options_check(struct serve *v, struct err *e);

/* ---- serve_setup.c ---- */

/* The limits of the configuration in force, and who is let in. */
struct listener_config serve_setup_limits(struct serve *v);

/* c's rights hold from now on; the router owns them. */
void serve_setup_rights(struct serve *v, struct config *c);

/* Logs what config_warn says. */
void serve_setup_warn(const struct config *c, struct creds *creds);

/* Where this process keeps its own things: the configuration's folder, or NULL for the user's
 * where that is only for the host's adit serve, since --stdio runs as any user. */
const char *serve_setup_own_folder(const struct serve *v, const char *option,
				   const char *configured);

/* The folders that migrations need. Those that are there stay. */
int serve_setup_folders(struct serve *v, const struct config *c, struct err *e);

/* Opens the sockets that one-time keys come through. Without them all else works. */
void serve_setup_keys(struct serve *v);

/* Where there is a journal to look after. */
int serve_setup_caretaker(struct serve *v, struct err *e);

/* ---- serve_reload.c ---- */

/* SIGHUP; ctx is the struct serve. */
void serve_reload_on_signal(evutil_socket_t signum, short what, void *ctx);

/* ---- serve_drain.c ---- */

/* What whoever comes too late is told. */
extern const char serve_drain_words[];

/* SIGTERM and SIGINT; ctx is the struct serve. */
void serve_drain_on_signal(evutil_socket_t signum, short what, void *ctx);

/* After it another signal ends the program at once. */
void serve_drain_unwatch(struct serve *v);

#endif

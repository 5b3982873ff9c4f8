/*
 * What adit forward and adit run have in common: a session with the far adit, and local
 * listeners whose connections go to targets there.
 */
#ifndef ADIT_CLI_COMMANDS_CARRIER_H
#define ADIT_CLI_COMMANDS_CARRIER_H

#include "base/addr.h"
#include "base/err.h"
#include "control/wish.h"
#include "tunnel/session.h"

struct allowed;
struct event;
struct event_base;
struct forward;

enum { CARRIER_NAME_MAX = 64 + 1 };

/* For the commands' help. */
#define CARRIER_HELP_DEST                                                                          \
	"  DEST                tls://[IDENTITY@]HOST[:PORT]; the port is 16516 when left out.\n"   \
	"                      tcp://HOST[:PORT] with --insecure\n"                                \
	"                      ssh://[USER@]HOST[:PORT]: through the sshd there, which starts "    \
	"the far\n"                                                                                \
	"                      adit; user and port as ssh's configuration says when left out.\n"   \
	"                      ssh+tls://[USER@]HOST[:PORT]: ssh carries a key that is good "      \
	"once,\n"                                                                                  \
	"                      all else goes to adit's own port there\n"

/* One -L. */
struct carrier_pair {
	struct addr local, remote;
	char name[CARRIER_NAME_MAX]; /* -L NAME=REMOTE: a socket, in a folder of the command */
	struct forward *forward;
};

/* Zeroed but for what the command sets. Owned by the command. */
struct carrier {
	struct addr_dest dest;
	struct auth auth;
	struct carrier_pair *pairs;
	size_t pair_count;

	/* Comes once, when connections are carried: the far adit has said that it allows them,
	 * where it is one that says so. */
	void (*on_ready)(void *ctx);
	/* Comes once, when the session is over by itself, or of no use. c->ready says whether it
	 * had begun, why (never empty) what happened; that a session was lost has been logged. */
	void (*on_end)(void *ctx, const struct err *why);
	void *ctx;
	/* What the command ends with, and why it was of no use (empty: it was). */
	int status;
	struct err why;

	struct event_base *base; /* borrowed */
	struct creds *creds;
	struct session *session;
	struct event *log_timer;
	struct allowed *allowed; /* asks whether the far adit takes the pairs; NULL */
	int up, ready, lost;	 /* up: there is a session; ready: and it carries the pairs */
};

/* A command, by what it does around its carrier; ctx is the carrier's. */
struct carrier_command {
	const char *name; /* "forward", for the messages */
	/* -1 to go on, else the exit status. */
	int (*parse)(void *ctx, int argc, char **argv);
	/* All until carrier_listen and carrier_connect; then the loop runs. */
	int (*start)(void *ctx, struct err *e);
	/* Whatever had come of it: takes it down, with carrier_stop and carrier_fini. */
	void (*stop)(void *ctx);
};

/* Runs it from its first word to its exit status. */
int carrier_run(struct carrier *c, const struct carrier_command *command, int argc, char **argv);

/* Takes what stands behind -L: LOCAL=REMOTE; with names_ok also NAME=REMOTE. ERR_USAGE. */
int carrier_take_pair(struct carrier *c, const char *text, int names_ok, struct err *e);

/* The credentials that the options name, for DEST. ERR_USAGE and others. */
int carrier_load_creds(struct carrier *c, struct err *e);

/* Listens on every pair's local side; the named ones are in dir. ERR_ADDRESS. */
int carrier_listen(struct carrier *c, struct event_base *base, const char *dir, struct err *e);

/* Starts to connect. */
int carrier_connect(struct carrier *c, struct err *e);

/* As forward_is_leaving, of any pair. */
int carrier_is_leaving(const struct carrier *c);

/* Closes all connections and listeners, and removes the sockets. */
void carrier_close_pairs(struct carrier *c);

/* The same, and ends the session: in order where it stands, so that session_linger has
 * something to wait for. */
void carrier_stop(struct carrier *c);

/* Frees the rest. */
void carrier_fini(struct carrier *c);

#endif

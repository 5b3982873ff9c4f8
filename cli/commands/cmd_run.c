/*
 * adit run: a tunnel for as long as a command runs.
 *
 * First the listeners and the session, then COMMAND; when it has ended, what it has left in
 * the connections that it closed is carried to its end, and all is taken down. COMMAND is in
 * our process group: what the terminal sends (Ctrl-C) it gets by itself, and we leave it to
 * it. What is sent to us alone (SIGTERM and the like) is passed on. A session that is lost takes
 * its connections with it at once, and COMMAND finds out by them; it is not killed. COMMAND may
 * outlive us, when we are killed in a way that cannot be caught: then its connections have ended.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/commands/private_dir.h"
#include "cli/commands/run_child.h"
#include "cli/commands/run_words.h"
#include "cli/commands/carrier.h"
#include "cli/common/creds_options.h"
#include "cli/common/inherited.h"
#include "cli/common/options.h"
#include "cli/common/suggest.h"
#include "cli/common/usage.h"
#include "proxy/libvirt_client.h"
#include "proxy/libvirt_path.h"
#include "proxy/relay.h"

static const char help[] =
    "usage: adit run DEST [-L LOCAL=REMOTE]... [--libvirt]\n"
    "                [--psk FILE | --tls-creds DIR | --insecure] -- COMMAND [WORD]...\n"
    "\n"
    "Runs COMMAND with a tunnel to DEST, which is taken down when it ends; its exit status is\n"
    "that of COMMAND. What is carried is told to it in the words that stand in braces, and in\n"
    "its environment.\n"
    "\n" CARRIER_HELP_DEST
    "  -L LOCAL=REMOTE     as with adit forward: each unix:/path or tcp:HOST:PORT. The far adit\n"
    "                      must allow REMOTE with --allow-forward. May be repeated\n"
    "  -L NAME=REMOTE      the same, with a unix socket that is made for the occasion: its path\n"
    "                      is {NAME} in COMMAND's words, and $ADIT_NAME (in capitals, with _\n"
    "                      for - and .) in its environment\n"
    "  {dir}, $ADIT_DIR    the private folder that those sockets are in\n"
    "  --libvirt           what virsh migrate needs. The far adit must allow it, with\n"
    "                      adit serve --allow-libvirt. Run as root on both hosts\n"
    "  {libvirt}, $ADIT_LIBVIRT  the libvirt daemon there: for --desturi, or for virsh -c\n"
    "  {migrate}, $ADIT_MIGRATE  for --migrateuri\n"
    "  {disks}, $ADIT_DISKS      for --disks-uri\n"
    "  --libvirt-dir DIR   where, on both hosts, the migration's sockets are: a folder that the\n"
    "                      user of libvirt's QEMUs may write to. " LIBVIRT_PATH_DIR "\n"
    "                      when left out; another must be given to adit serve likewise\n"
    "\n"
    "for example:\n"
    "  adit run tls://dst --psk key -L web=tcp:127.0.0.1:80 -- curl --unix-socket {web} "
    "http://dst/\n"
    "  adit run --libvirt tls://dst --psk key -- virsh migrate --live --copy-storage-all \\\n"
    "    guest --desturi {libvirt} --migrateuri {migrate} --disks-uri {disks}\n"
    "\n"
    "how the two sides prove who they are, exactly one of:\n" CREDS_OPTIONS_HELP_CLIENT "\n"
    "  --log-level LEVEL   error, warning (what it is without this), info or debug\n"
    "  -h, --help          this text\n"
    "\n"
    "exit status: COMMAND's; 128 and the signal's number if a signal ended it; 127 or 126 if it\n"
    "was not found or could not be run; 1 if there is no tunnel: then COMMAND was not started;\n"
    "2 for misuse. A session that is lost closes all connections, with a line on standard\n"
    "error; COMMAND goes on, and the status is still its own. Ctrl-C is COMMAND's; SIGTERM,\n"
    "SIGHUP, SIGUSR1 and SIGUSR2 are passed on to it.\n";

enum {
	OPTION_LIBVIRT = OPTION_OWN,
	OPTION_LIBVIRT_DIR,
	OPTION_LOG_LEVEL,
};

enum {
	LEAVE_LOOK_MS = 10,   /* how often it is looked whether all was carried */
	LEAVE_IDLE_MS = 5000, /* nothing moves for this long: what is left is not waited for */
};

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

enum run_state {
	RUN_CONNECTING, /* no session yet; a signal ends us */
	RUN_PREPARING,	/* the destination's libvirt is asked for; a signal ends us */
	RUN_COMMAND,	/* it runs; its end is waited for */
	RUN_LEAVING,	/* it has ended; what it has left is carried */
	RUN_OVER,
};

static const char *const state_names[] = {"connecting", "preparing", "command", "leaving", "over"};

/* Signals of those that send them to us. The first two come from the terminal, as a rule, and
 * then to COMMAND too. */
static const int signums[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

enum { SIGNALS = sizeof(signums) / sizeof(signums[0]) };

struct run {
	/* what the options say */
	struct carrier carrier;
	int with_libvirt;
	const char *libvirt_dir;
	char **command;

	enum run_state state;
	struct private_dir dir;
	struct run_words *words;
	struct event_base *base;
	struct event *signals[SIGNALS], *child_signal, *leave;
	struct libvirt_client *libvirt;
	pid_t child;
	uint64_t moved_bytes, moved_ms; /* RUN_LEAVING: when something moved last */
};

static void set_state(struct run *r, enum run_state state)
{
	if (state <= r->state)
		log_error(NULL, "run: no way from %s to %s", state_names[r->state],
			  state_names[state]);
	log_debug(NULL, "run: %s -> %s", state_names[r->state], state_names[state]);
	r->state = state;
}

static void over(struct run *r, int status)
{
	if (r->state == RUN_OVER)
		return;
	set_state(r, RUN_OVER);
	r->carrier.status = status;
	event_base_loopbreak(r->base);
}

static int take_option(void *ctx, int c, const char *value, struct err *e)
{
	struct run *r = ctx;
	int rc;

	switch (c) {
	case 'L':
		return carrier_take_pair(&r->carrier, value, 1, e);
	case OPTION_LIBVIRT:
		r->with_libvirt = 1;
		return 0;
	case OPTION_LIBVIRT_DIR:
		r->libvirt_dir = value;
		return libvirt_path_check_dir(value, e) < 0 ? err_prefix(e, "--libvirt-dir") : 0;
	case OPTION_LOG_LEVEL:
		return usage_take_log_level(value, e);
	default:
		rc = creds_options_take(&r->carrier.auth, c, value, e);
		return rc < 0 ? rc : 0;
	}
}

static const char *const taken[] = {PRIVATE_DIR_LOCK, "dir", "libvirt", "migrate", "disks"};

/* {libvrt}: what stands in braces in a word of COMMAND, and is nearly a name. Other braces are none
 * of ours. */
static int check_braces(const struct run *r, const char *word, struct err *e)
{
	for (const char *at = strchr(word, '{'); at; at = strchr(at + 1, '{')) {
		size_t len = strspn(at + 1, NAME_LETTERS);
		char name[CARRIER_NAME_MAX];
		struct suggest s;

		if (len == 0 || len >= sizeof(name) || at[1 + len] != '}')
			continue;
		memcpy(name, at + 1, len);
		name[len] = '\0';
		suggest_begin(&s, name);
		for (size_t i = 1; i < sizeof(taken) / sizeof(taken[0]); i++)
			suggest_try(&s, taken[i]);
		for (size_t k = 0; k < r->carrier.pair_count; k++)
			if (r->carrier.pairs[k].name[0])
				suggest_try(&s, r->carrier.pairs[k].name);
		if (suggest_word(&s) && strcasecmp(suggest_word(&s), name) != 0)
			return err_set(e, ERR_USAGE,
				       "there is no {%s} for COMMAND (did you mean {%s}?)", name,
				       suggest_word(&s));
	}
	return 0;
}

static int check_names(const struct run *r, struct err *e)
{
	char word[16];

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		for (size_t k = 0; k < r->carrier.pair_count; k++)
			if (strcasecmp(r->carrier.pairs[k].name, taken[i]) == 0)
				return err_set(
				    e, ERR_USAGE,
				    "-L %s=...: {%s} has a meaning already; choose another "
				    "name",
				    r->carrier.pairs[k].name, taken[i]);
		snprintf(word, sizeof(word), "{%s}", taken[i]);
		for (char **w = r->command; i > 1 && !r->with_libvirt && *w; w++)
			if (strstr(*w, word))
				return err_set(e, ERR_USAGE, "%s needs --libvirt", word);
	}
	for (char **w = r->command; *w; w++)
		if (check_braces(r, *w, e) < 0)
			return e->code;
	return 0;
}

/* -1 to go on, else the exit status. */
static int parse(void *ctx, int argc, char **argv)
{
	static const struct option options[] = {
	    {"libvirt", no_argument, NULL, OPTION_LIBVIRT},
	    {"libvirt-dir", required_argument, NULL, OPTION_LIBVIRT_DIR},
	    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	    CREDS_OPTIONS_LONG,
	    CREDS_OPTIONS_LONG_SSH,
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct run *r = ctx;
	struct options o = {.command = "run",
			    .argc = argc,
			    .argv = argv,
			    .shorts = ":L:h",
			    .longs = options,
			    .rest = "COMMAND"};
	struct err e = ERR_INIT;
	int status, dashes;

	status = options_take(&o, help, take_option, r);
	if (status >= 0)
		return status;
	/* What stood before it was moved behind it. */
	dashes = strcmp(argv[optind - 1], "--") == 0;
	if (optind == argc)
		return usage_error("run", "DEST and -- COMMAND are missing");
	if (!dashes && optind + 1 < argc)
		return usage_error("run", "\"-- COMMAND\" is missing: write -- before \"%s\"",
				   argv[optind + 1]);
	if (!dashes)
		return usage_error("run", "\"-- COMMAND\" is missing");
	if (addr_parse_dest(&r->carrier.dest, argv[optind], &e) < 0)
		return usage_fail("run", &e);
	if (creds_options_default(&r->carrier.auth, argv[optind], &e) < 0)
		return usage_fail("run", &e);
	if (optind + 1 == argc)
		return usage_error("run", "COMMAND is missing behind --");
	r->command = argv + optind + 1;
	if (r->carrier.pair_count == 0 && !r->with_libvirt)
		return usage_error("run", "-L LOCAL=REMOTE or --libvirt is missing");
	if (r->libvirt_dir && !r->with_libvirt)
		return usage_error("run", "--libvirt-dir needs --libvirt");
	if (check_names(r, &e) < 0)
		return usage_fail("run", &e);
	return -1;
}

static void start_command(struct run *r)
{
	char **argv = run_words_expand(r->words, r->command);
	char **envp = run_words_environment(r->words);
	int status = EXIT_FAILURE;

	if (!argv || !envp)
		err_set(&r->carrier.why, ERR_SYSTEM, "memory is short");
	else
		r->child = run_child_start(argv, envp, &status, &r->carrier.why);
	if (err_is_set(&r->carrier.why)) {
		over(r, status);
		return;
	}
	set_state(r, RUN_COMMAND);
}

static void on_libvirt_ready(void *ctx, const struct err *why)
{
	struct run *r = ctx;

	if (err_is_set(why)) {
		r->carrier.why = *why;
		over(r, EXIT_FAILURE);
		return;
	}
	start_command(r);
}

static void on_ready(void *ctx)
{
	struct run *r = ctx;

	if (!r->libvirt) {
		start_command(r);
		return;
	}
	set_state(r, RUN_PREPARING);
	if (libvirt_client_start(r->libvirt, r->carrier.session, on_libvirt_ready, r,
				 &r->carrier.why) < 0)
		over(r, EXIT_FAILURE);
}

static void on_carrier_end(void *ctx, const struct err *why)
{
	struct run *r = ctx;

	if (r->state < RUN_COMMAND) {
		r->carrier.why = *why;
		over(r, EXIT_FAILURE);
		return;
	}
	/* Its connections are closed already; nobody is to be kept waiting by new ones. */
	libvirt_client_free(r->libvirt);
	r->libvirt = NULL;
	carrier_close_pairs(&r->carrier);
	if (r->state == RUN_LEAVING)
		over(r, r->carrier.status);
}

static int is_leaving(const struct run *r)
{
	return carrier_is_leaving(&r->carrier) ||
	       (r->libvirt && libvirt_client_is_leaving(r->libvirt));
}

/* COMMAND has ended: goes on while what it has left is on its way. */
static void on_leave(evutil_socket_t fd, short what, void *ctx)
{
	struct run *r = ctx;
	struct session_stats stats;
	uint64_t now = clock_ms(), moved;

	(void)fd;
	(void)what;
	if (r->state != RUN_LEAVING)
		return;
	session_stats(r->carrier.session, &stats);
	moved = stats.sent_bytes + stats.received_bytes - stats.retained_bytes;
	if (moved != r->moved_bytes) {
		r->moved_bytes = moved;
		r->moved_ms = now;
	}
	if (is_leaving(r) && now - r->moved_ms < LEAVE_IDLE_MS) {
		event_add(r->leave, &(struct timeval){.tv_usec = LEAVE_LOOK_MS * 1000});
		return;
	}
	if (is_leaving(r))
		log_warn(NULL,
			 "connections that the command has left are cut: nothing moved in them "
			 "for %d s",
			 LEAVE_IDLE_MS / 1000);
	over(r, r->carrier.status);
}

static void on_child(evutil_socket_t signum, short what, void *ctx)
{
	struct run *r = ctx;
	int wait_status;

	(void)signum;
	(void)what;
	if (r->state != RUN_COMMAND || waitpid(r->child, &wait_status, WNOHANG) != r->child)
		return;
	r->carrier.status = run_child_status(wait_status);
	if (r->carrier.lost) {
		over(r, r->carrier.status);
		return;
	}
	set_state(r, RUN_LEAVING);
	r->moved_ms = clock_ms();
	event_active(r->leave, EV_TIMEOUT, 0);
}

static void on_signal(evutil_socket_t signum, short what, void *ctx)
{
	struct run *r = ctx;

	(void)what;
	if (r->state < RUN_COMMAND) {
		err_set(&r->carrier.why, ERR_CANCELLED,
			"ended by SIG%s; the command was not started", sigabbrev_np((int)signum));
		over(r, 128 + (int)signum);
	} else if (r->state == RUN_LEAVING) {
		over(r, r->carrier.status);
	} else if (r->state == RUN_COMMAND && signum != SIGINT && signum != SIGQUIT) {
		kill(r->child, (int)signum);
	}
}

/* What was ignored when we were started (nohup, a shell's background) stays so. */
static int watch_signals(struct run *r)
{
	for (int i = 0; i < SIGNALS; i++) {
		if (inherited_ignored(signums[i]))
			continue;
		r->signals[i] = evsignal_new(r->base, signums[i], on_signal, r);
		if (!r->signals[i] || event_add(r->signals[i], NULL) < 0)
			return -1;
	}
	r->child_signal = evsignal_new(r->base, SIGCHLD, on_child, r);
	r->leave = evtimer_new(r->base, on_leave, r);
	return !r->leave || !r->child_signal || event_add(r->child_signal, NULL) < 0 ? -1 : 0;
}

static int add_words(struct run *r, struct err *e)
{
	int rc = run_words_add(r->words, "dir", r->dir.path, e);

	for (size_t i = 0; i < r->carrier.pair_count && rc == 0; i++)
		if (r->carrier.pairs[i].name[0])
			rc = run_words_add(r->words, r->carrier.pairs[i].name,
					   r->carrier.pairs[i].local.path, e);
	if (rc == 0 && r->libvirt)
		rc = run_words_add(r->words, "libvirt", libvirt_client_daemon_uri(r->libvirt), e);
	if (rc == 0 && r->libvirt)
		rc = run_words_add(r->words, "migrate", libvirt_client_migrate_uri(r->libvirt), e);
	if (rc == 0 && r->libvirt)
		rc = run_words_add(r->words, "disks", libvirt_client_disks_uri(r->libvirt), e);
	return rc;
}

static int listen_for_libvirt(struct run *r, struct err *e)
{
	const char *dir = r->libvirt_dir ? r->libvirt_dir : LIBVIRT_PATH_DIR;

	if (access(dir, W_OK | X_OK) < 0 && errno == EACCES)
		return err_set(e, ERR_REFUSED,
			       "--libvirt: %s, where the sockets of libvirt's QEMUs are, is not "
			       "this user's to write to: run adit as root",
			       dir);
	r->libvirt = libvirt_client_new(r->base, dir, r->dir.path, e);
	return r->libvirt ? libvirt_client_listen(r->libvirt, e) : (int)e->code;
}

static int start(void *ctx, struct err *e)
{
	struct run *r = ctx;
	int rc = carrier_load_creds(&r->carrier, e);

	if (rc < 0)
		return rc;
	r->words = run_words_new();
	r->base = event_base_new();
	if (!r->words || !r->base || watch_signals(r) < 0)
		return err_set(e, ERR_SYSTEM, "the event loop cannot be started");
	rc = private_dir_make(&r->dir, e);
	if (rc == 0)
		rc = carrier_listen(&r->carrier, r->base, r->dir.path, e);
	if (rc == 0 && r->with_libvirt)
		rc = listen_for_libvirt(r, e);
	if (rc == 0)
		rc = add_words(r, e);
	return rc == 0 ? carrier_connect(&r->carrier, e) : rc;
}

/* Ends in order; after it has begun, a second signal ends the program at once. */
static void stop(void *ctx)
{
	struct run *r = ctx;

	for (int i = 0; i < SIGNALS; i++)
		if (r->signals[i])
			event_free(r->signals[i]);
	if (r->child_signal)
		event_free(r->child_signal);
	if (r->leave)
		event_free(r->leave);
	libvirt_client_free(r->libvirt);
	carrier_stop(&r->carrier);
	private_dir_remove(&r->dir);
	if (r->base) {
		session_linger(r->base);
		relay_see_off();
		event_base_free(r->base);
	}
	run_words_free(r->words);
	carrier_fini(&r->carrier);
}

static const struct carrier_command command = {"run", parse, start, stop};

int cmd_run(int argc, char **argv)
{
	struct run r = {.carrier = {.on_ready = on_ready, .on_end = on_carrier_end, .ctx = &r},
			.dir = PRIVATE_DIR_INIT};

	log_set_level(LOG_LEVEL_WARN); /* standard error is COMMAND's */
	return carrier_run(&r.carrier, &command, argc, argv);
}

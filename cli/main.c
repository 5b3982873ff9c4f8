/* The program adit: finds the subcommand, and prepares what all of them stand on. */
#include <event2/event.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/common/inherited.h"
#include "cli/common/suggest.h"
#include "tunnel/transport_ssh.h"
#include "cli/common/usage.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
    {"serve", cmd_serve, "accept sessions from other adits, and do what they may ask for"},
    {"forward", cmd_forward, "carry local connections to targets at the far adit"},
    {"run", cmd_run, "the same while a command runs; what virsh needs, too"},
    {"migrate", cmd_migrate, "move a running VM, with its disks, to the far adit's host"},
    {"check", cmd_check, "say beforehand what would come of a migration"},
    {"recover", cmd_recover, "bring migrations that were cut off to their end"},
    {"jobs", cmd_jobs, "list the migrations that go away from this host"},
    {"status", cmd_status, "tell how one of them goes, or follow it"},
    {"set", cmd_set, "change one of them while it runs"},
    {"cancel", cmd_cancel, "cancel one of them"},
    {"start", cmd_start, "start a VM again that came to stay (--persistent)"},
    {"vms", cmd_vms, "list the VMs that adit launched on this host, or say what one has"},
    {"console", cmd_console, "join the terminal with the console of one of them"},
    {"keygen", cmd_keygen, "make a key for --psk"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int help(FILE *out)
{
	fputs("usage: adit COMMAND [OPTION]...\n"
	      "\n"
	      "Carries a whole QEMU/KVM live migration, RAM and disks, over one encrypted TCP\n"
	      "port.\n"
	      "\n"
	      "commands:\n",
	      out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "adit COMMAND --help says more of each; adit --version says which adit this is.\n",
	      out);
	return fflush(out) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void free_wiped(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void on_libevent_log(int severity, const char *text)
{
	log_write(severity == EVENT_LOG_DEBUG  ? LOG_LEVEL_DEBUG
		  : severity == EVENT_LOG_MSG  ? LOG_LEVEL_INFO
		  : severity == EVENT_LOG_WARN ? LOG_LEVEL_WARN
					       : LOG_LEVEL_ERROR,
		  NULL, "libevent: %s", text);
}

static void prepare(void)
{
	struct rlimit files;
	sigset_t none;

	inherited_save();
	transport_ssh_prepare();
	signal(SIGPIPE, SIG_IGN);
	/* Whoever starts us may have blocked signals that we are ended by, or that tell of a
	 * child's end; with SIGCHLD ignored there would be no status to wait for. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A stream is a descriptor, and there may be thousands. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Among what is said and heard as JSON are secrets of VMs. */
	json_set_alloc_funcs(malloc, free_wiped);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	/* Keys and guests' memory have no place in a core dump. (Leak checkers need
	 * to look at the process that this shuts.) */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	log_set_journal(log_is_journal());
	event_set_log_callback(on_libevent_log);
}

/* What others call it, or what is meant by it. */
static const char *other_name(const char *word)
{
	static const char *const names[][2] = {
	    {"ls", "jobs"},	    {"list", "jobs"},	   {"ps", "jobs"},
	    {"show", "status"},	    {"watch", "status"},   {"info", "status"},
	    {"abort", "cancel"},    {"stop", "cancel"},	   {"kill", "cancel"},
	    {"move", "migrate"},    {"send", "migrate"},   {"server", "serve"},
	    {"daemon", "serve"},    {"listen", "serve"},   {"tunnel", "forward"},
	    {"connect", "forward"}, {"exec", "run"},	   {"attach", "console"},
	    {"screen", "console"},  {"genkey", "keygen"},  {"key", "keygen"},
	    {"test", "check"},	    {"resume", "recover"}, {"change", "set"},
	    {"limit", "set"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i][0], word) == 0)
			return names[i][1];
	return NULL;
}

static int no_command(char *word)
{
	const char *other = other_name(word);
	struct suggest s;
	char meant[64];

	if (word[0] == '-') {
		fprintf(stderr,
			"adit: there is no option %s here: a command comes first, then its "
			"options; see adit --help\n",
			err_printable(word));
		return EXIT_USAGE;
	}
	suggest_begin(&s, other ? other : word);
	for (size_t i = 0; i < COMMANDS; i++)
		suggest_try(&s, commands[i].name);
	fprintf(stderr, "adit: there is no command \"%s\"%s; see adit --help\n",
		err_printable(word), suggest_words(&s, "adit ", meant, sizeof(meant)));
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static char help_option[] = "--help";

	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help(stdout);
	if (strcmp(argv[1], "help") == 0 && argc == 2)
		return help(stdout);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 ||
	    strcmp(argv[1], "version") == 0)
		return usage_help("adit " ADIT_VERSION "\n");
	if (strcmp(argv[1], "help") == 0) {
		/* adit help COMMAND: as adit COMMAND --help */
		argv[1] = argv[2];
		argv[2] = help_option;
		argc = 3;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			int status;

			prepare();
			status = commands[i].run(argc - 1, argv + 1);
			libevent_global_shutdown();
			log_tell_left_out(1);
			return status;
		}
	}
	return no_command(argv[1]);
}

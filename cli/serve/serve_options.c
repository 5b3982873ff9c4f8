/* adit serve's command line: its help, its options, which file goes with them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/creds_options.h"
#include "cli/common/options.h"
#include "cli/common/run_dir.h"
#include "cli/common/usage.h"
#include "cli/serve/serve_i.h"
#include "proxy/libvirt_path.h"

static const char help[] =
    "usage: adit serve [--config FILE] [--check-config] [--listen HOST:PORT]\n"
    "                  (--psk FILE | --tls-creds DIR | --insecure | --stdio)\n"
    "                  [--allow-forward PATTERN]... [--allow-migrate]\n"
    "                  [--allow-launch QEMU]... [--launch-user USER] [--images DIR]...\n"
    "                  [--allow-storage NAME[=DIR]]... [--overwrite-images]\n"
    "                  [--allow-networks NAME[=BRIDGE]]...\n"
    "                  [--memory-paths DIR]... [--swtpm PROGRAM]\n"
    "                  [--allow-dest-qmp PATTERN]... [--allow-libvirt]\n"
    "                  [--vms DIR]... [--api SOCKET]\n"
    "                  [--api-listen HOST:PORT --api-token-file FILE]\n"
    "\n"
    "Accepts sessions from other adits on one TCP port. A peer that has proved who it is\n"
    "may do what is named here, and nothing else. It stays in the foreground, until Ctrl-C or\n"
    "SIGTERM; as a service of systemd it is adit.service.\n"
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
    "  --allow-storage NAME[=DIR]  whoever brings a VM may have its images put in DIR, which it\n"
    "                      calls NAME (adit migrate --storage); without =DIR that of [storage\n"
    "                      NAME] of the configuration; needs --images. May be repeated\n"
    "  --overwrite-images  an image that is in a DIR of --images already, under the name that a\n"
    "                      disk of the VM has, is overwritten when nobody uses it; refused\n"
    "                      without this\n"
    "  --allow-networks NAME[=BRIDGE]  a VM that is launched has its NICs in BRIDGE of this host\n"
    "                      where NAME is the source's bridge, or what its --net says; without\n"
    "                      =BRIDGE that of the same name. adit makes the taps, which takes\n"
    "                      CAP_NET_ADMIN (root); needs --allow-launch. May be repeated\n"
    "  --memory-paths DIR  have the RAM of a VM that is in files at its source (huge pages, "
    "shared\n"
    "                      memory) be in files in DIR, where that, or a folder in it, is what the\n"
    "                      VM names; needs --allow-launch. May be repeated\n"
    "  --swtpm PROGRAM     what is the TPM of a VM that has one, in place of " RIGHTS_SWTPM ",\n"
    "                      or none: such a VM is refused; needs --allow-launch\n"
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

int serve_options_parse(struct serve *v, int argc, char **argv)
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
	    {"allow-storage", required_argument, NULL, OPTION_KEY},
	    {"launch-hook", required_argument, NULL, OPTION_KEY},
	    {"allow-networks", required_argument, NULL, OPTION_KEY},
	    {"overwrite-images", no_argument, NULL, OPTION_KEY},
	    {"memory-paths", required_argument, NULL, OPTION_KEY},
	    {"swtpm", required_argument, NULL, OPTION_KEY},
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
	static const char *const many[] = {"allow-forward",
					   "allow-launch",
					   "images",
					   "allow-storage",
					   "allow-dest-qmp",
					   "allow-networks",
					   "memory-paths",
					   "vms",
					   NULL};
	struct options o = {.command = "serve",
			    .argc = argc,
			    .argv = argv,
			    .shorts = ":h",
			    .longs = options,
			    .many = many};
	int c;

	while ((c = options_next(&o)) != OPTIONS_END) {
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
			    (struct config_option){options[o.index].name, optarg};
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return usage_error("serve", "it takes options only, not \"%s\"", argv[optind]);
	choose_file(v);
	return -1;
}

static void print_warning(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "warning: %s\n", line);
}

int serve_options_check(struct serve *v, struct err *e)
{
	struct creds *creds = v->source.stdio ? NULL : auth_load_server(&v->auth, e);
	char text[ADDR_UNIX_MAX];

	if (!creds && !v->source.stdio)
		return e->code;
	config_warn(v->config, creds, print_warning, NULL);
	creds_free(creds);
	if (v->config->migrate && run_dir_find(v->config->run_dir, text, sizeof(text), e) < 0)
		return e->code;
	config_print(v->config, &v->source, stdout);
	return fflush(stdout) == 0 ? 0 : err_set_sys(e, errno, "standard output");
}

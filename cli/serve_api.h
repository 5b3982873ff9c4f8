/* What adit serve has for the source's side: its VMs, their tasks, and the API to them. */
#ifndef ADIT_CLI_SERVE_API_H
#define ADIT_CLI_SERVE_API_H

#include <getopt.h>

#include "base/activation.h"
#include "base/addr.h"
#include "base/err.h"
#include "cli/usage.h"
#include "control/api.h"
#include "control/auth.h"
#include "control/tasks.h"
#include "control/vms_found.h"

enum {
	SERVE_API_OPTION_VMS = OPTION_SERVE_API,
	SERVE_API_OPTION_API,
	SERVE_API_OPTION_LISTEN,
	SERVE_API_OPTION_TOKEN,
};

#define SERVE_API_OPTIONS_LONG                                                                     \
	{"vms", required_argument, NULL, SERVE_API_OPTION_VMS},                                    \
	    {"api", required_argument, NULL, SERVE_API_OPTION_API},                                \
	    {"api-listen", required_argument, NULL, SERVE_API_OPTION_LISTEN},                      \
	{                                                                                          \
		"api-token-file", required_argument, NULL, SERVE_API_OPTION_TOKEN                  \
	}

#define SERVE_API_OPTIONS_HELP                                                                     \
	"VMs that go away from here, by the API (docs/api.md, adit jobs):\n"                       \
	"  --vms DIR           the VMs whose monitors (QMP sockets) are in DIR may be moved by\n"  \
	"                      whoever uses the API. May be repeated\n"                            \
	"  --api SOCKET        where the API is: RUN_DIR/api.sock without this; mode 0600\n"       \
	"  --api-listen HOST:PORT  have it on TCP too, without encryption: 127.0.0.1 where HOST\n" \
	"                      is left out; needs --api-token-file\n"                              \
	"  --api-token-file FILE  what clients on TCP must show (Authorization: Bearer TOKEN);\n"  \
	"                      mode 0600\n"

/* Embedded; zeroed. */
struct serve_api {
	const char **vms; /* NULL at the end; of argv */
	size_t vms_count;
	const char *token_file;
	struct addr at, tcp; /* kind ADDR_TCP with port 0 and no host: not given */
	int at_given, tcp_given;
	struct activation *sockets; /* the service manager's; borrowed, may be NULL */

	struct tasks *tasks;
	struct vms_found *found;
	struct api *api;
};

/* room is how many words there may be. ERR_SPACE. */
int serve_api_init(struct serve_api *s, size_t room, struct err *e);

/* Takes what getopt_long returned: 1 when it was one of ours, 0 when not, ERR_USAGE. */
int serve_api_take(struct serve_api *s, int option, const char *value, struct err *e);

/* Whether any of it was asked for. */
int serve_api_wanted(const struct serve_api *s);

/* Checks the options and opens the API; auth, run_dir and state_dir are borrowed until
 * serve_api_fini, and so is router. auth is both the server's and that of the jobs. */
int serve_api_start(struct serve_api *s, struct event_base *base, struct router *router,
		    const struct auth *auth, const char *run_dir, const char *state_dir,
		    struct err *e);

/* No more jobs; those that run are cancelled, or waited for where they cannot be. fn is
 * called once none runs. Meanwhile the API tells how it goes. */
void serve_api_drain(struct serve_api *s, void (*fn)(void *ctx), void *ctx);

void serve_api_fini(struct serve_api *s);

#endif

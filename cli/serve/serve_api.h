/* What adit serve has for the source's side: its VMs, their tasks, and the API to them. */
#ifndef ADIT_CLI_SERVE_SERVE_API_H
#define ADIT_CLI_SERVE_SERVE_API_H

#include <getopt.h>
#include <stdbool.h>

#include "base/activation.h"
#include "base/addr.h"
#include "base/err.h"
#include "cli/common/usage.h"
#include "control/api.h"
#include "control/wish.h"

struct accounts;

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

/* What is asked for. Embedded; zeroed is nothing. */
struct serve_api_options {
	const char **vms; /* NULL at the end; NULL: none */
	size_t vms_count;
	char *token_file;
	struct addr at, tcp; /* kind ADDR_TCP with port 0 and no host: not given */
	int at_given, tcp_given;
};

/* Embedded; zeroed. */
struct serve_api {
	const struct serve_api_options *options; /* borrowed */
	struct addr at;
	struct activation *sockets; /* the service manager's; borrowed, may be NULL */

	struct tasks *tasks;
	struct vms_found *found;
	struct api *api;
};

/* Takes one of the options above; the value is copied. 1, 0 when it is none of them, ERR_USAGE. */
int serve_api_take(struct serve_api_options *o, int option, const char *value, struct err *e);

/* Whether any of it was asked for. */
int serve_api_wanted(const struct serve_api_options *o);

/* Whether they go together, and what they name is there and can be read. ERR_USAGE, ERR_CONFIG. */
int serve_api_check(const struct serve_api_options *o, struct err *e);

void serve_api_options_fini(struct serve_api_options *o);

/* Opens the API; options (which were checked), auth, run_dir and state_dir are borrowed until
 * serve_api_fini, and so are router and accounts. auth is both the server's and that of the jobs.
 */
int serve_api_start(struct serve_api *s, const struct serve_api_options *options,
		    struct event_base *base, struct router *router, struct accounts *accounts,
		    const struct auth *auth, const char *run_dir, const char *state_dir,
		    struct err *e);

/* Reads the token of file into token (API_TOKEN_MAX + 1 bytes); "" where there is no TCP.
 * ERR_CONFIG. */
int serve_api_read_token(const struct serve_api *s, const char *file, char *token, struct err *e);

/* Clients on TCP must show it from now on; "" changes nothing. On error the old one stays. */
int serve_api_set_token(struct serve_api *s, const char *token, struct err *e);

/* No more jobs. Those that run are waited for; or cancelled, and waited for where they cannot
 * be. fn is called once none runs. Meanwhile the API tells how it goes. May be called again, to
 * cancel. */
void serve_api_drain(struct serve_api *s, bool cancel, void (*fn)(void *ctx), void *ctx);

void serve_api_fini(struct serve_api *s);

#endif

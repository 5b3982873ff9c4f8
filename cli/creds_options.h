/* --psk FILE, --tls-creds DIR and --insecure, which several commands take: exactly one. */
#ifndef ADIT_CLI_CREDS_OPTIONS_H
#define ADIT_CLI_CREDS_OPTIONS_H

#include <getopt.h>

#include "base/addr.h"
#include "base/err.h"
#include "cli/usage.h"
#include "tunnel/creds.h"

enum {
	CREDS_OPTION_PSK = OPTION_CREDS,
	CREDS_OPTION_TLS_CREDS,
	CREDS_OPTION_INSECURE,
};

/* For a command's table of long options. */
#define CREDS_OPTIONS_LONG                                                                         \
	{"psk", required_argument, NULL, CREDS_OPTION_PSK},                                        \
	    {"tls-creds", required_argument, NULL, CREDS_OPTION_TLS_CREDS},                        \
	{                                                                                          \
		"insecure", no_argument, NULL, CREDS_OPTION_INSECURE                               \
	}

/* For a command's help. */
#define CREDS_OPTIONS_HELP_CLIENT                                                                  \
	"  --psk FILE          key file as adit keygen and psktool write it (identity:hexkey);\n"  \
	"                      of several identities, DEST names one: tls://IDENTITY@HOST\n"       \
	"  --tls-creds DIR     X.509: ca-cert.pem, client-cert.pem and client-key.pem in DIR\n"    \
	"  --insecure          neither encryption nor authentication; for tcp:// only\n"

#define CREDS_OPTIONS_HELP_SERVER                                                                  \
	"  --psk FILE          key file as adit keygen and psktool write it: lines of\n"           \
	"                      identity:hexkey, each a peer that may connect\n"                    \
	"  --tls-creds DIR     X.509: ca-cert.pem, server-cert.pem and server-key.pem in DIR;\n"   \
	"                      a peer needs a client certificate of that CA\n"                     \
	"  --insecure          neither encryption nor authentication: whoever reaches the\n"       \
	"                      port may do all that is allowed here\n"

/* Zeroed: none given. The strings are borrowed from argv. */
struct creds_options {
	const char *psk;
	const char *tls_creds;
	int insecure;
};

/* Takes what getopt_long returned: 1 when it was one of ours, 0 when not, ERR_USAGE
 * when it clashes with another. */
int creds_options_take(struct creds_options *o, int option, const char *value, struct err *e);

/* Loads a server's credentials. NULL with ERR_USAGE when none was given. */
struct creds *creds_options_load_server(const struct creds_options *o, struct err *e);

/* Loads a client's, for dest: its scheme must fit them, and its identity is the key's
 * that is used. NULL with ERR_USAGE or what creds_load_* says. */
struct creds *creds_options_load_client(const struct creds_options *o, const struct addr_dest *dest,
					struct err *e);

/* "psk FILE", "tls-creds DIR" or "insecure", for the log. Returns buf. */
char *creds_options_describe(const struct creds_options *o, char *buf, size_t size);

#endif

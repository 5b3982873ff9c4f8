/* --psk FILE, --tls-creds DIR and --insecure, which several commands take: exactly one. */
#ifndef ADIT_CLI_COMMON_CREDS_OPTIONS_H
#define ADIT_CLI_COMMON_CREDS_OPTIONS_H

#include <getopt.h>

#include "base/err.h"
#include "cli/common/usage.h"
#include "control/wish.h"

enum {
	CREDS_OPTION_PSK = OPTION_CREDS,
	CREDS_OPTION_TLS_CREDS,
	CREDS_OPTION_INSECURE,
	CREDS_OPTION_IDENTITY,
	CREDS_OPTION_SSH_CONFIG,
	CREDS_OPTION_SSH_COMMAND,
};

/* A key that is there is a client's, if nothing else is said. */
#define CREDS_OPTIONS_PSK_FILE "/etc/adit/psk"

/* For a command's table of long options. */
#define CREDS_OPTIONS_LONG                                                                         \
	{"psk", required_argument, NULL, CREDS_OPTION_PSK},                                        \
	    {"tls-creds", required_argument, NULL, CREDS_OPTION_TLS_CREDS},                        \
	    {"identity", required_argument, NULL, CREDS_OPTION_IDENTITY},                          \
	{                                                                                          \
		"insecure", no_argument, NULL, CREDS_OPTION_INSECURE                               \
	}

#define CREDS_OPTIONS_LONG_SSH                                                                     \
	{"ssh-config", required_argument, NULL, CREDS_OPTION_SSH_CONFIG},                          \
	{                                                                                          \
		"remote-command", required_argument, NULL, CREDS_OPTION_SSH_COMMAND                \
	}

/* For a command's help. */
#define CREDS_OPTIONS_HELP_SSH                                                                     \
	"or, for ssh:// and ssh+tls://, ssh's own keys, agent, known_hosts and configuration:\n"   \
	"  --ssh-config FILE   read instead of ~/.ssh/config and /etc/ssh/ssh_config\n"            \
	"  --remote-command COMMAND  run there by sshd instead of adit serve --stdio: with its\n"  \
	"                      path, or with the rights that this user may give himself there\n"

#define CREDS_OPTIONS_HELP_CLIENT                                                                  \
	"  --psk FILE          key file as adit keygen and psktool write it (identity:hexkey);\n"  \
	"                      of several identities, DEST names one, tls://IDENTITY@HOST, or\n"   \
	"  --identity NAME     does, and else [client] of /etc/adit/adit.conf\n"                   \
	"  --tls-creds DIR     X.509: ca-cert.pem, client-cert.pem and client-key.pem in DIR\n"    \
	"  --insecure          neither encryption nor authentication; for tcp:// only\n"           \
	"or, for tls://, none of them: then it is $ADIT_PSK's file or $ADIT_TLS_CREDS' folder,\n"  \
	"without these what [client] of /etc/adit/adit.conf says, and without "                    \
	"that\n" CREDS_OPTIONS_PSK_FILE " where that is there;\n" CREDS_OPTIONS_HELP_SSH

#define CREDS_OPTIONS_HELP_SERVER                                                                  \
	"  --psk FILE          key file as adit keygen and psktool write it: lines of\n"           \
	"                      identity:hexkey, each a peer that may connect\n"                    \
	"  --tls-creds DIR     X.509: ca-cert.pem, server-cert.pem and server-key.pem in DIR;\n"   \
	"                      a peer needs a client certificate of that CA\n"                     \
	"  --insecure          neither encryption nor authentication: whoever reaches the\n"       \
	"                      port may do all that is allowed here\n"

/* Takes what getopt_long returned: 1 when it was one of ours, 0 when not, ERR_USAGE
 * when it clashes with another. The strings are borrowed from argv. */
int creds_options_take(struct auth *a, int option, const char *value, struct err *e);

/* A client's, when all options were taken: where none says, and dest (as it is written) begins
 * with tls://, the environment, else [client] of adit.conf, else CREDS_OPTIONS_PSK_FILE if that is
 * there; and of those keys the one that [client] names. Borrowed. ERR_CONFIG: that file is wrong.
 */
int creds_options_default(struct auth *a, const char *dest, struct err *e);

/* "psk FILE", "tls-creds DIR" or "insecure", for the log. Returns buf. */
char *creds_options_describe(const struct auth *a, char *buf, size_t size);

#endif

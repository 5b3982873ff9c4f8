/* The options for credentials: see creds_options.h. */
#include "cli/common/creds_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/client_conf.h"
#include "cli/common/config_file.h"

static const char *given(const struct auth *a)
{
	return a->psk ? "--psk" : a->tls_creds ? "--tls-creds" : a->insecure ? "--insecure" : NULL;
}

int creds_options_take(struct auth *a, int option, const char *value, struct err *e)
{
	const char *before = given(a), *now;

	switch (option) {
	case CREDS_OPTION_SSH_CONFIG:
		a->ssh_config = value;
		return 1;
	case CREDS_OPTION_SSH_COMMAND:
		a->ssh_command = value;
		return 1;
	case CREDS_OPTION_IDENTITY:
		a->identity = value;
		return 1;
	case CREDS_OPTION_PSK:
		now = "--psk";
		break;
	case CREDS_OPTION_TLS_CREDS:
		now = "--tls-creds";
		break;
	case CREDS_OPTION_INSECURE:
		now = "--insecure";
		break;
	default:
		return 0;
	}
	if (before && strcmp(before, now) == 0 && option != CREDS_OPTION_INSECURE)
		return err_set(e, ERR_USAGE, "%s was given twice", now);
	if (before && strcmp(before, now) != 0)
		return err_set(e, ERR_USAGE, "%s and %s cannot go together", before, now);
	if (option == CREDS_OPTION_PSK)
		a->psk = value;
	else if (option == CREDS_OPTION_TLS_CREDS)
		a->tls_creds = value;
	else
		a->insecure = true;
	return 1;
}

int creds_options_default(struct auth *a, const char *dest, struct err *e)
{
	static struct client_conf conf; /* for as long as the program runs */
	const char *psk = getenv("ADIT_PSK"), *tls_creds = getenv("ADIT_TLS_CREDS");

	if (strncmp(dest, "tls://", 6) != 0 || a->tls_creds || a->insecure)
		return 0;
	if (client_conf_read(&conf, CONFIG_FILE_DEFAULT, e) < 0)
		return e->code;
	if (!auth_given(a) && psk && *psk)
		a->psk = psk;
	else if (!auth_given(a) && tls_creds && *tls_creds)
		a->tls_creds = tls_creds;
	client_conf_fill(&conf, a);
	/* One that may not be read is told of, not passed over. */
	if (!auth_given(a) && access(CREDS_OPTIONS_PSK_FILE, F_OK) == 0) {
		a->psk = CREDS_OPTIONS_PSK_FILE;
		client_conf_fill(&conf, a);
	}
	return 0;
}

char *creds_options_describe(const struct auth *a, char *buf, size_t size)
{
	if (a->insecure)
		snprintf(buf, size, "insecure");
	else
		snprintf(buf, size, "%s %s", a->psk ? "psk" : "tls-creds",
			 a->psk ? a->psk : a->tls_creds);
	return buf;
}

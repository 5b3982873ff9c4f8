/* The options for credentials: see creds_options.h. */
#include "cli/creds_options.h"

#include <stdio.h>
#include <string.h>

static const char *given(const struct creds_options *o)
{
	return o->psk ? "--psk" : o->tls_creds ? "--tls-creds" : o->insecure ? "--insecure" : NULL;
}

int creds_options_take(struct creds_options *o, int option, const char *value, struct err *e)
{
	const char *before = given(o), *now;

	switch (option) {
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
		o->psk = value;
	else if (option == CREDS_OPTION_TLS_CREDS)
		o->tls_creds = value;
	else
		o->insecure = 1;
	return 1;
}

static struct creds *load(const struct creds_options *o, enum creds_role role, const char *identity,
			  struct err *e)
{
	if (o->psk)
		return creds_load_psk(role, o->psk, identity, e);
	if (o->tls_creds)
		return creds_load_x509(role, o->tls_creds, e);
	return creds_new_insecure(role);
}

struct creds *creds_options_load_server(const struct creds_options *o, struct err *e)
{
	if (!given(o)) {
		err_set(e, ERR_USAGE,
			"one of --psk FILE, --tls-creds DIR and --insecure is needed");
		return NULL;
	}
	return load(o, CREDS_SERVER, NULL, e);
}

struct creds *creds_options_load_client(const struct creds_options *o, const struct addr_dest *dest,
					struct err *e)
{
	int tls = strcmp(dest->scheme, "tls") == 0;

	if (!tls && strcmp(dest->scheme, "tcp") != 0)
		err_set(e, ERR_USAGE,
			"%s:// is no scheme that is known here: write tls://HOST[:PORT]",
			dest->scheme);
	else if (tls && o->insecure)
		err_set(e, ERR_USAGE, "--insecure and tls:// cannot go together: write tcp://");
	else if (tls && !given(o))
		err_set(e, ERR_USAGE, "tls:// needs --psk FILE or --tls-creds DIR");
	else if (!tls && given(o) && !o->insecure)
		err_set(e, ERR_USAGE, "%s and tcp:// cannot go together: write tls://", given(o));
	else if (!tls && !o->insecure)
		err_set(
		    e, ERR_USAGE,
		    "tcp:// neither encrypts nor authenticates: write tls://, or add --insecure "
		    "here and on the other side");
	else if (dest->identity[0] && !o->psk)
		err_set(e, ERR_USAGE, "an identity in DEST (\"%s@\") goes with --psk only",
			dest->identity);
	else
		return load(o, CREDS_CLIENT, dest->identity, e);
	return NULL;
}

char *creds_options_describe(const struct creds_options *o, char *buf, size_t size)
{
	if (o->insecure)
		snprintf(buf, size, "insecure");
	else
		snprintf(buf, size, "%s %s", o->psk ? "psk" : "tls-creds",
			 o->psk ? o->psk : o->tls_creds);
	return buf;
}

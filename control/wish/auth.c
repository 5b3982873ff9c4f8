/* Which credentials a side uses: see auth.h. The messages name options of the command
 * line, which is where nearly all of these come from. */
#include "control/wish/auth.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *option(const struct auth *a)
{
	return a->psk ? "--psk" : a->tls_creds ? "--tls-creds" : a->insecure ? "--insecure" : NULL;
}

bool auth_given(const struct auth *a)
{
	return option(a) != NULL;
}

bool auth_is_ssh(const char *dest)
{
	return strncmp(dest, "ssh://", 6) == 0 || strncmp(dest, "ssh+tls://", 10) == 0;
}

static struct creds *load(const struct auth *a, enum creds_role role, const char *identity,
			  struct err *e)
{
	if (a->psk)
		return creds_load_psk(role, a->psk, identity, e);
	if (a->tls_creds)
		return creds_load_x509(role, a->tls_creds, e);
	return creds_new_insecure(role);
}

struct creds *auth_load_server(const struct auth *a, struct err *e)
{
	if (!auth_given(a)) {
		err_set(e, ERR_USAGE,
			"one of --psk FILE, --tls-creds DIR and --insecure is needed");
		return NULL;
	}
	return load(a, CREDS_SERVER, NULL, e);
}

static int is_ssh(const struct addr_dest *dest)
{
	return strcmp(dest->scheme, "ssh") == 0 || strcmp(dest->scheme, "ssh+tls") == 0;
}

int auth_check_client(const struct auth *a, const struct addr_dest *dest, struct err *e)
{
	int ssh = is_ssh(dest);
	int tls = strcmp(dest->scheme, "tls") == 0;

	if (!ssh && !tls && strcmp(dest->scheme, "tcp") != 0)
		return err_set(e, ERR_USAGE,
			       "%s:// is no scheme that is known here: write tls://HOST[:PORT], "
			       "ssh://HOST or ssh+tls://HOST",
			       dest->scheme);
	if (ssh && auth_given(a))
		return err_set(e, ERR_USAGE,
			       "%s and %s:// cannot go together: ssh proves who is who", option(a),
			       dest->scheme);
	if (!ssh && (a->ssh_config || a->ssh_command))
		return err_set(e, ERR_USAGE, "%s goes with ssh:// and ssh+tls:// only",
			       a->ssh_config ? "--ssh-config" : "--remote-command");
	if (tls && a->insecure)
		return err_set(e, ERR_USAGE,
			       "--insecure and tls:// cannot go together: write tcp://");
	if (tls && !auth_given(a))
		return err_set(e, ERR_USAGE,
			       "tls:// needs --psk FILE or --tls-creds DIR, or a key in "
			       "/etc/adit/psk, as adit keygen makes one for both hosts");
	if (!ssh && !tls && auth_given(a) && !a->insecure)
		return err_set(e, ERR_USAGE, "%s and tcp:// cannot go together: write tls://",
			       option(a));
	if (!ssh && !tls && !a->insecure)
		return err_set(e, ERR_USAGE,
			       "tcp:// neither encrypts nor authenticates: write tls://, or add "
			       "--insecure here and on the other side");
	if (a->identity && !a->psk)
		return err_set(e, ERR_USAGE, "--identity goes with --psk only");
	if (a->identity && dest->identity[0] && strcmp(a->identity, dest->identity) != 0)
		return err_set(e, ERR_USAGE,
			       "--identity %s and \"%s@\" in DEST cannot go together: say it once",
			       a->identity, dest->identity);
	if (!ssh && dest->identity[0] && !a->psk)
		return err_set(e, ERR_USAGE, "an identity in DEST (\"%s@\") goes with --psk only",
			       dest->identity);
	return 0;
}

/* libssh passes over what it cannot read. */
static int check_ssh_config(const char *file, struct err *e)
{
	struct stat st;

	if (stat(file, &st) < 0 || access(file, R_OK) < 0)
		return err_set_sys(e, errno, "--ssh-config %s", file);
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFIG, "--ssh-config %s: a folder, not a file", file);
	return 0;
}

struct creds *auth_load_client(const struct auth *a, const struct addr_dest *dest, struct err *e)
{
	struct creds *creds;

	if (auth_check_client(a, dest, e) < 0)
		return NULL;
	if (a->ssh_config && check_ssh_config(a->ssh_config, e) < 0)
		return NULL;
	if (is_ssh(dest))
		return creds_new_ssh(a->ssh_config, a->ssh_command, e);
	if (dest->identity[0] || a->identity)
		return load(a, CREDS_CLIENT, dest->identity[0] ? dest->identity : a->identity, e);
	creds = a->psk && a->identity_hint ? load(a, CREDS_CLIENT, a->identity_hint, NULL) : NULL;
	return creds ? creds : load(a, CREDS_CLIENT, NULL, e);
}

json_t *auth_to_json(const struct auth *a)
{
	json_t *v = json_object();

	if (a->psk)
		json_object_set_new(v, "psk", json_string(a->psk));
	if (a->identity)
		json_object_set_new(v, "identity", json_string(a->identity));
	if (a->identity_hint)
		json_object_set_new(v, "identity_hint", json_string(a->identity_hint));
	if (a->tls_creds)
		json_object_set_new(v, "tls_creds", json_string(a->tls_creds));
	if (a->insecure)
		json_object_set_new(v, "insecure", json_true());
	if (a->ssh_config)
		json_object_set_new(v, "ssh_config", json_string(a->ssh_config));
	if (a->ssh_command)
		json_object_set_new(v, "ssh_command", json_string(a->ssh_command));
	return v;
}

int auth_from_json(struct auth *a, const json_t *v, struct err *e)
{
	memset(a, 0, sizeof(*a));
	a->psk = json_string_value(json_object_get(v, "psk"));
	a->identity = json_string_value(json_object_get(v, "identity"));
	a->identity_hint = json_string_value(json_object_get(v, "identity_hint"));
	a->tls_creds = json_string_value(json_object_get(v, "tls_creds"));
	a->insecure = json_is_true(json_object_get(v, "insecure"));
	a->ssh_config = json_string_value(json_object_get(v, "ssh_config"));
	a->ssh_command = json_string_value(json_object_get(v, "ssh_command"));
	if (!!a->psk + !!a->tls_creds + a->insecure + (a->ssh_config || a->ssh_command) != 1)
		return err_set(e, ERR_CONFIG,
			       "one of psk, tls_creds and insecure is needed; for ssh, none, or "
			       "ssh_config and ssh_command");
	return 0;
}

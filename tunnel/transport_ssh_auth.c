/* Transport `ssh`: whether the host is the one that known_hosts has, and the proof of who
 * we are. Keys only, the agent's and those in files; nothing is ever asked at a terminal. */
#include "tunnel/transport_ssh_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct transport_ssh *ssh)
{
	ssh->failed.code = ERR_AUTH;
	return TRANSPORT_FAILED;
}

/* The server's key as ssh shows it: "ssh-ed25519 SHA256:...". */
static void describe_key(ssh_key key, char *buf, size_t size)
{
	unsigned char *hash = NULL;
	char *text = NULL;
	size_t len;

	if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &len) == 0)
		text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, len);
	snprintf(buf, size, "%s %s", ssh_key_type_to_char(ssh_key_type(key)), text ? text : "?");
	ssh_string_free_char(text);
	ssh_clean_pubkey_hash(&hash);
}

/* Whether the file has the key as revoked; libssh passes such lines over. */
static int revoked_in(const char *file, const char *base64)
{
	FILE *f = file ? fopen(file, "re") : NULL;
	char *line = NULL;
	size_t size = 0;
	int found = 0;

	while (f && !found && getline(&line, &size, f) > 0)
		found = strncmp(line, "@revoked", 8) == 0 && strstr(line, base64) != NULL;
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* The host as known_hosts has it. */
static void known_name(const struct transport_ssh *ssh, char *buf, size_t size)
{
	if (ssh->alias[0])
		snprintf(buf, size, "%s", ssh->alias);
	else if (ssh->port == 22)
		snprintf(buf, size, "%s", ssh->host);
	else
		snprintf(buf, size, "[%s]:%u", ssh->host, ssh->port);
}

/* Which of the two files has the other key. */
static const char *culprit(struct transport_ssh *ssh, const char *user, const char *global)
{
	enum ssh_known_hosts_e r;

	ssh_options_set(ssh->session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
	r = ssh_session_is_known_server(ssh->session);
	ssh_options_set(ssh->session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, global);
	return r == SSH_KNOWN_HOSTS_CHANGED || r == SSH_KNOWN_HOSTS_OTHER ? user : global;
}

static int judge_host(struct transport_ssh *ssh, ssh_key key, const char *user, const char *global)
{
	char what[128], name[ADDR_HOST_MAX + 16];
	char *base64 = NULL;
	const char *file;

	describe_key(key, what, sizeof(what));
	known_name(ssh, name, sizeof(name));
	ssh_pki_export_pubkey_base64(key, &base64);
	file = !base64			    ? NULL
	       : revoked_in(user, base64)   ? user
	       : revoked_in(global, base64) ? global
					    : NULL;
	ssh_string_free_char(base64);
	if (file) {
		err_set(&ssh->failed, ERR_AUTH, "the host key of %s (%s) is revoked in %s", name,
			what, file);
		return refuse(ssh);
	}
	switch (ssh_session_is_known_server(ssh->session)) {
	case SSH_KNOWN_HOSTS_OK:
		return 0;
	case SSH_KNOWN_HOSTS_CHANGED:
	case SSH_KNOWN_HOSTS_OTHER:
		file = culprit(ssh, user, global);
		err_set(
		    &ssh->failed, ERR_AUTH,
		    "the host key of %s has changed (it shows %s, %s has another): somebody may "
		    "be in between; if the host has a new key, ssh-keygen -f %s -R '%s' and log "
		    "in with ssh once",
		    name, what, file, file, name);
		break;
	case SSH_KNOWN_HOSTS_UNKNOWN:
	case SSH_KNOWN_HOSTS_NOT_FOUND:
		err_set(&ssh->failed, ERR_AUTH,
			"the host key of %s (%s) is not in %s: log in with ssh once and compare it",
			name, what, user);
		break;
	case SSH_KNOWN_HOSTS_ERROR:
		err_set(&ssh->failed, ERR_AUTH, "the host key of %s cannot be looked up in %s: %s",
			name, user, transport_ssh_words(ssh));
		break;
	}
	return refuse(ssh);
}

int transport_ssh_check_host(struct transport_ssh *ssh)
{
	char *user = NULL, *global = NULL;
	ssh_key key = NULL;
	int r;

	if (ssh_get_server_publickey(ssh->session, &key) < 0) {
		err_set(&ssh->failed, ERR_AUTH, "sshd showed no host key: %s",
			transport_ssh_words(ssh));
		return refuse(ssh);
	}
	ssh_options_get(ssh->session, SSH_OPTIONS_KNOWNHOSTS, &user);
	ssh_options_get(ssh->session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, &global);
	r = judge_host(ssh, key, user ? user : "~/.ssh/known_hosts",
		       global ? global : "/etc/ssh/ssh_known_hosts");
	ssh_string_free_char(user);
	ssh_string_free_char(global);
	ssh_key_free(key);
	return r;
}

int transport_ssh_ask_methods(struct transport_ssh *ssh)
{
	int r = ssh_userauth_none(ssh->session, NULL);

	switch (r) {
	case SSH_AUTH_AGAIN:
		return TRANSPORT_WANT_READ;
	case SSH_AUTH_ERROR:
		err_set(&ssh->failed, ERR_AUTH, "sshd let nobody in: %s", transport_ssh_words(ssh));
		return refuse(ssh);
	case SSH_AUTH_SUCCESS:
		ssh->let_in = 1;
		return 0;
	default:
		break;
	}
	if (!((unsigned)ssh_userauth_list(ssh->session, NULL) & SSH_AUTH_METHOD_PUBLICKEY)) {
		err_set(&ssh->failed, ERR_AUTH,
			"sshd takes no keys from %s, and adit has nothing else to show: see "
			"PubkeyAuthentication in its configuration",
			ssh->user);
		return refuse(ssh);
	}
	return 0;
}

int transport_ssh_try_keys(struct transport_ssh *ssh)
{
	const char *agent = getenv("SSH_AUTH_SOCK");
	int has_agent = agent && *agent;
	int r;

	if (ssh_is_connected(ssh->session) &&
	    (r = ssh_userauth_publickey_auto(ssh->session, NULL, NULL)) != SSH_AUTH_DENIED) {
		if (r == SSH_AUTH_AGAIN)
			return TRANSPORT_WANT_READ;
		if (r == SSH_AUTH_SUCCESS)
			return 0;
		if (r == SSH_AUTH_PARTIAL)
			err_set(&ssh->failed, ERR_AUTH,
				"sshd wants more than a key of %s, and adit has nothing else to "
				"show: see AuthenticationMethods in its configuration",
				ssh->user);
		else
			err_set(&ssh->failed, ERR_AUTH, "sshd ended the login of %s: %s", ssh->user,
				transport_ssh_words(ssh));
	} else if (ssh->locked_key[0]) {
		err_set(&ssh->failed, ERR_AUTH,
			"the key %s is locked by a passphrase and %s: ssh-add %s", ssh->locked_key,
			has_agent ? "the agent does not have it"
				  : "no agent runs (eval $(ssh-agent))",
			ssh->locked_key);
	} else {
		err_set(
		    &ssh->failed, ERR_AUTH,
		    "sshd takes none of the keys for %s (%s, and those that ssh's configuration "
		    "names): put the public key into ~/.ssh/authorized_keys there (ssh-copy-id)",
		    ssh->user, has_agent ? "the agent's" : "there is no agent");
	}
	return refuse(ssh);
}

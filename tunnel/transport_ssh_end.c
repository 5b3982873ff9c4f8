/* Transport `ssh`: what the far side says beside the session, and how it ended. */
#include "tunnel/transport_ssh_i.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tunnel/ssh_proxy.h"

enum { STATUS_NOT_RUN = 126, STATUS_NOT_FOUND = 127 };

/* Its log, a level lower here: it is not a complaint of ours, and what matters to a migration
 * comes over the session as well. Until the session is up it goes into the sentence that says
 * why it is not. */
static void tell(const struct transport_ssh *ssh, const char *line)
{
	struct log_ctx about = {.peer = ssh->t.peer};

	if (ssh->state == SSH_STATE_UP && strstr(line, " error: "))
		log_warn(&about, "the far side says: %s", line);
	else if (ssh->state == SSH_STATE_UP && strstr(line, " warning: "))
		log_info(&about, "the far side says: %s", line);
	else
		log_debug(&about, "the far side says: %s", line);
}

void transport_ssh_hide_key(const struct transport_ssh *ssh, char *line)
{
	enum { ENOUGH = 16 }; /* digits of it that give it away */
	const char *key = strncmp(ssh->request, "psk ", 4) == 0 ? strrchr(ssh->request, ' ') : NULL;
	char some[ENOUGH + 1];
	char *at;

	if (!key)
		return;
	snprintf(some, sizeof(some), "%s", key + 1);
	at = strstr(line, some);
	if (at)
		memset(at, '*', strlen(at));
	explicit_bzero(some, sizeof(some));
}

static void end_line(struct transport_ssh *ssh)
{
	ssh->far_line[ssh->far_len] = '\0';
	if (!ssh->far_len)
		return;
	ssh->far_len = 0;
	err_printable(ssh->far_line);
	transport_ssh_hide_key(ssh, ssh->far_line);
	if (!strstr(ssh->far_line, " info: ") && !strstr(ssh->far_line, " debug: "))
		snprintf(ssh->far_said, sizeof(ssh->far_said), "%s", ssh->far_line);
	tell(ssh, ssh->far_line);
}

void transport_ssh_up(struct transport_ssh *ssh)
{
	if (ssh->far_said[0])
		tell(ssh, ssh->far_said);
	ssh->far_said[0] = '\0';
}

void transport_ssh_far_words(struct transport_ssh *ssh, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n')
			end_line(ssh);
		else if (ssh->far_len < sizeof(ssh->far_line) - 1)
			ssh->far_line[ssh->far_len++] = data[i];
	}
}

int transport_ssh_is_shell(const struct transport_ssh *ssh)
{
	/* adit, where it complains of a greeting, says the version too */
	return ssh->state < SSH_STATE_UP && strstr(ssh->far_said, "ADIT-SSH") &&
	       !strstr(ssh->far_said, TRANSPORT_STDIO_GREETING);
}

char *transport_ssh_proxy_words(const struct transport_ssh *ssh, char *buf, size_t size)
{
	char words[200];

	*buf = '\0';
	if (ssh->proxy && *ssh_proxy_words(ssh->proxy_said, words, sizeof(words)))
		snprintf(buf, size, ": %s says: %s", ssh->proxy_name, words);
	return buf;
}

const char *transport_ssh_words(const struct transport_ssh *ssh)
{
	const char *text = ssh_get_error(ssh->session);

	return text && *text ? text : "libssh does not say why";
}

static const char *dash(const struct transport_ssh *ssh)
{
	return ssh->far_said[0] ? ": " : "";
}

void transport_ssh_explain_end(struct transport_ssh *ssh)
{
	struct err *e = &ssh->failed;
	const char *said = ssh->far_said;
	char proxy[400];

	end_line(ssh);
	if (ssh->exit_signal[0])
		err_set(e, ERR_CLOSED, "the far adit was ended by signal %s%s%s", ssh->exit_signal,
			dash(ssh), said);
	else if (transport_ssh_is_shell(ssh))
		err_set(e, ERR_CLOSED,
			"what sshd runs there is not adit, it takes the greeting for a command "
			"(%.80s): see command= in authorized_keys there, or ForceCommand",
			said);
	else if (ssh->exit_status == STATUS_NOT_FOUND)
		err_set(e, ERR_CLOSED,
			"\"%s\" is not found there: install adit on that host, or say where it is "
			"with --remote-command \"/path/adit serve --stdio\"",
			ssh->command);
	else if (ssh->exit_status == STATUS_NOT_RUN)
		err_set(e, ERR_CLOSED, "\"%s\" cannot be run there%s%s", ssh->command, dash(ssh),
			said);
	else if (ssh->exit_status > 0 && strstr(said, "option --stdio"))
		err_set(e, ERR_CLOSED,
			"the adit there does not know --stdio (%s): it is too old, "
			"install " ADIT_VERSION " there",
			said);
	else if (ssh->exit_status >= 0)
		err_set(e, ERR_CLOSED, "the far side ended with status %d%s%s", ssh->exit_status,
			dash(ssh), said);
	else if (ssh->broken)
		err_set(e, ERR_CLOSED, "the ssh connection broke: %s%s%s%s",
			transport_ssh_words(ssh), dash(ssh), said,
			transport_ssh_proxy_words(ssh, proxy, sizeof(proxy)));
	else
		err_set(e, ERR_CLOSED, "sshd closed the channel%s%s", dash(ssh), said);
}

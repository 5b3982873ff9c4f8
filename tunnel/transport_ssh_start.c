/*
 * Transport `ssh`: channels, the command in each, and the lines that they begin with
 * (docs/protocol.md, 1.2). sshd takes 2 MiB ahead in a channel and no more; where the path
 * is long, several channels share the bytes (strands.h).
 */
#include "tunnel/transport_ssh_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/* A further channel for each step of the round trip has sshd take 250 MB/s. */
enum { SPLIT_US = 8000 };

/* libssh's complaint, behind words of ours. */
int transport_ssh_complain(struct transport_ssh *ssh, enum err_code code, const char *what)
{
	char proxy[400];

	err_set(&ssh->failed, code, "%s: %s%s", what, transport_ssh_words(ssh),
		transport_ssh_proxy_words(ssh, proxy, sizeof(proxy)));
	return TRANSPORT_FAILED;
}

/* Asks for channel i: 0, WANT_READ, or FAILED (libssh has the reason). */
static int open_channel(struct transport_ssh *ssh, unsigned i)
{
	int r;

	if (!ssh->channels[i]) {
		ssh->channels[i] = ssh_channel_new(ssh->session);
		if (!ssh->channels[i])
			return TRANSPORT_FAILED;
		ssh_set_channel_callbacks(ssh->channels[i], &ssh->channel_callbacks);
	}
	r = ssh_channel_open_session(ssh->channels[i]);
	return r == SSH_AGAIN ? TRANSPORT_WANT_READ : r == SSH_OK ? 0 : TRANSPORT_FAILED;
}

int transport_ssh_open(struct transport_ssh *ssh)
{
	int r = open_channel(ssh, 0);

	return r == TRANSPORT_FAILED
		   ? transport_ssh_complain(ssh, ERR_REFUSED, "sshd opens no session")
		   : r;
}

/* The second channel is open: that was a round trip, and little else (the first waits for
 * what sshd does behind a login). Whether it is wanted. */
static int judge_path(struct transport_ssh *ssh)
{
	ssh->wanted = 1 + (unsigned)((clock_us() - ssh->opened_us) / SPLIT_US);
	if (ssh->wanted > STRANDS_MAX)
		ssh->wanted = STRANDS_MAX;
	log_debug(NULL, "ssh: %u channel(s)", ssh->wanted);
	if (ssh->wanted > 1)
		return 1;
	ssh_channel_close(ssh->channels[1]);
	ssh_channel_free(ssh->channels[1]);
	ssh->channels[1] = NULL;
	return 0;
}

int transport_ssh_open_more(struct transport_ssh *ssh)
{
	int r;

	if (!ssh->may_split)
		return 0;
	if (!ssh->opened_us) {
		ssh->opened_us = clock_us();
		ssh->wanted = 2;
	}
	while (ssh->strands.count < ssh->wanted) {
		r = open_channel(ssh, ssh->strands.count);
		if (r == TRANSPORT_WANT_READ)
			return r;
		if (r == TRANSPORT_FAILED) {
			/* MaxSessions, most likely: it works with fewer. */
			log_info(NULL, "ssh: %u channels, not %u: %s", ssh->strands.count,
				 ssh->wanted, transport_ssh_words(ssh));
			return 0;
		}
		if (ssh->strands.count == 1 && !judge_path(ssh))
			return 0;
		ssh->strands.count++;
	}
	return 0;
}

/* Says a line in channel i: 0 or FAILED. */
static int say(struct transport_ssh *ssh, unsigned i, const char *words)
{
	char line[TRANSPORT_STDIO_LINE_MAX];
	int n = snprintf(line, sizeof(line), TRANSPORT_STDIO_GREETING "%s\n", words);
	size_t went = transport_ssh_give(ssh, i, (uint8_t *)line, (size_t)n);

	explicit_bzero(line, sizeof(line)); /* a key may be in it */
	if (went == (size_t)n)
		return 0;
	err_set(&ssh->failed, ERR_PROTOCOL, "sshd takes no %d bytes in a new channel", n);
	return TRANSPORT_FAILED;
}

int transport_ssh_exec(struct transport_ssh *ssh)
{
	char words[TRANSPORT_STDIO_LINE_MAX - 32];
	int r;

	for (; ssh->started < ssh->strands.count; ssh->started++) {
		r = ssh_channel_request_exec(ssh->channels[ssh->started], ssh->command);
		if (r == SSH_AGAIN)
			return TRANSPORT_WANT_READ;
		if (r != SSH_OK) {
			err_set(&ssh->failed, ERR_REFUSED,
				"sshd refuses to run \"%s\" for %s; adit needs nothing else of it",
				ssh->command, ssh->user);
			return TRANSPORT_FAILED;
		}
	}
	if (ssh->strands.count > 1)
		snprintf(words, sizeof(words), "%s strands=%u", ssh->request, ssh->strands.count);
	else
		snprintf(words, sizeof(words), "%s", ssh->request);
	r = say(ssh, 0, words);
	explicit_bzero(words, sizeof(words));
	return r;
}

/* A first line has come. */
static int judge_greeting(struct transport_ssh *ssh)
{
	static const char greeting[] = TRANSPORT_STDIO_GREETING;
	const size_t len = sizeof(greeting) - 1;
	const size_t name_len = sizeof("ADIT-SSH ") - 1;

	err_printable(ssh->line);
	transport_ssh_hide_key(ssh, ssh->line);
	if (strncmp(ssh->line, greeting, len) == 0) {
		const char *answer = ssh->line + len;

		if (strncmp(answer, "ok ", 3) == 0)
			return 0;
		/* Only a refusal is repeated: what comes back may be our own words, with a key. */
		if (strncmp(answer, "no ", 3) == 0)
			err_set(&ssh->failed, ERR_REFUSED, "the far adit refuses: %s", answer + 3);
		else
			err_set(&ssh->failed, ERR_PROTOCOL,
				"what sshd runs there is not adit, it does not answer but repeats: "
				"see command= in authorized_keys there, or ForceCommand");
	} else if (strncmp(ssh->line, greeting, name_len) == 0) {
		err_set(&ssh->failed, ERR_PROTOCOL,
			"the far adit greets with \"%.40s\", this one with "
			"\"" TRANSPORT_STDIO_GREETING "\": install the same release on both hosts",
			ssh->line);
	} else {
		err_set(&ssh->failed, ERR_PROTOCOL,
			"\"%.60s\" came instead of adit's greeting: something there writes to "
			"standard output before adit does (a line of ~/.bashrc or ~/.profile?)",
			ssh->line);
	}
	return TRANSPORT_FAILED;
}

/* The first line of channel i: 0 once it is there and says yes. */
static int hear(struct transport_ssh *ssh, unsigned i)
{
	struct outbuf *in = &ssh->strands.in[i];

	transport_ssh_flushed(ssh);
	while (transport_ssh_poll(ssh))
		;
	while (in->len) {
		const uint8_t *data;
		char c;

		outbuf_peek(in, &data);
		c = (char)*data;
		outbuf_drop(in, 1);
		if (c == '\n' || ssh->line_len == sizeof(ssh->line) - 1) {
			ssh->line[ssh->line_len] = '\0';
			ssh->line_len = 0;
			return judge_greeting(ssh);
		}
		ssh->line[ssh->line_len++] = c ? c : '?';
	}
	if (!transport_ssh_closed(ssh) && !transport_ssh_is_shell(ssh))
		return TRANSPORT_WANT_READ;
	if (!err_is_set(&ssh->failed))
		transport_ssh_explain_end(ssh);
	return TRANSPORT_FAILED;
}

int transport_ssh_greet(struct transport_ssh *ssh)
{
	char words[TRANSPORT_STDIO_LINE_MAX - 32], token[64];
	const char *at;
	int r = hear(ssh, 0);

	if (r)
		return r;
	ssh->joined = 1;
	if (ssh->strands.count == 1)
		return 0;
	at = strstr(ssh->line, " token=");
	if (!at || sscanf(at, " token=%63s", token) != 1) {
		err_set(&ssh->failed, ERR_PROTOCOL,
			"the far adit knows nothing of strands: install the same release on both "
			"hosts");
		return TRANSPORT_FAILED;
	}
	for (unsigned i = 1; i < ssh->strands.count && r == 0; i++) {
		snprintf(words, sizeof(words), "join %s %u", token, i);
		r = say(ssh, i, words);
	}
	return r;
}

int transport_ssh_join(struct transport_ssh *ssh)
{
	int r = 0;

	while (ssh->joined < ssh->strands.count && (r = hear(ssh, ssh->joined)) == 0)
		ssh->joined++;
	return r;
}

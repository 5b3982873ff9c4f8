/*
 * Transport `ssh`: see transport_ssh.h.
 *
 * How it works. libssh keeps the socket and looks at it with poll whenever it is called;
 * the link says when to call. What comes in is taken out of libssh at once, by a callback,
 * into a ring of ours; what goes out waits in another ring for the window that sshd has
 * granted, and only as much is given to libssh as goes to the socket soon: libssh's own
 * buffer has no bound and cannot be looked into.
 *
 * libssh makes its sockets blocking and trusts poll; here they stay non-blocking, as a
 * long send on a full connection would hold up the whole loop.
 *
 * Refuses host keys that known_hosts does not have, whatever StrictHostKeyChecking says,
 * and passwords. The struct is owned by whoever holds the transport.
 */
#include "tunnel/transport_ssh_i.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

enum {
	WRITE_MAX = 256 * 1024, /* given to libssh in one go */
	DIRECT_MIN = 16 * 1024,
	POLLS_A_TURN = 128,	  /* of 4 KiB each */
	WINDOW = 16 << 20,	  /* what sshd may send ahead; libssh's own is 1.25 MB */
	WINDOW_STEP = WINDOW / 4, /* it is widened again after this much */
};

/* AES-128-GCM is the fastest where the processor has AES; a Ciphers line overrides it. */
#define CIPHERS                                                                                    \
	"aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"             \
	"aes256-ctr,aes192-ctr,aes128-ctr"

static const char *const state_names[] = {"new",  "kex",  "none",  "keys",
					  "open", "exec", "greet", "up"};

static const char *const state_doing[] = {
    NULL,
    "waiting for sshd's first words: is it sshd that listens there?",
    "waiting for sshd to say which keys it takes",
    "waiting for the agent, or for sshd to judge the keys",
    "waiting for sshd to open a channel",
    "waiting for sshd to start the far adit",
    "waiting for the far adit to answer: does its command hang, or ask something?",
    NULL,
};

static struct transport_ssh *self(struct transport *t)
{
	return (struct transport_ssh *)t;
}

static void set_state(struct transport_ssh *ssh, enum ssh_state state)
{
	if (state != ssh->state + 1 && !(ssh->state == SSH_STATE_NONE && state == SSH_STATE_OPEN))
		log_error(NULL, "ssh: no way from %s to %s", state_names[ssh->state],
			  state_names[state]);
	log_debug(NULL, "ssh: %s -> %s", state_names[ssh->state], state_names[state]);
	ssh->state = state;
	ssh->t.doing = state_doing[state];
}

static int fail(struct transport_ssh *ssh, struct err *e)
{
	if (e)
		*e = ssh->failed;
	ssh->told = 1;
	return TRANSPORT_FAILED;
}

/* libssh's complaint, behind words of ours. */
static int complain(struct transport_ssh *ssh, enum err_code code, const char *what)
{
	err_set(&ssh->failed, code, "%s: %s", what, ssh_get_error(ssh->session));
	return TRANSPORT_FAILED;
}

static int write_pending(const struct transport_ssh *ssh)
{
	return (ssh_get_poll_flags(ssh->session) & SSH_WRITE_PENDING) != 0;
}

/* Lets libssh look at its socket once. 1: something was done, 0: nothing to do. */
static int poll_once(struct transport_ssh *ssh)
{
	int r;

	if (ssh->broken)
		return 0;
	r = ssh_event_dopoll(ssh->event, 0);
	if (r == SSH_ERROR || !ssh_is_connected(ssh->session))
		ssh->broken = 1;
	return r == SSH_OK;
}

static int on_channel_data(ssh_session session, ssh_channel channel, void *data, uint32_t len,
			   int is_stderr, void *ctx)
{
	struct transport_ssh *ssh = ctx;

	(void)session;
	(void)channel;
	/* All is always taken: nothing may be left in libssh's buffer (see widen). */
	if (is_stderr) {
		transport_ssh_far_words(ssh, data, len);
	} else if (outbuf_append(&ssh->in, data, len) < 0) {
		err_set(&ssh->failed, ERR_LIMIT, "no memory for %u bytes that came in", len);
		ssh->broken = 1;
	}
	ssh->ungranted += len;
	return (int)len;
}

static void on_exit_status(ssh_session session, ssh_channel channel, int status, void *ctx)
{
	struct transport_ssh *ssh = ctx;

	(void)session;
	(void)channel;
	ssh->exit_status = status;
}

static void on_exit_signal(ssh_session session, ssh_channel channel, const char *name, int core,
			   const char *message, const char *lang, void *ctx)
{
	struct transport_ssh *ssh = ctx;

	(void)session;
	(void)channel;
	(void)core;
	(void)message;
	(void)lang;
	snprintf(ssh->exit_signal, sizeof(ssh->exit_signal), "%s", name ? name : "?");
}

/* Lets sshd send far ahead. libssh widens its window to what a read asks for; as nothing
 * is ever left in its buffer, this read returns nothing. */
static void widen(struct transport_ssh *ssh)
{
	uint8_t nothing[1];

	if (ssh->ungranted < WINDOW_STEP || ssh->broken)
		return;
	ssh->ungranted = 0;
	ssh_channel_read_timeout(ssh->channel, nothing, WINDOW, 0, 0);
}

/* Whether libssh's own output buffer is empty; it sends what the socket takes first. */
static int flushed(struct transport_ssh *ssh)
{
	int r = ssh->broken ? SSH_OK : ssh_blocking_flush(ssh->session, 0);

	if (!ssh_is_connected(ssh->session))
		ssh->broken = 1;
	return r == SSH_OK || ssh->broken;
}

/* Gives bytes to libssh, which sends them as far as the socket takes them, and keeps the
 * rest. The count that it took: less than len when sshd's window is used up, or while new
 * keys are being exchanged. What cannot be sent any more counts as taken: read says why. */
static size_t give(struct transport_ssh *ssh, const uint8_t *data, size_t len)
{
	int n;

	if (!ssh->broken && !ssh_channel_window_size(ssh->channel))
		return 0;
	n = ssh->broken ? -1
			: ssh_channel_write(ssh->channel, data,
					    (uint32_t)(len < WRITE_MAX ? len : WRITE_MAX));
	if (!ssh_is_connected(ssh->session))
		ssh->broken = 1;
	return n < 0 ? len : (size_t)n;
}

/* Bytes from the ring to the channel, as far as window and socket take them: 0 or
 * WANT_WRITE. */
static int drain(struct transport_ssh *ssh)
{
	const uint8_t *data;
	size_t len, n = 1;
	int all;

	ssh->passed = 0;
	while ((all = flushed(ssh)) && ssh->out.len && n) {
		len = outbuf_peek(&ssh->out, &data);
		n = give(ssh, data, len);
		outbuf_drop(&ssh->out, n);
	}
	if (!ssh->out.len && ssh->out.ending && !ssh->eof_sent && !ssh->broken) {
		ssh->eof_sent = 1;
		ssh_channel_send_eof(ssh->channel);
		all = flushed(ssh);
	}
	ssh->t.unsent = ssh->out.len + !all;
	return all ? 0 : TRANSPORT_WANT_WRITE;
}

static int go_connect(struct transport_ssh *ssh)
{
	int r = ssh_connect(ssh->session);

	if (ssh->t.fd < 0)
		ssh->t.fd = ssh->t.fd_out = ssh_get_fd(ssh->session);
	if (ssh->t.fd >= 0)
		fd_set_nonblock(ssh->t.fd); /* libssh has just made it blocking */
	if (r == SSH_AGAIN)
		return TRANSPORT_WANT_READ;
	if (r != SSH_OK)
		return complain(ssh, ERR_PROTOCOL,
				ssh_get_serverbanner(ssh->session)
				    ? "no ssh connection"
				    : "no ssh connection (is it sshd that listens there?)");
	return transport_ssh_check_host(ssh);
}

static int go_open(struct transport_ssh *ssh)
{
	int r;

	if (!ssh->channel) {
		ssh->channel = ssh_channel_new(ssh->session);
		if (!ssh->channel)
			return complain(ssh, ERR_SYSTEM, "no channel");
		ssh->channel_callbacks.userdata = ssh;
		ssh->channel_callbacks.channel_data_function = on_channel_data;
		ssh->channel_callbacks.channel_exit_status_function = on_exit_status;
		ssh->channel_callbacks.channel_exit_signal_function = on_exit_signal;
		ssh_callbacks_init(&ssh->channel_callbacks);
		ssh_set_channel_callbacks(ssh->channel, &ssh->channel_callbacks);
	}
	r = ssh_channel_open_session(ssh->channel);
	if (r == SSH_AGAIN)
		return TRANSPORT_WANT_READ;
	return r == SSH_OK ? 0 : complain(ssh, ERR_REFUSED, "sshd opens no session");
}

static int go_exec(struct transport_ssh *ssh)
{
	int r = ssh_channel_request_exec(ssh->channel, ssh->command);
	char line[TRANSPORT_STDIO_LINE_MAX];

	if (r == SSH_AGAIN)
		return TRANSPORT_WANT_READ;
	if (r != SSH_OK) {
		err_set(&ssh->failed, ERR_REFUSED,
			"sshd refuses to run \"%s\" for %s; adit needs nothing else of it",
			ssh->command, ssh->user);
		return TRANSPORT_FAILED;
	}
	snprintf(line, sizeof(line), TRANSPORT_STDIO_GREETING "%s\n", ssh->request);
	if (outbuf_append(&ssh->out, (uint8_t *)line, strlen(line)) < 0) {
		err_set(&ssh->failed, ERR_SYSTEM, "no memory for a connection");
		return TRANSPORT_FAILED;
	}
	explicit_bzero(line, sizeof(line)); /* a key may be in it */
	return 0;
}

/* The far adit's first line has come. */
static int judge_greeting(struct transport_ssh *ssh)
{
	static const char greeting[] = TRANSPORT_STDIO_GREETING;
	const size_t len = sizeof(greeting) - 1;
	const size_t name_len = sizeof("ADIT-SSH ") - 1;

	err_printable(ssh->line);
	if (strncmp(ssh->line, greeting, len) == 0) {
		const char *answer = ssh->line + len;

		if (strncmp(answer, "ok ", 3) == 0)
			return 0;
		err_set(&ssh->failed, ERR_REFUSED, "the far adit refuses: %s",
			strncmp(answer, "no ", 3) == 0 ? answer + 3 : answer);
	} else if (strncmp(ssh->line, greeting, name_len) == 0) {
		err_set(
		    &ssh->failed, ERR_PROTOCOL,
		    "the far adit greets with \"%.40s\", this one with \"" TRANSPORT_STDIO_GREETING
		    "\": install the same release on both hosts",
		    ssh->line);
	} else {
		err_set(&ssh->failed, ERR_PROTOCOL,
			"\"%.60s\" came instead of adit's greeting: something there writes to "
			"standard output before adit does (a line of ~/.bashrc or ~/.profile?)",
			ssh->line);
	}
	return TRANSPORT_FAILED;
}

static int go_greet(struct transport_ssh *ssh)
{
	drain(ssh);
	while (poll_once(ssh))
		;
	while (ssh->in.len) {
		const uint8_t *data;
		char c;

		outbuf_peek(&ssh->in, &data);
		c = (char)*data;
		outbuf_drop(&ssh->in, 1);
		if (c == '\n' || ssh->line_len == sizeof(ssh->line) - 1) {
			ssh->line[ssh->line_len] = '\0';
			return judge_greeting(ssh);
		}
		ssh->line[ssh->line_len++] = c ? c : '?';
	}
	if (!ssh->broken && !ssh_channel_is_closed(ssh->channel))
		return TRANSPORT_WANT_READ;
	if (!err_is_set(&ssh->failed))
		transport_ssh_explain_end(ssh);
	return TRANSPORT_FAILED;
}

static int ssh_go(struct transport_ssh *ssh)
{
	switch (ssh->state) {
	case SSH_STATE_KEX:
		return go_connect(ssh);
	case SSH_STATE_NONE:
		return transport_ssh_ask_methods(ssh);
	case SSH_STATE_KEYS:
		return transport_ssh_try_keys(ssh);
	case SSH_STATE_OPEN:
		return go_open(ssh);
	case SSH_STATE_EXEC:
		return go_exec(ssh);
	case SSH_STATE_GREET:
		return go_greet(ssh);
	case SSH_STATE_NEW:
	case SSH_STATE_UP:
		break;
	}
	return 0;
}

/* One step is done. */
static void advance(struct transport_ssh *ssh)
{
	enum ssh_state next = ssh->state + 1;

	if (ssh->state == SSH_STATE_KEX && ssh_event_add_session(ssh->event, ssh->session) < 0)
		log_error(NULL, "ssh: libssh has no socket");
	if (ssh->state == SSH_STATE_KEX)
		snprintf(ssh->t.cipher, sizeof(ssh->t.cipher), "ssh %s",
			 ssh_get_cipher_out(ssh->session));
	if (ssh->let_in && next == SSH_STATE_KEYS)
		next = SSH_STATE_OPEN;
	set_state(ssh, next);
	if (next == SSH_STATE_UP)
		transport_ssh_up(ssh);
}

static int ssh_handshake(struct transport *t, struct err *e)
{
	struct transport_ssh *ssh = self(t);
	int r = 0;

	if (err_is_set(&ssh->failed))
		return fail(ssh, e);
	while (ssh->state < SSH_STATE_UP && (r = ssh_go(ssh)) == 0)
		advance(ssh);
	if (r == TRANSPORT_FAILED)
		return fail(ssh, e);
	if (r)
		return write_pending(ssh) ? TRANSPORT_WANT_WRITE : TRANSPORT_WANT_READ;
	return 0;
}

static ssize_t ssh_read_bytes(struct transport *t, uint8_t *buf, size_t size, struct err *e)
{
	struct transport_ssh *ssh = self(t);
	size_t got = 0;

	if (size == 0)
		return 0;
	for (int i = 0; i < POLLS_A_TURN && ssh->in.len < size && poll_once(ssh); i++)
		;
	while (ssh->in.len && got < size) {
		const uint8_t *data;
		size_t n = outbuf_peek(&ssh->in, &data);

		if (n > size - got)
			n = size - got;
		memcpy(buf + got, data, n);
		outbuf_drop(&ssh->in, n);
		got += n;
	}
	widen(ssh);
	/* A wider window of sshd's may have come. */
	if (ssh->out.len || ssh->out.ending)
		drain(ssh);
	if (got)
		return (ssize_t)got;
	if (!err_is_set(&ssh->failed)) {
		if (!ssh->broken && !ssh_channel_is_closed(ssh->channel))
			return TRANSPORT_WANT_READ;
		transport_ssh_explain_end(ssh);
	}
	return fail(ssh, e);
}

static int ssh_write_bytes(struct transport *t, const uint8_t *data, size_t len, struct err *e)
{
	struct transport_ssh *ssh = self(t);

	/* Large frames go without a stay in the ring; small ones share a packet. */
	if (!ssh->out.len && len >= DIRECT_MIN && flushed(ssh)) {
		size_t n = give(ssh, data, len);

		data += n;
		len -= n;
		ssh->passed += n;
	}
	if (outbuf_append(&ssh->out, data, len) < 0) {
		err_set(e, ERR_LIMIT, "No memory for %zu bytes to send", len);
		return TRANSPORT_FAILED;
	}
	t->unsent = ssh->out.len + ssh->passed;
	return 0;
}

static int ssh_flush_bytes(struct transport *t, struct err *e)
{
	(void)e;
	return self(t)->state == SSH_STATE_UP ? drain(self(t)) : 0;
}

static int ssh_pending(const struct transport *t)
{
	const struct transport_ssh *ssh = (const struct transport_ssh *)t;

	if (ssh->in.len)
		return 1;
	return (ssh->broken || err_is_set(&ssh->failed)) && !ssh->told;
}

static void ssh_shutdown(struct transport *t)
{
	outbuf_end(&self(t)->out);
}

static void ssh_free_transport(struct transport *t)
{
	struct transport_ssh *ssh = self(t);

	if (ssh->event)
		ssh_event_free(ssh->event);
	if (ssh->session) {
		if (ssh->state != SSH_STATE_NEW)
			ssh_disconnect(ssh->session);
		ssh_free(ssh->session);
	}
	outbuf_fini(&ssh->out);
	outbuf_fini(&ssh->in);
	free(ssh->command);
	if (ssh->request)
		explicit_bzero(ssh->request, strlen(ssh->request));
	free(ssh->request);
	free(ssh);
}

static const struct transport_ops ssh_ops = {
    .name = "ssh",
    .handshake = ssh_handshake,
    .read = ssh_read_bytes,
    .write = ssh_write_bytes,
    .flush = ssh_flush_bytes,
    .pending = ssh_pending,
    .shutdown = ssh_shutdown,
    .free = ssh_free_transport,
};

/* libssh's own log goes into ours. */
static void on_log(int priority, const char *function, const char *text, void *ctx)
{
	(void)priority;
	(void)ctx;
	log_debug(NULL, "libssh: %s: %s", function, text);
}

static int on_passphrase(const char *prompt, char *buf, size_t len, int echo, int verify, void *ctx)
{
	struct transport_ssh *ssh = ctx;
	char *name = NULL;

	(void)prompt;
	(void)buf;
	(void)len;
	(void)echo;
	(void)verify;
	if (ssh_userauth_publickey_auto_get_current_identity(ssh->session, &name) == SSH_OK)
		snprintf(ssh->locked_key, sizeof(ssh->locked_key), "%s", name);
	ssh_string_free_char(name);
	return -1;
}

/* User and port, where the destination names them. 0 or -1. */
static int set_given(struct transport_ssh *ssh, const struct addr_dest *d)
{
	unsigned port = d->port;

	if (d->identity[0] && ssh_options_set(ssh->session, SSH_OPTIONS_USER, d->identity) < 0)
		return -1;
	return port && ssh_options_set(ssh->session, SSH_OPTIONS_PORT, &port) < 0 ? -1 : 0;
}

/* Takes user, host and port, and what the configuration has for them. */
static int configure(struct transport_ssh *ssh, const struct addr_dest *d, const char *config_file,
		     struct err *e)
{
	unsigned port = 0;
	int strict = 1;
	char *text = NULL;

	if (ssh_options_set(ssh->session, SSH_OPTIONS_HOST, d->host) < 0 || set_given(ssh, d) < 0)
		return err_set(e, ERR_USAGE, "%s", ssh_get_error(ssh->session));
	ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_C_S, CIPHERS);
	ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_S_C, CIPHERS);
	if (config_file && access(config_file, R_OK) < 0)
		return err_set_sys(e, errno, "--ssh-config %s", config_file);
	if (ssh_options_parse_config(ssh->session, config_file) < 0)
		return err_set(e, ERR_CONFIG, "%s cannot be used: %s",
			       config_file ? config_file : "~/.ssh/config",
			       ssh_get_error(ssh->session));
	set_given(ssh, d); /* libssh has the configuration's Port win */
	/* "no" would have libssh call every key known. */
	ssh_options_set(ssh->session, SSH_OPTIONS_STRICTHOSTKEYCHECK, &strict);
	if (ssh_options_get(ssh->session, SSH_OPTIONS_HOST, &text) < 0 ||
	    ssh_options_get_port(ssh->session, &port) < 0)
		return err_set(e, ERR_CONFIG, "%s", ssh_get_error(ssh->session));
	snprintf(ssh->host, sizeof(ssh->host), "%s", text);
	ssh_string_free_char(text);
	ssh->port = port ? (uint16_t)port : 22;
	text = NULL;
	if (ssh_options_get(ssh->session, SSH_OPTIONS_USER, &text) < 0) {
		ssh_options_set(ssh->session, SSH_OPTIONS_USER, NULL); /* ours */
		ssh_options_get(ssh->session, SSH_OPTIONS_USER, &text);
	}
	snprintf(ssh->user, sizeof(ssh->user), "%s", text ? text : "?");
	ssh_string_free_char(text);
	text = NULL;
	ssh->proxy =
	    ssh_options_get(ssh->session, SSH_OPTIONS_PROXYCOMMAND, &text) == SSH_OK && *text;
	ssh_string_free_char(text);
	snprintf(ssh->t.peer, sizeof(ssh->t.peer), "ssh:%.100s@%.150s", ssh->user, ssh->host);
	err_printable(ssh->t.peer);
	return 0;
}

struct transport *transport_ssh_new(const struct addr_dest *d, const struct transport_ssh_config *c,
				    struct err *e)
{
	struct transport_ssh *ssh = calloc(1, sizeof(*ssh));

	if (!ssh) {
		err_set(e, ERR_SYSTEM, "No memory for a connection");
		return NULL;
	}
	ssh->t.ops = &ssh_ops;
	ssh->t.fd = ssh->t.fd_out = -1;
	ssh->exit_status = -1;
	ssh->session = ssh_new();
	ssh->event = ssh_event_new();
	ssh->command = strdup(c->command ? c->command : TRANSPORT_SSH_COMMAND);
	ssh->request = strdup(c->request);
	if (!ssh->session || !ssh->event || !ssh->command || !ssh->request) {
		err_set(e, ERR_SYSTEM, "No memory for a connection");
		goto fail;
	}
	ssh_set_log_callback(on_log);
	ssh->callbacks.userdata = ssh;
	ssh->callbacks.auth_function = on_passphrase;
	ssh_callbacks_init(&ssh->callbacks);
	ssh_set_callbacks(ssh->session, &ssh->callbacks);
	if (configure(ssh, d, c->config_file, e) < 0)
		goto fail;
	return &ssh->t;
fail:
	ssh_free_transport(&ssh->t);
	return NULL;
}

int transport_ssh_address(const struct transport *t, struct addr *a)
{
	const struct transport_ssh *ssh = (const struct transport_ssh *)t;

	*a = (struct addr){.kind = ADDR_TCP, .port = ssh->port};
	snprintf(a->host, sizeof(a->host), "%s", ssh->host);
	return !ssh->proxy;
}

int transport_ssh_begin(struct transport *t, int fd, struct err *e)
{
	struct transport_ssh *ssh = self(t);
	int r;

	if (fd >= 0 && (transport_socket_init(fd, e) < 0 ||
			ssh_options_set(ssh->session, SSH_OPTIONS_FD, &fd) < 0)) {
		close(fd);
		return e->code ? (int)e->code
			       : err_set(e, ERR_SYSTEM, "%s", ssh_get_error(ssh->session));
	}
	t->fd = t->fd_out = fd;
	ssh_set_blocking(ssh->session, 0);
	set_state(ssh, SSH_STATE_KEX);
	/* The first step makes libssh's socket, which a ProxyCommand needs to be waited for. */
	r = ssh_handshake(t, e);
	return r == TRANSPORT_FAILED ? (int)e->code : 0;
}

const char *transport_ssh_answer(const struct transport *t)
{
	const struct transport_ssh *ssh = (const struct transport_ssh *)t;

	return ssh->line + sizeof(TRANSPORT_STDIO_GREETING "ok ") - 1;
}

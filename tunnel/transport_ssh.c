/*
 * Transport `ssh`: see transport_ssh.h.
 *
 * How it works. libssh keeps the socket and looks at it with poll whenever it is called;
 * the link says when to call. Here: the configuration, the steps of the handshake, and the
 * table of operations; _auth.c has host and user, _start.c channels and greetings, _io.c the
 * bytes, _end.c the reason of an end.
 *
 * libssh makes its sockets blocking and trusts poll; here they stay non-blocking, as a
 * long send on a full connection would hold up the whole loop.
 *
 * Refuses host keys that known_hosts does not have, whatever StrictHostKeyChecking says,
 * and passwords. The struct is owned by whoever holds the transport.
 */
#include "tunnel/transport_ssh_i.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "tunnel/ssh_alias.h"
#include "tunnel/ssh_proxy.h"

enum { DIRECT_MIN = 16 * 1024 }; /* frames that do not stay in the ring */

/* AES-128-GCM is the fastest where the processor has AES; a Ciphers line overrides it. */
#define CIPHERS                                                                                    \
	"aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"             \
	"aes256-ctr,aes192-ctr,aes128-ctr"

static const char *const state_names[] = {"new",  "kex",  "none",  "keys", "open",
					  "more", "exec", "greet", "join", "up"};

static const char *const state_doing[] = {
    NULL,
    "waiting for sshd's first words: is it sshd that listens there?",
    "waiting for sshd to say which keys it takes",
    "waiting for the agent, or for sshd to judge the keys",
    "waiting for sshd to open a channel",
    "waiting for sshd to open more channels",
    "waiting for sshd to start the far adit",
    "waiting for the far adit to answer: does its command hang, or ask something?",
    "waiting for the far adit to take the other channels",
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
	ssh->t.doing = state == SSH_STATE_KEX && ssh->proxy ? ssh->proxy_doing : state_doing[state];
}

static int fail(struct transport_ssh *ssh, struct err *e)
{
	if (e)
		*e = ssh->failed;
	ssh->told = 1;
	return TRANSPORT_FAILED;
}

static int write_pending(const struct transport_ssh *ssh)
{
	return (ssh_get_poll_flags(ssh->session) & SSH_WRITE_PENDING) != 0;
}

/* libssh closes its socket by itself when the connection breaks, and the number may be
 * somebody else's in the next moment: what is waited for is a descriptor of our own. */
static void watch(struct transport_ssh *ssh, int fd)
{
	if (fd >= 0)
		ssh->t.fd = ssh->t.fd_out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* The program that connects has ended, or what it is connected to is no sshd. */
static int no_way(struct transport_ssh *ssh)
{
	char words[400];

	if (*ssh_proxy_words(ssh->proxy_said, words, sizeof(words)))
		err_set(&ssh->failed, ERR_ADDRESS, "no ssh connection by way of %s: %s",
			ssh->proxy_name, words);
	else
		err_set(&ssh->failed, ERR_ADDRESS,
			"no ssh connection by way of %s, which does not say why: does it run, and "
			"is it sshd that it connects to? (%s)",
			ssh->proxy_name, transport_ssh_words(ssh));
	return TRANSPORT_FAILED;
}

static int go_connect(struct transport_ssh *ssh)
{
	int r;

	ssh_proxy_shield(ssh->proxy, ssh->proxy_said);
	r = ssh_connect(ssh->session);
	ssh_proxy_shield(0, -1);
	if (ssh->t.fd < 0)
		watch(ssh, ssh_get_fd(ssh->session));
	if (ssh->t.fd >= 0)
		fd_set_nonblock(ssh->t.fd); /* libssh has just made it blocking */
	if (r == SSH_AGAIN)
		return TRANSPORT_WANT_READ;
	if (r != SSH_OK && ssh->proxy && !ssh_get_serverbanner(ssh->session))
		return no_way(ssh);
	if (r != SSH_OK && strstr(transport_ssh_words(ssh), strerror(ETIMEDOUT)))
		return transport_ssh_complain(
		    ssh, ERR_TIMEOUT,
		    "no ssh connection (it was connected, but larger packets of this host were not "
		    "acknowledged: is the path's MTU smaller than this host's?)");
	if (r != SSH_OK)
		return transport_ssh_complain(
		    ssh, ERR_PROTOCOL,
		    ssh_get_serverbanner(ssh->session)
			? "no ssh connection"
			: "no ssh connection (is it sshd that listens there? one of OpenSSH 9.8 or "
			  "newer turns an address away for a while after logins that failed: see "
			  "PerSourcePenalties in its configuration)");
	return transport_ssh_check_host(ssh);
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
		return transport_ssh_open(ssh);
	case SSH_STATE_MORE:
		return transport_ssh_open_more(ssh);
	case SSH_STATE_EXEC:
		return transport_ssh_exec(ssh);
	case SSH_STATE_GREET:
		return transport_ssh_greet(ssh);
	case SSH_STATE_JOIN:
		return transport_ssh_join(ssh);
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
	ssize_t got;

	if (size == 0)
		return 0;
	got = transport_ssh_take(ssh, buf, size);
	if (got > 0)
		return got;
	if (!err_is_set(&ssh->failed)) {
		if (!transport_ssh_closed(ssh))
			return TRANSPORT_WANT_READ;
		transport_ssh_explain_end(ssh);
	}
	return fail(ssh, e);
}

static int ssh_write_bytes(struct transport *t, const uint8_t *data, size_t len, struct err *e)
{
	struct transport_ssh *ssh = self(t);

	/* Large frames go without a stay in the ring; small ones share a packet. */
	if (ssh->strands.count == 1 && !ssh->out.len && len >= DIRECT_MIN &&
	    transport_ssh_flushed(ssh)) {
		size_t n = transport_ssh_give(ssh, 0, data, len);

		data += n;
		len -= n;
		ssh->passed += n;
	}
	if (outbuf_append(&ssh->out, data, len) < 0) {
		err_set(e, ERR_LIMIT, "No memory for %zu bytes to send", len);
		return TRANSPORT_FAILED;
	}
	t->unsent = ssh->out.len + ssh->piece_len + ssh->passed;
	return 0;
}

static int ssh_flush_bytes(struct transport *t, struct err *e)
{
	(void)e;
	return self(t)->state == SSH_STATE_UP ? transport_ssh_drain(self(t)) : 0;
}

static int ssh_pending(const struct transport *t)
{
	const struct transport_ssh *ssh = (const struct transport_ssh *)t;

	if (strands_ready(&ssh->strands))
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
	fd_close(&ssh->t.fd);
	fd_close(&ssh->proxy_said);
	outbuf_fini(&ssh->out);
	strands_fini(&ssh->strands);
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

/* command with host and port in it, as libssh would do it, were it not for the alias. The caller
 * frees it. NULL: memory is short. */
static char *fill_proxy_command(const struct transport_ssh *ssh, const char *command)
{
	size_t room = strlen(command) + 1;
	char *full, *at;

	for (const char *p = command; (p = strchr(p, '%')) != NULL; p++)
		room += sizeof(ssh->host);
	full = at = malloc(room);
	if (!full)
		return NULL;
	for (const char *p = command; *p; p++) {
		if (p[0] == '%' && p[1] == 'h')
			at += sprintf(at, "%s", ssh->host);
		else if (p[0] == '%' && p[1] == 'p')
			at += sprintf(at, "%u", ssh->port);
		else
			*at++ = *p;
		if (p[0] == '%' && (p[1] == 'h' || p[1] == 'p'))
			p++;
		else if (p[0] == '%' && p[1])
			*at++ = *++p;
	}
	*at = '\0';
	return full;
}

/* The program that connects: its name for messages, and its words kept. libssh has made a command
 * of a ProxyJump, and put `exec` before each. */
static int take_proxy(struct transport_ssh *ssh, const char *command, struct err *e)
{
	char *full = fill_proxy_command(ssh, command), *words;
	const char *name;
	int rc = full ? 0 : -1;

	if (full) {
		name = strncmp(full, "exec ", 5) == 0 ? full + 5 : full;
		snprintf(ssh->proxy_name, sizeof(ssh->proxy_name), "%s \"%.120s\"",
			 strncmp(name, "ssh ", 4) == 0 && strstr(name, " -W '[")
			     ? "the jump host,"
			     : "the ProxyCommand",
			 name);
		err_printable(ssh->proxy_name);
		snprintf(ssh->proxy_doing, sizeof(ssh->proxy_doing),
			 "waiting for sshd's first words by way of %s", ssh->proxy_name);
		ssh->proxy_said = ssh_proxy_keep_words();
		words = ssh_proxy_with_words(ssh->alias[0] ? full : command, ssh->proxy_said);
		if (words || ssh->alias[0])
			rc = ssh_options_set(ssh->session, SSH_OPTIONS_PROXYCOMMAND,
					     words ? words : full);
		free(words);
	}
	free(full);
	return rc < 0 ? err_set(e, ERR_CONFIG, "the ProxyCommand cannot be used: %s",
				transport_ssh_words(ssh))
		      : 0;
}

/* HostKeyAlias: libssh is to look for it, and for no port, in known_hosts. That is all it
 * needs a host's name for, as others connect. */
static int take_alias(struct transport_ssh *ssh, struct err *e)
{
	unsigned port = 22;

	if (ssh_options_set(ssh->session, SSH_OPTIONS_HOST, ssh->alias) < 0 ||
	    ssh_options_set(ssh->session, SSH_OPTIONS_PORT, &port) < 0)
		return err_set(e, ERR_CONFIG, "HostKeyAlias %s cannot be used: %s", ssh->alias,
			       transport_ssh_words(ssh));
	return 0;
}

/* libssh 0.11 has jump hosts of its own making, which are left out where it is given a socket, as
 * here: ssh is to connect through them, as with older ones. */
static pthread_once_t jumps_once = PTHREAD_ONCE_INIT;

static void have_ssh_jump(void)
{
	setenv("OPENSSH_PROXYJUMP", "1", 1);
}

void transport_ssh_prepare(void)
{
	pthread_once(&jumps_once, have_ssh_jump);
}

/* Takes user, host and port, and what the configuration has for them. */
static int configure(struct transport_ssh *ssh, const struct addr_dest *d, const char *config_file,
		     struct err *e)
{
	unsigned port = 0;
	int strict = 1;
	char *text = NULL;

	/* libssh takes no more than is safe in a ProxyCommand, and mostly does not say so. */
	if (ssh_options_set(ssh->session, SSH_OPTIONS_HOST, d->host) < 0)
		return err_set(e, ERR_USAGE,
			       "\"%s\" is no host name that ssh takes: letters, digits, '.', '-' "
			       "and '_', or an address",
			       d->host);
	if (set_given(ssh, d) < 0)
		return err_set(e, ERR_USAGE, "ssh does not take the user \"%s\" or port %u: %s",
			       d->identity, d->port, transport_ssh_words(ssh));
	ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_C_S, CIPHERS);
	ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_S_C, CIPHERS);
	if (config_file && access(config_file, R_OK) < 0)
		return err_set_sys(e, errno, "--ssh-config %s", config_file);
	if (ssh_options_parse_config(ssh->session, config_file) < 0)
		return err_set(e, ERR_CONFIG, "%s cannot be used: %s",
			       config_file ? config_file : "~/.ssh/config",
			       transport_ssh_words(ssh));
	set_given(ssh, d); /* libssh has the configuration's Port win */
	/* "no" would have libssh call every key known. */
	ssh_options_set(ssh->session, SSH_OPTIONS_STRICTHOSTKEYCHECK, &strict);
	if (ssh_options_get(ssh->session, SSH_OPTIONS_HOST, &text) < 0 ||
	    ssh_options_get_port(ssh->session, &port) < 0)
		return err_set(e, ERR_CONFIG, "%s", transport_ssh_words(ssh));
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
	if (ssh_alias_find(config_file, d->host, ssh->alias, sizeof(ssh->alias)))
		take_alias(ssh, e);
	else
		ssh->alias[0] = '\0';
	if (!e->code && ssh->proxy)
		take_proxy(ssh, text, e);
	ssh_string_free_char(text);
	if (e->code)
		return e->code;
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
	ssh->t.fd = ssh->t.fd_out = ssh->proxy_said = -1;
	transport_ssh_prepare();
	transport_ssh_io_init(ssh);
	ssh->may_split = strcmp(c->request, "mux") == 0;
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
			       : err_set(e, ERR_SYSTEM, "%s", transport_ssh_words(ssh));
	}
	watch(ssh, fd);
	if (fd >= 0 && t->fd < 0) {
		close(fd);
		return err_set_sys(e, errno, "no descriptor for the connection");
	}
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

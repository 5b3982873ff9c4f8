/*
 * Sessions that ssh has a hand in: see session.h. `ssh`: the session runs in a channel of
 * the ssh connection. `ssh+tls`: ssh carries a key, made here for this one session, to the
 * far side, which says on which port it takes it; then the ssh connection is closed, and
 * the session is one over TLS. Owns what is in struct session's part for it.
 */
#include "tunnel/session_i.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "tunnel/creds_psk.h"
#include "tunnel/tcpinfo.h"
#include "tunnel/transport_ssh.h"

enum {
	HANDSHAKE_MS = 30000, /* sshd may look up names, and an agent may ask somebody */
	NAME_BYTES = 8,
	KEY_BYTES = 32,
};

#define NAME_PREFIX "once-"

/* Bytes in hexadecimal. */
static void put_hex(char *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

/* A key for this session alone: s->own_creds, and the words that carry it. */
static int make_key(struct session *s, char *request, size_t size, struct err *e)
{
	uint8_t random[NAME_BYTES + KEY_BYTES];
	char name[2 * NAME_BYTES + 1], hex[2 * KEY_BYTES + 1];
	struct creds_psk_key k = {.key_len_bytes = KEY_BYTES};

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_set_sys(e, errno, "no random numbers");
	put_hex(name, random, NAME_BYTES);
	put_hex(hex, random + NAME_BYTES, KEY_BYTES);
	k.identity_len = (size_t)snprintf(k.identity, sizeof(k.identity), NAME_PREFIX "%s", name);
	memcpy(k.key, random + NAME_BYTES, KEY_BYTES);
	s->own_creds = creds_new_psk(CREDS_CLIENT, &k, e);
	snprintf(request, size, "psk %s %s", k.identity, hex);
	explicit_bzero(random, sizeof(random));
	explicit_bzero(hex, sizeof(hex));
	explicit_bzero(&k, sizeof(k));
	return s->own_creds ? 0 : (int)e->code;
}

int session_ssh_prepare(struct session *s, const struct addr_dest *d, struct addr *a, struct err *e)
{
	struct transport_ssh_config config = {.config_file = creds_ssh_config_file(s->creds),
					      .command = creds_ssh_command(s->creds),
					      .request = "mux"};
	char request[256] = "";

	s->ssh_key_only = strcmp(d->scheme, "ssh+tls") == 0;
	if (s->ssh_key_only) {
		if (make_key(s, request, sizeof(request), e) < 0)
			return e->code;
		config.request = request;
	}
	s->ssh = transport_ssh_new(d, &config, e);
	explicit_bzero(request, sizeof(request));
	if (!s->ssh)
		return e->code;
	s->ssh_proxy = !transport_ssh_address(s->ssh, a);
	if (s->config.handshake_ms < HANDSHAKE_MS)
		s->config.handshake_ms = HANDSHAKE_MS;
	return 0;
}

void session_ssh_fini(struct session *s)
{
	transport_free(s->ssh);
	s->ssh = NULL;
	creds_free(s->own_creds);
	s->own_creds = NULL;
}

/* For errors: the port is another than ssh's, and a firewall may shut it. */
static void name_data(struct session *s, const struct addr *a)
{
	size_t len = strlen(s->dest);
	char name[ADDR_HOST_MAX + 16];

	snprintf(name, sizeof(name), strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, a->port);
	if (!strstr(s->dest, name))
		snprintf(s->dest + len, sizeof(s->dest) - len, " (data at %s)", name);
}

/* The far adit has taken the key: on to its port. */
static int go_over(struct session *s, struct err *e)
{
	const char *at = strstr(transport_ssh_answer(s->ssh), "port=");
	unsigned long port = at ? strtoul(at + 5, NULL, 10) : 0;
	struct addr a = s->data_to;

	if (port == 0 || port > 65535)
		return err_set(e, ERR_PROTOCOL,
			       "the far adit does not say on which port it takes "
			       "the key");
	if (!a.host[0])
		transport_ssh_address(s->ssh, &a);
	if (!s->data_to.port)
		a.port = (uint16_t)port;
	name_data(s, &a);
	snprintf(s->peer, sizeof(s->peer), "%s", s->ssh->peer);
	snprintf(s->host, sizeof(s->host), "%s", a.host);
	transport_free(s->ssh);
	s->ssh = NULL;
	s->creds = s->own_creds;
	return session_find(s, &a, e);
}

static void on_socket(evutil_socket_t fd, short what, void *arg);

/* Goes on with the talk that carries the key. */
static void step(struct session *s)
{
	uint64_t now_ms = clock_ms(), left_ms;
	struct err e = ERR_INIT;
	struct timeval tv;
	int r = s->ssh->ops->handshake(s->ssh, &e);

	if (r == 0 && go_over(s, &e) == 0)
		return;
	left_ms = s->deadline_ms > now_ms ? s->deadline_ms - now_ms : 0;
	if (!e.code && !left_ms) {
		const char *lost = tcpinfo_large_lost(s->ssh->fd);

		err_set(&e, ERR_TIMEOUT, "not connected within %u seconds: %s",
			s->config.handshake_ms / 1000,
			lost		? lost
			: s->ssh->doing ? s->ssh->doing
					: "");
	}
	if (!e.code) {
		short want = r == TRANSPORT_WANT_WRITE ? EV_READ | EV_WRITE : EV_READ;

		tv = clock_timeval(left_ms);
		s->ev = event_new(s->base, s->ssh->fd, want, on_socket, s);
		if (s->ev && event_add(s->ev, &tv) == 0)
			return;
		err_set(&e, ERR_SPACE, "no memory for a session");
	}
	err_prefix(&e, "%s", s->dest);
	session_fail(s, &e);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	event_free(s->ev);
	s->ev = NULL;
	step(s);
}

void session_ssh_connected(struct session *s, int fd)
{
	struct err e = ERR_INIT;

	if (transport_ssh_begin(s->ssh, fd, &e) == 0) {
		if (s->ssh_key_only) {
			step(s);
			return;
		}
		session_start_link(s, s->ssh, &e);
		s->ssh = NULL;
		if (s->link)
			return;
	}
	err_prefix(&e, "%s", s->dest);
	session_fail(s, &e);
}

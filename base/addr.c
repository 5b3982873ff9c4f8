/* Addresses: see addr.h. Refuses what is ambiguous (an IPv6 address without
 * brackets, a relative path) rather than guess. Owns nothing. */
#include "base/addr.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { FD_DIGITS_MAX = 7 };

/* Reads a port of len bytes. 0 and 65536 upwards are refused unless zero_ok says
 * otherwise for 0. */
static int parse_port(uint16_t *port, const char *s, size_t len, int zero_ok, const char *whole,
		      struct err *e)
{
	unsigned long v = 0;

	if (len == 0)
		return err_set(e, ERR_USAGE, "\"%s\": the port is missing behind ':'", whole);
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)s[i]))
			return err_set(e, ERR_USAGE, "\"%s\": the port \"%.*s\" is not a number",
				       whole, (int)len, s);
		v = v * 10 + (unsigned long)(s[i] - '0');
		if (v > 65535)
			break;
	}
	if (v > 65535 || (v == 0 && !zero_ok))
		return err_set(e, ERR_USAGE, "\"%s\": the port must be between %d and 65535", whole,
			       zero_ok ? 0 : 1);
	*port = (uint16_t)v;
	return 0;
}

/* Splits HOST[:PORT] or [v6][:PORT] at the end of text (len bytes). *port_at is
 * NULL when there is no port. */
static int split_host(char *host, const char *text, size_t len, const char **port_at,
		      const char *whole, struct err *e)
{
	const char *end = text + len, *host_at = text, *host_end, *colon;

	*port_at = NULL;
	if (len && text[0] == '[') {
		host_at = text + 1;
		host_end = memchr(host_at, ']', (size_t)(end - host_at));
		if (!host_end)
			return err_set(e, ERR_USAGE, "\"%s\": ']' is missing behind the address",
				       whole);
		if (host_end == host_at)
			return err_set(e, ERR_USAGE, "\"%s\": there is no address in the brackets",
				       whole);
		if (host_end + 1 < end) {
			if (host_end[1] != ':')
				return err_set(e, ERR_USAGE,
					       "\"%s\": only \":PORT\" may follow the ']'", whole);
			*port_at = host_end + 2;
		}
	} else {
		colon = memchr(text, ':', len);
		host_end = colon ? colon : end;
		if (colon) {
			*port_at = colon + 1;
			if (memchr(colon + 1, ':', (size_t)(end - colon - 1)))
				return err_set(e, ERR_USAGE,
					       "\"%s\": write an IPv6 address in brackets, as in "
					       "[fe80::1]:16516",
					       whole);
		}
	}
	if (host_end - host_at >= ADDR_HOST_MAX)
		return err_set(e, ERR_USAGE, "\"%.40s...\": the host name is longer than %d bytes",
			       whole, ADDR_HOST_MAX - 1);
	for (const char *p = host_at; p < host_end; p++)
		if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p) || *p == '/' ||
		    *p == '[' || *p == ']' || *p == '@')
			return err_set(e, ERR_USAGE, "\"%s\": '%c' cannot be part of a host name",
				       whole, *p);
	memcpy(host, host_at, (size_t)(host_end - host_at));
	host[host_end - host_at] = '\0';
	return 0;
}

static int is_fd(const char *text)
{
	return strncmp(text, "fd:", 3) == 0;
}

/* Reads fd:N. */
static int parse_fd(struct addr *a, const char *text, struct err *e)
{
	const char *digits = text + 3;
	size_t len = strlen(digits);

	memset(a, 0, sizeof(*a));
	if (len == 0 || len > FD_DIGITS_MAX || strspn(digits, "0123456789") != len)
		return err_set(e, ERR_USAGE,
			       "\"%.40s\": write fd:N with the number of a descriptor, as in fd:3",
			       text);
	a->kind = ADDR_FD;
	a->fd = atoi(digits);
	return 0;
}

int addr_parse_local(struct addr *a, const char *text, struct err *e)
{
	return is_fd(text) ? parse_fd(a, text, e) : addr_parse(a, text, e);
}

int addr_parse(struct addr *a, const char *text, struct err *e)
{
	const char *port_at;
	int rc;

	memset(a, 0, sizeof(*a));
	if (strncmp(text, "unix:", 5) == 0) {
		const char *path = text + 5;
		size_t len = strlen(path);

		a->kind = ADDR_UNIX;
		if (path[0] != '/')
			return err_set(e, ERR_USAGE,
				       "\"%s\": the path of a unix socket must begin with '/'",
				       text);
		if (len > ADDR_UNIX_MAX)
			return err_set(e, ERR_USAGE,
				       "\"%.40s...\": the path of a unix socket may have %d bytes, "
				       "this one has %zu: use a shorter one",
				       text, ADDR_UNIX_MAX, len);
		memcpy(a->path, path, len + 1);
		return 0;
	}
	if (is_fd(text))
		return err_set(e, ERR_USAGE,
			       "\"%s\": a descriptor can only be where adit listens: write "
			       "unix:/path or tcp:HOST:PORT",
			       text);
	if (strncmp(text, "tcp:", 4) != 0)
		return err_set(e, ERR_USAGE,
			       "\"%s\" is no address: write unix:/path or tcp:HOST:PORT", text);
	a->kind = ADDR_TCP;
	rc = split_host(a->host, text + 4, strlen(text + 4), &port_at, text, e);
	if (rc < 0)
		return rc;
	if (!a->host[0])
		return err_set(e, ERR_USAGE, "\"%s\": the host is missing: write tcp:HOST:PORT",
			       text);
	if (!port_at)
		return err_set(e, ERR_USAGE, "\"%s\": the port is missing: write tcp:HOST:PORT",
			       text);
	return parse_port(&a->port, port_at, strlen(port_at), 0, text, e);
}

/* HOST:PORT, with brackets where the host has a ':'. */
static void format_host(char *buf, size_t size, const char *prefix, const char *host, unsigned port)
{
	int v6 = strchr(host, ':') != NULL;

	snprintf(buf, size, "%s%s%s%s:%u", prefix, v6 ? "[" : "", host, v6 ? "]" : "", port);
}

char *addr_format(const struct addr *a, char *buf, size_t size)
{
	if (a->kind == ADDR_UNIX)
		snprintf(buf, size, "unix:%s", a->path);
	else if (a->kind == ADDR_FD)
		snprintf(buf, size, "fd:%d", a->fd);
	else
		format_host(buf, size, "tcp:", a->host, a->port);
	return buf;
}

int addr_parse_listen(struct addr *a, const char *text, struct err *e)
{
	const char *port_at;
	int rc;

	memset(a, 0, sizeof(*a));
	a->kind = ADDR_TCP;
	a->port = ADDR_PORT_DEFAULT;
	if (!*text)
		return err_set(e, ERR_USAGE,
			       "the address to listen on is empty: write HOST:PORT or :PORT");
	if (is_fd(text))
		return parse_fd(a, text, e);
	if (strncmp(text, "tcp:", 4) == 0 || strncmp(text, "unix:", 5) == 0 || strstr(text, "://"))
		return err_set(e, ERR_USAGE, "\"%s\": write the address to listen on as HOST:PORT",
			       text);
	rc = split_host(a->host, text, strlen(text), &port_at, text, e);
	if (rc < 0)
		return rc;
	if (!port_at && strspn(text, "0123456789") == strlen(text))
		return err_set(e, ERR_USAGE, "\"%s\" is no host: for a port write :%s", text, text);
	if (strcmp(a->host, "*") == 0)
		a->host[0] = '\0';
	if (port_at)
		return parse_port(&a->port, port_at, strlen(port_at), 1, text, e);
	return 0;
}

int addr_parse_host(struct addr *a, const char *text, uint16_t port, struct err *e)
{
	const char *port_at;
	int rc;

	memset(a, 0, sizeof(*a));
	a->kind = ADDR_TCP;
	a->port = port;
	if (strncmp(text, "unix:", 5) == 0 || strstr(text, "://"))
		return err_set(e, ERR_USAGE, "\"%s\": write the address as HOST or HOST:PORT",
			       text);
	rc = split_host(a->host, text, strlen(text), &port_at, text, e);
	if (rc < 0)
		return rc;
	if (!a->host[0])
		return err_set(e, ERR_USAGE, "\"%s\": the host is missing: write HOST[:PORT]",
			       text);
	return port_at ? parse_port(&a->port, port_at, strlen(port_at), 0, text, e) : 0;
}

int addr_parse_dest(struct addr_dest *d, const char *text, struct err *e)
{
	const char *sep = strstr(text, "://"), *rest, *at, *port_at;
	size_t len;
	int rc;

	memset(d, 0, sizeof(*d));
	d->port = ADDR_PORT_DEFAULT;
	if (!sep || sep == text)
		return err_set(e, ERR_USAGE, "\"%s\" is no destination: write tls://HOST[:PORT]",
			       text);
	len = (size_t)(sep - text);
	if (len >= sizeof(d->scheme))
		return err_set(e, ERR_USAGE, "\"%s\": \"%.*s\" is no scheme that is known here",
			       text, (int)(len > 40 ? 40 : len), text);
	for (size_t i = 0; i < len; i++)
		if (!islower((unsigned char)text[i]) && (text[i] != '+' || i == 0))
			return err_set(e, ERR_USAGE,
				       "\"%s\": a scheme is written in small letters, as in tls://",
				       text);
	memcpy(d->scheme, text, len);
	if (strcmp(d->scheme, "ssh") == 0 || strcmp(d->scheme, "ssh+tls") == 0)
		d->port = 0;

	rest = sep + 3;
	at = strrchr(rest, '@');
	if (at) {
		len = (size_t)(at - rest);
		if (len == 0)
			return err_set(e, ERR_USAGE, "\"%s\": the identity before '@' is empty",
				       text);
		if (len >= sizeof(d->identity))
			return err_set(e, ERR_USAGE,
				       "\"%.40s...\": the identity is longer than %zu bytes", text,
				       sizeof(d->identity) - 1);
		for (const char *p = rest; p < at; p++)
			if (iscntrl((unsigned char)*p) || *p == ':')
				return err_set(e, ERR_USAGE,
					       "\"%s\": an identity has no ':' and no control "
					       "characters",
					       text);
		memcpy(d->identity, rest, len);
		rest = at + 1;
	}
	len = strlen(rest);
	if (len && rest[len - 1] == '/') /* tls://host/ is what some write */
		len--;
	rc = split_host(d->host, rest, len, &port_at, text, e);
	if (rc < 0)
		return rc;
	if (!d->host[0])
		return err_set(e, ERR_USAGE, "\"%s\": the host is missing: write %s://HOST[:PORT]",
			       text, d->scheme);
	if (port_at)
		return parse_port(&d->port, port_at, (size_t)(rest + len - port_at), 0, text, e);
	return 0;
}

static void add_resolved(struct addr_resolved *out, const void *sa, socklen_t len)
{
	if (out->count == ADDR_RESOLVED_MAX || len > sizeof(out->at[0].sa))
		return;
	memcpy(&out->at[out->count].sa, sa, len);
	out->at[out->count].len = len;
	out->count++;
}

int addr_resolve(const struct addr *a, int passive, struct addr_resolved *out, struct err *e)
{
	struct addrinfo hints, *list = NULL;
	char port[8];
	int rc;

	memset(out, 0, sizeof(*out));
	if (a->kind == ADDR_FD)
		return err_set(e, ERR_ADDRESS, "fd:%d is a descriptor, and has no address", a->fd);
	if (a->kind == ADDR_UNIX) {
		struct sockaddr_un un;

		memset(&un, 0, sizeof(un));
		un.sun_family = AF_UNIX;
		memcpy(un.sun_path, a->path, sizeof(a->path));
		add_resolved(out, &un, sizeof(un));
		return 0;
	}
	if (!a->host[0]) {
		struct sockaddr_in6 in6;
		struct sockaddr_in in;

		memset(&in6, 0, sizeof(in6));
		in6.sin6_family = AF_INET6;
		in6.sin6_addr = passive ? in6addr_any : in6addr_loopback;
		in6.sin6_port = htons(a->port);
		memset(&in, 0, sizeof(in));
		in.sin_family = AF_INET;
		in.sin_addr.s_addr = htonl(passive ? INADDR_ANY : INADDR_LOOPBACK);
		in.sin_port = htons(a->port);
		add_resolved(out, &in6, sizeof(in6));
		add_resolved(out, &in, sizeof(in));
		return 0;
	}
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
	snprintf(port, sizeof(port), "%u", a->port);
	rc = getaddrinfo(a->host, port, &hints, &list);
	if (rc != 0)
		return err_set(e, ERR_ADDRESS, "the address of \"%s\" cannot be found: %s", a->host,
			       rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (struct addrinfo *i = list; i; i = i->ai_next)
		add_resolved(out, i->ai_addr, i->ai_addrlen);
	freeaddrinfo(list);
	if (out->count == 0)
		return err_set(e, ERR_ADDRESS, "\"%s\" has no address", a->host);
	return 0;
}

/* A socket of IPv6 takes IPv4 too, and tells of it as ::ffff:10.0.0.1. */
static const struct sockaddr *unmap(const struct sockaddr *sa, socklen_t *len,
				    struct sockaddr_in *in)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

	if (sa->sa_family != AF_INET6 || *len < sizeof(*in6) ||
	    !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return sa;
	memset(in, 0, sizeof(*in));
	in->sin_family = AF_INET;
	in->sin_port = in6->sin6_port;
	memcpy(&in->sin_addr, in6->sin6_addr.s6_addr + 12, 4);
	*len = sizeof(*in);
	return (const struct sockaddr *)in;
}

char *addr_format_sockaddr(const struct sockaddr *sa, socklen_t len, char *buf, size_t size)
{
	if (sa->sa_family == AF_UNIX) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)sa;
		size_t head = offsetof(struct sockaddr_un, sun_path);
		size_t n = len > head ? strnlen(un->sun_path, len - head) : 0;

		snprintf(buf, size, "unix:%.*s", (int)n, un->sun_path);
	} else {
		char host[NI_MAXHOST], port[NI_MAXSERV];
		struct sockaddr_in in;

		sa = unmap(sa, &len, &in);
		if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
				NI_NUMERICHOST | NI_NUMERICSERV) != 0)
			snprintf(buf, size, "(unknown address)");
		else
			snprintf(buf, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	}
	return buf;
}

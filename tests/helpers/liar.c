/*
 * liar: either side of a migration, as a puppet. It authenticates as a true adit, speaks the
 * true protocol below, and says in the talk whatever the lines of its standard input tell.
 *
 *     liar connect tls://HOST[:PORT] KEYFILE
 *     liar listen HOST:PORT KEYFILE
 *
 * in:
 *     open CLASS TARGET    opens a stream in the last session; it gets the next number
 *     say N TEXT           a line into stream N
 *     file N PATH          what is in PATH, as a line
 *     repeat N COUNT TEXT  the line many times
 *     blob N BYTES         noise
 *     eof N, drop N        ends one direction, both
 *     hold                 takes no byte of ram and disk streams from now on
 *     relay CLASS PATH     later streams of that class are joined to the unix socket PATH
 *     close                ends the last session in order
 *     connect              another one
 *     quit
 * out: session PEER          a session is ready              end REASON      it ended
 *      stream N CLASS TARGET opened, by either side
 *      line N TEXT           came in a control stream
 *      eof N, reset N CODE REASON
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "proxy/relay.h"
#include "tunnel/frame.h"
#include "tunnel/listener.h"

enum { STREAMS_MAX = 8192 };

struct lie {
	struct stream *stream; /* NULL: relayed, or over */
	unsigned number;
	struct bytes out, in;
	uint64_t blob; /* bytes of noise after out */
	int ended;
};

static struct event_base *base;
static struct creds *creds;
static struct addr_dest dest;
static struct session *session;
static struct lie *lies[STREAMS_MAX];
static unsigned count;
static int holding;
static struct addr relays[STREAM_CLASSES];

static void __attribute__((noreturn)) die(const char *what, const struct err *e)
{
	fprintf(stderr, "liar: %s: %s\n", what, e ? e->text : "");
	exit(1);
}

static ssize_t on_pull(void *ctx, struct stream *s, uint8_t *dst, size_t max)
{
	struct lie *l = ctx;
	const uint8_t *data;
	size_t n = bytes_front(&l->out, &data);

	(void)s;
	if (n) {
		n = n < max ? n : max;
		memcpy(dst, data, n);
		bytes_consume(&l->out, n);
		return (ssize_t)n;
	}
	if (l->blob) {
		n = l->blob < max ? (size_t)l->blob : max;
		memset(dst, 0xa5, n);
		l->blob -= n;
		return (ssize_t)n;
	}
	return l->ended ? STREAM_PULL_EOF : STREAM_PULL_AGAIN;
}

static void print_lines(struct lie *l, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			const uint8_t *at;
			size_t n;

			printf("line %u ", l->number);
			while ((n = bytes_front(&l->in, &at)) > 0) {
				fwrite(at, 1, n, stdout);
				bytes_consume(&l->in, n);
			}
			putchar('\n');
			fflush(stdout);
		} else if (bytes_append(&l->in, data + i, 1) < 0) {
			die("memory", NULL);
		}
	}
}

static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct lie *l = ctx;

	if (stream_class(s) == STREAM_CONTROL)
		print_lines(l, data, len);
	else if (holding)
		return 0;
	return len;
}

static void on_eof(void *ctx, struct stream *s)
{
	struct lie *l = ctx;

	(void)s;
	printf("eof %u\n", l->number);
	fflush(stdout);
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct lie *l = ctx;

	(void)s;
	printf("reset %u %s %s\n", l->number, code_name(code), reason);
	fflush(stdout);
	l->stream = NULL;
}

static const struct stream_ops stream_ops = {on_pull, on_push, on_eof, on_reset};

static struct lie *new_lie(void)
{
	struct lie *l = count < STREAMS_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (!l)
		die("too many streams", NULL);
	l->number = count;
	lies[count++] = l;
	return l;
}

static void announce(const struct lie *l, enum stream_class class, const char *target)
{
	printf("stream %u %s %s\n", l->number, stream_class_name(class), target);
	fflush(stdout);
}

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct lie *l = ctx;

	(void)r;
	printf("reset %u %s %s\n", l->number, code_name(code), reason);
	fflush(stdout);
}

static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	struct lie *l = new_lie();

	(void)ctx;
	announce(l, class, target);
	if (*relays[class].path) {
		relay_connect(base, s, stream, &relays[class], on_relay_end, l);
		return;
	}
	l->stream = stream;
	stream_accept(stream, &stream_ops, l);
}

static void on_ready(void *ctx, struct session *s)
{
	(void)ctx;
	printf("session %s\n", session_peer(s));
	fflush(stdout);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	printf("end %s\n", err_is_set(why) ? why->text : "in order");
	fflush(stdout);
	if (session == s)
		session = NULL; /* leaked: a test's program */
}

static const struct session_ops session_ops = {on_ready, on_open, on_session_end};

static void on_session(void *ctx, struct session *s)
{
	session = s;
	session_set_ops(s, &session_ops, NULL);
	on_ready(ctx, s);
}

static void connect_again(void)
{
	struct session_config config;
	struct err e = ERR_INIT;

	session_config_default(&config);
	session = session_connect(base, &dest, creds, &config, &session_ops, NULL, &e);
	if (!session)
		die("connect", &e);
}

static enum stream_class class_named(const char *name)
{
	for (int i = 0; i < STREAM_CLASSES; i++)
		if (strcmp(stream_class_name((enum stream_class)i), name) == 0)
			return (enum stream_class)i;
	die("no such class", NULL);
}

static void do_open(const char *class, const char *target)
{
	struct err e = ERR_INIT;
	struct lie *l = new_lie();

	announce(l, class_named(class), target);
	l->stream =
	    session ? session_open(session, class_named(class), target, &stream_ops, l, &e) : NULL;
	if (!l->stream) {
		printf("reset %u none %s\n", l->number, e.text);
		fflush(stdout);
	}
}

static void put(struct lie *l, const char *text, size_t len)
{
	if (bytes_append(&l->out, (const uint8_t *)text, len) < 0 ||
	    bytes_append(&l->out, (const uint8_t *)"\n", 1) < 0)
		die("memory", NULL);
}

static void put_file(struct lie *l, const char *path)
{
	char buf[65536];
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		die(path, NULL);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		if (bytes_append(&l->out, (const uint8_t *)buf, n) < 0)
			die("memory", NULL);
	fclose(f);
}

/* What is told of stream l. */
static void do_stream(struct lie *l, const char *verb, char *rest)
{
	unsigned long times;

	if (strcmp(verb, "say") == 0) {
		put(l, rest, strlen(rest));
	} else if (strcmp(verb, "file") == 0) {
		put_file(l, rest);
	} else if (strcmp(verb, "repeat") == 0) {
		times = strtoul(rest, &rest, 10);
		while (times--)
			put(l, rest + 1, strlen(rest + 1));
	} else if (strcmp(verb, "blob") == 0) {
		l->blob += strtoull(rest, NULL, 10);
	} else if (strcmp(verb, "eof") == 0) {
		l->ended = 1;
	} else if (strcmp(verb, "drop") == 0) {
		stream_reset(l->stream, CODE_CANCELLED, "dropped");
		l->stream = NULL;
		return;
	} else {
		die("no such word", NULL);
	}
	stream_ready(l->stream);
}

static void do_line(char *line)
{
	char *verb = strsep(&line, " "), *word = line ? strsep(&line, " ") : NULL;
	char none[1] = "";
	unsigned long n;

	if (!line)
		line = none;
	if (strcmp(verb, "quit") == 0) {
		fflush(stdout);
		_exit(0); /* like a process that is killed: what it holds is the kernel's to end */
	} else if (strcmp(verb, "connect") == 0) {
		connect_again();
	} else if (strcmp(verb, "hold") == 0) {
		holding = 1;
	} else if (strcmp(verb, "close") == 0) {
		if (session)
			session_close(session, CODE_NONE, "");
		session = NULL;
	} else if (strcmp(verb, "open") == 0 && word) {
		do_open(word, line);
	} else if (strcmp(verb, "relay") == 0 && word) {
		snprintf(relays[class_named(word)].path, sizeof(relays[0].path), "%s", line);
	} else {
		n = word ? strtoul(word, NULL, 10) : STREAMS_MAX;
		if (n >= count)
			die("no such stream", NULL);
		if (lies[n]->stream)
			do_stream(lies[n], verb, line);
	}
}

static void on_input(evutil_socket_t fd, short what, void *ctx)
{
	static char *buf;
	static size_t len, size;
	char *eol;
	ssize_t n;

	(void)what;
	(void)ctx;
	if (size - len < 65536) {
		size = size * 2 + 65536 * 2;
		buf = realloc(buf, size);
		if (!buf)
			die("memory", NULL);
	}
	n = read(fd, buf + len, size - len - 1);
	if (n <= 0)
		_exit(0);
	len += (size_t)n;
	while ((eol = memchr(buf, '\n', len)) != NULL) {
		*eol = '\0';
		do_line(buf);
		len -= (size_t)(eol + 1 - buf);
		memmove(buf, eol + 1, len);
	}
}

int main(int argc, char **argv)
{
	struct listener_config config;
	struct err e = ERR_INIT;
	struct addr a;
	int listens = argc == 4 && strcmp(argv[1], "listen") == 0;

	if (argc != 4)
		die("connect tls://HOST[:PORT] KEYFILE, or listen HOST:PORT KEYFILE", NULL);
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	creds = creds_load_psk(listens ? CREDS_SERVER : CREDS_CLIENT, argv[3], NULL, &e);
	if (!base || !creds)
		die("credentials", &e);
	listener_config_default(&config);
	config.session.features = FRAME_FEATURE_ALLOWED;
	if (listens) {
		if (addr_parse_listen(&a, argv[2], &e) < 0 ||
		    !listener_new(base, &a, creds, &config, on_session, NULL, &e))
			die("listen", &e);
		printf("listening\n");
		fflush(stdout);
	} else if (addr_parse_dest(&dest, argv[2], &e) < 0) {
		die("connect", &e);
	} else {
		connect_again();
	}
	event_add(event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL), NULL);
	event_base_dispatch(base);
	return 0;
}

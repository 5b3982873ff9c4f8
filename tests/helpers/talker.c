/*
 * Speaks a job's talk as a source would, word by word: for tests of what a destination
 * answers.
 *
 *     talker tls://HOST[:PORT] KEYFILE JOB WORD...
 *
 * A WORD is a cookie's kind, with the rest of its fields behind '=' as a JSON object
 * (recover={"state":"finish"}), or -SECONDS to wait. Each cookie is sent when the one before
 * it was answered, `ended` is not answered; every answer is printed as a line. Exit status 1
 * when the talk ends before all was said and answered.
 */
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/talk/cookie.h"
#include "control/talk/talk.h"
#include "control/wish/auth.h"
#include "tunnel/session.h"

static struct event_base *base;
static struct session *session;
static struct talk *talk;
static struct event *timer;
static const char *job;
static char **words;
static int status = 1;

static void say_next(void);

static void end(int code, const char *why)
{
	if (why)
		fprintf(stderr, "talker: %s\n", why);
	status = code;
	event_base_loopbreak(base);
}

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	(void)ctx;
	(void)t;
	(void)kind;
	json_dumpf(msg, stdout, JSON_COMPACT);
	puts("");
	fflush(stdout);
	say_next();
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	(void)ctx;
	(void)t;
	end(1, why->text);
}

static const struct talk_ops talk_ops = {on_cookie, on_talk_end};

/* KIND[=JSON] as a cookie of the job; NULL when it is none. */
static json_t *read_word(char *word, enum cookie_kind *kind)
{
	char *fields = strchr(word, '=');
	json_t *more, *msg;
	int k;

	if (fields)
		*fields++ = 0;
	for (k = 0; k < COOKIE_KINDS && strcmp(cookie_kind_name((enum cookie_kind)k), word) != 0;
	     k++)
		;
	more = fields ? json_loads(fields, 0, NULL) : json_object();
	if (k == COOKIE_KINDS || !json_is_object(more)) {
		json_decref(more);
		return NULL;
	}
	*kind = (enum cookie_kind)k;
	msg = cookie_new(*kind, job);
	json_object_update(msg, more);
	json_decref(more);
	return msg;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
	if (*words)
		say_next();
	else if (talk_flushed(talk))
		end(0, NULL);
	else
		event_add(timer, &(struct timeval){.tv_usec = 5000});
}

static void say_next(void)
{
	struct err e = ERR_INIT;
	enum cookie_kind kind = COOKIE_BEGIN;
	char *word = *words;
	json_t *msg;

	if (!word) {
		event_add(timer, &(struct timeval){0});
		return;
	}
	words++;
	if (*word == '-') {
		double s = atof(word + 1);

		event_add(timer,
			  &(struct timeval){.tv_sec = (time_t)s,
					    .tv_usec = (suseconds_t)((s - (double)(time_t)s) * 1e6)});
		return;
	}
	msg = read_word(word, &kind);
	if (!msg)
		end(2, "no such cookie");
	else if (talk_send(talk, msg, &e) < 0)
		end(2, e.text);
	else if (kind == COOKIE_ENDED)
		say_next();
}

static void on_ready(void *ctx, struct session *s)
{
	struct err e = ERR_INIT;

	(void)ctx;
	talk = talk_open(s, &talk_ops, NULL, &e);
	if (talk)
		say_next();
	else
		end(1, e.text);
}

static void on_open(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		    const char *target)
{
	(void)ctx;
	(void)s;
	(void)class;
	(void)target;
	stream_refuse(stream, CODE_REFUSED, "the talker takes no streams");
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	(void)ctx;
	(void)s;
	end(1, why->text);
}

static const struct session_ops session_ops = {on_ready, on_open, on_session_end};

int main(int argc, char **argv)
{
	struct session_config config;
	struct addr_dest dest;
	struct auth auth = {.psk = argc > 2 ? argv[2] : NULL};
	struct creds *creds = NULL;
	struct err e = ERR_INIT;

	if (argc < 5) {
		fputs("usage: talker DEST KEYFILE JOB WORD...\n", stderr);
		return 2;
	}
	job = argv[3];
	words = argv + 4;
	base = event_base_new();
	timer = evtimer_new(base, on_timer, NULL);
	session_config_default(&config);
	if (addr_parse_dest(&dest, argv[1], &e) == 0)
		creds = auth_load_client(&auth, &dest, &e);
	if (creds)
		session = session_connect(base, &dest, creds, &config, &session_ops, NULL, &e);
	if (session)
		event_base_dispatch(base);
	else
		fprintf(stderr, "talker: %s\n", e.text);
	talk_free(talk);
	if (session && talk)
		session_close(session, CODE_NONE, "all is said");
	else
		session_free(session);
	session_linger(base);
	event_free(timer);
	event_base_free(base);
	creds_free(creds);
	return status;
}

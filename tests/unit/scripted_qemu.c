/* See scripted_qemu.h. What fails here fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scripted_qemu.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "
    "\"package\": \"\"}, \"capabilities\": []}}\r\n";

static void on_ready(void *ctx, struct qmp *qmp)
{
	(void)qmp;
	((struct scripted_qemu *)ctx)->ready = true;
}

static void on_qmp_end(void *ctx, struct qmp *qmp, const struct err *why)
{
	(void)ctx;
	(void)qmp;
	(void)why;
}

static const struct qmp_ops ops = {on_ready, NULL, on_qmp_end};

static void say(struct scripted_qemu *q, const json_t *asked)
{
	const char *command = json_string_value(json_object_get(asked, "execute"));
	json_t *said;
	char *line;

	said = command && strcmp(command, "qmp_capabilities") == 0
		   ? json_pack("{s:{}}", "return")
		   : q->answer(q->ctx, command ? command : "", json_object_get(asked, "arguments"));
	if (!said)
		return;
	json_object_set(said, "id", json_object_get(asked, "id"));
	line = json_dumps(said, 0);
	assert_true(dprintf(q->peer, "%s\r\n", line) > 0);
	free(line);
	json_decref(said);
}

unsigned scripted_qemu_turn(struct scripted_qemu *q)
{
	struct timeval tv = {0, 5000};
	char buf[8192], *text = buf;
	unsigned asked = 0;
	ssize_t n;

	event_base_loopexit(q->base, &tv);
	event_base_dispatch(q->base);
	n = q->silent ? 0 : read(q->peer, buf, sizeof(buf) - 1);
	for (buf[n > 0 ? n : 0] = 0; *text;) {
		size_t len = strcspn(text, "\n");
		json_t *v = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL);

		text += len + (text[len] == '\n');
		if (!v)
			continue;
		say(q, v);
		asked++;
		json_decref(v);
	}
	return asked;
}

void scripted_qemu_up(struct scripted_qemu *q)
{
	struct err e = ERR_INIT;
	int pair[2];

	q->ready = false;
	q->base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	q->peer = pair[1];
	fcntl(q->peer, F_SETFL, O_NONBLOCK);
	q->qmp = qmp_new(q->base, pair[0], "test", 0, &ops, q, &e);
	assert_non_null(q->qmp);
	assert_true(write(q->peer, greeting, strlen(greeting)) > 0);
	for (unsigned i = 0; i < 100 && !q->ready; i++)
		scripted_qemu_turn(q);
	assert_true(q->ready);
}

void scripted_qemu_down(struct scripted_qemu *q)
{
	close(q->peer);
	event_base_free(q->base);
}

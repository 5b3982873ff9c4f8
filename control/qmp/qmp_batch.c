/* Several QMP commands one after the other: see qmp.h. A running batch belongs
 * to its struct qmp, in the list that qmp_free and qmp_forget empty. */
#include "control/qmp/qmp.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "control/qmp/qmp_i.h"

struct item {
	char name[64];
	json_t *args;
	int fd; /* for getfd, or -1; name is then the descriptor's */
	enum qmp_need need;
	json_t *result;
	struct err err;
};

struct qmp_batch {
	struct qmp_held held; /* the first member */
	struct item *items;
	unsigned count, next;
	bool running;
	bool failed; /* memory was short while it was filled */
	qmp_batch_end *fn;
	void *ctx;
	void *owned;
	void (*destroy)(void *owned);
};

struct qmp_batch *qmp_batch_new(void)
{
	return calloc(1, sizeof(struct qmp_batch));
}

void qmp_batch_free(struct qmp_batch *b)
{
	if (!b)
		return;
	if (b->running)
		LIST_REMOVE(&b->held, link);
	for (unsigned i = 0; i < b->count; i++) {
		json_decref(b->items[i].args);
		json_decref(b->items[i].result);
		fd_close(&b->items[i].fd);
	}
	free(b->items);
	if (b->owned)
		b->destroy(b->owned);
	free(b);
}

static unsigned add(struct qmp_batch *b, enum qmp_need need, const char *name, json_t *args, int fd)
{
	struct item *items = b ? realloc(b->items, (b->count + 1) * sizeof(*items)) : NULL;
	struct item *it;

	if (!items) {
		json_decref(args);
		fd_close(&fd);
		if (b)
			b->failed = true;
		return 0;
	}
	b->items = items;
	it = &items[b->count];
	memset(it, 0, sizeof(*it));
	strncpy(it->name, name, sizeof(it->name) - 1);
	it->args = args;
	it->fd = fd;
	it->need = need;
	return b->count++;
}

unsigned qmp_batch_add(struct qmp_batch *b, enum qmp_need need, const char *name, json_t *args)
{
	return add(b, need, name, args, -1);
}

unsigned qmp_batch_add_fd(struct qmp_batch *b, enum qmp_need need, const char *name, int fd)
{
	return add(b, need, name, NULL, fd);
}

void qmp_batch_own(struct qmp_batch *b, void *p)
{
	qmp_batch_own_with(b, p, free);
}

void qmp_batch_own_with(struct qmp_batch *b, void *p, void (*destroy)(void *p))
{
	b->owned = p;
	b->destroy = destroy;
}

static void finish(struct qmp_batch *b, struct qmp *q, const struct err *e)
{
	struct err none = ERR_INIT;

	LIST_REMOVE(&b->held, link);
	b->running = false;
	if (b->fn)
		b->fn(b->ctx, q, b, e ? e : &none);
	qmp_batch_free(b);
}

static void send_next(struct qmp_batch *b, struct qmp *q);

static void on_reply(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct qmp_batch *b = ctx;
	struct item *it = &b->items[b->next++];

	it->result = json_incref(result);
	it->err = *e;
	if (err_is_set(e) && (it->need == QMP_MUST || e->code == ERR_CLOSED)) {
		struct err why = *e;

		finish(b, q, &why);
		return;
	}
	send_next(b, q);
}

static void send_next(struct qmp_batch *b, struct qmp *q)
{
	struct item *it;

	if (b->next == b->count) {
		finish(b, q, NULL);
		return;
	}
	it = &b->items[b->next];
	if (it->fd >= 0) {
		int fd = it->fd;

		it->fd = -1;
		qmp_getfd(q, it->name, fd, on_reply, b);
	} else {
		json_t *args = it->args;

		it->args = NULL;
		qmp_command(q, it->name, args, on_reply, b);
	}
}

static void drop(struct qmp_held *h)
{
	qmp_batch_free((struct qmp_batch *)h);
}

void qmp_batch_run(struct qmp_batch *b, struct qmp *q, qmp_batch_end *fn, void *ctx)
{
	struct err e = ERR_INIT;

	/* A command that is missing must not look like one that was carried out. */
	if (!b || b->failed) {
		err_set(&e, ERR_SPACE, "no memory for QEMU's commands");
		if (fn)
			fn(ctx, q, b, &e);
		qmp_batch_free(b);
		return;
	}
	b->fn = fn;
	b->ctx = ctx;
	b->running = true;
	b->held.drop = drop;
	qmp_i_hold(q, &b->held);
	send_next(b, q);
}

json_t *qmp_batch_result(const struct qmp_batch *b, unsigned i)
{
	return b && i < b->count ? b->items[i].result : NULL;
}

const struct err *qmp_batch_err(const struct qmp_batch *b, unsigned i)
{
	static const struct err none = ERR_INIT;

	return b && i < b->count ? &b->items[i].err : &none;
}

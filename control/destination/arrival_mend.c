/*
 * Postcopy that broke: the twin, which waits for the rest of its RAM, is told to listen anew, and
 * the streams come again. The source is told how that ended.
 */
#include "control/destination/arrival_i.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
	RECOVER_EVERY_MS = 100,
	RECOVER_MS = 20000,
	ANSWER_MS = 6000, /* the source waits for 12 s */
};

/* QEMU takes broken postcopy up only once its devices are loaded. */
#define LOST_LOADING                                                                               \
	"the way broke in the instant when the VM's devices went over (postcopy), and the "        \
	"destination's QEMU has given up: neither host has all of its RAM any more"

json_t *arrival_recovered(const struct arrival *a, const char *outcome)
{
	json_t *msg = cookie_new(COOKIE_RECOVERED, a->id);

	json_object_set_new(msg, "host", json_string(arrival_record_host(a)));
	json_object_set_new(msg, "outcome", json_string(outcome));
	return msg;
}

void arrival_recover_not_yet(struct arrival *a, const char *reason)
{
	json_t *msg = arrival_recovered(a, "unsure"), *text = json_string(reason);

	json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "reason", text ? text : json_string("(not UTF-8)"));
	log_warn(&a->about, "the rest of the VM's RAM cannot be taken now: %s", reason);
	arrival_say(a, msg);
}

/* Its monitor is kept: it is the only one, and whoever asks again is to hear the same. */
void arrival_recover_lost(struct arrival *a)
{
	json_t *msg = arrival_recovered(a, "unsure");

	json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "status", json_string("failed"));
	json_object_set_new(msg, "reason", json_string(LOST_LOADING));
	log_warn(&a->about, "%s", LOST_LOADING);
	arrival_say(a, msg);
}

/* The source is told how that ended: why is NULL when the twin listens. */
static void answer_source(struct arrival *a, const char *why)
{
	json_t *msg = a->ram.answer;

	a->ram.answer = NULL;
	if (!msg)
		return;
	if (why) {
		json_decref(msg);
		arrival_recover_not_yet(a, why);
	} else {
		arrival_say(a, msg);
	}
}

/* All of it had come before the way broke. */
static bool has_all(const struct arrival *a)
{
	return strcmp(a->ram.status, "completed") == 0;
}

static void on_recovering(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct arrival *a = ctx;

	(void)q;
	(void)result;
	if (a->state != ARRIVAL_RUNS || (!a->ram.count && !a->ram.answer))
		return;
	if (err_is_set(e) && a->ram.answer && has_all(a)) {
		json_object_del(a->ram.answer, "postcopy");
		a->postcopy = ARRIVAL_POSTCOPY_NOT;
		arrival_ram_remove(a);
		answer_source(a, NULL);
		arrival_deadline(a, ARRIVAL_CONFIRM_MS);
		return;
	}
	if (err_is_set(e) && a->ram.answer && a->runs.twin == ARRIVAL_TWIN_LOADS &&
	    strcmp(a->ram.status, "failed") == 0) {
		arrival_recover_lost(a);
		arrival_ram_drop(a, e->text);
		return;
	}
	if (err_is_set(e) && clock_ms() < a->ram.recover_until_ms) {
		log_debug(&a->about, "postcopy: %s", e->text);
		arrival_look(a, RECOVER_EVERY_MS); /* it has not seen yet that the old one broke */
		return;
	}
	if (err_is_set(e)) {
		log_warn(&a->about, "postcopy is not taken up: %s", e->text);
		answer_source(a, e->text);
		arrival_ram_drop(a, e->text);
		return;
	}
	log_info(&a->about, a->ram.answer ? "postcopy: QEMU listens for new streams"
					  : "postcopy goes on over new streams");
	arrival_ram_join(a);
	answer_source(a, NULL);
}

void arrival_ram_recover_look(struct arrival *a)
{
	char uri[sizeof(a->ram.path) + 8];

	if ((!a->ram.count && !a->ram.answer) || a->ram.listens || !a->qemu.qmp)
		return;
	snprintf(uri, sizeof(uri), "unix:%s", a->ram.path);
	/* Out of band: a guest that waits for a page can hold up QEMU's main loop. */
	qmp_command_oob(a->qemu.qmp, "migrate-recover", json_pack("{s:s}", "uri", uri),
			on_recovering, a);
}

void arrival_ram_listen_again(struct arrival *a, json_t *answer)
{
	struct err e = ERR_INIT;

	a->ram.answer = answer;
	if (arrival_ram_make_folder(a, &e) < 0) {
		answer_source(a, e.text);
		return;
	}
	a->ram.recover_until_ms = clock_ms() + ANSWER_MS;
	arrival_ram_recover_look(a);
}

void arrival_ram_take_again(struct arrival *a, struct session *s, struct stream *stream,
			    const char *number)
{
	struct err e = ERR_INIT;
	bool begins;
	size_t k;

	if (!arrival_ram_number(a, stream, number, &k))
		return;
	if (k == 0 && a->ram.count && a->ram.listens)
		arrival_ram_drop(a, "postcopy is taken up anew");
	/* (Where the source asked again, the twin listens already, or is being told to.) */
	begins = k == 0 && !a->ram.listens && !a->ram.answer;
	if (!arrival_ram_is_next(a, stream, k))
		return;
	if (!arrival_ram_places(a) || (begins && arrival_ram_make_folder(a, &e) < 0)) {
		stream_refuse(stream, CODE_INTERNAL,
			      err_is_set(&e) ? e.text : "no memory for RAM's streams");
		return;
	}
	arrival_ram_hold(a, s, stream);
	if (begins) {
		a->ram.recover_until_ms = clock_ms() + RECOVER_MS;
		arrival_ram_recover_look(a);
	}
}

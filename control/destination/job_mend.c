/*
 * Postcopy that broke: the twin, which waits for the rest of its RAM, is told to listen anew, and
 * the streams come again. The source is told how that ended.
 */
#include "control/destination/job_i.h"

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

json_t *job_recovered(const struct job *j, const char *outcome)
{
	json_t *msg = cookie_new(COOKIE_RECOVERED, j->id);

	json_object_set_new(msg, "host", json_string(job_record_host(j)));
	json_object_set_new(msg, "outcome", json_string(outcome));
	return msg;
}

void job_recover_not_yet(struct job *j, const char *reason)
{
	json_t *msg = job_recovered(j, "unsure"), *text = json_string(reason);

	json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "reason", text ? text : json_string("(not UTF-8)"));
	log_warn(&j->about, "the rest of the VM's RAM cannot be taken now: %s", reason);
	job_say(j, msg);
}

/* Its monitor is kept: it is the only one, and whoever asks again is to hear the same. */
void job_recover_lost(struct job *j)
{
	json_t *msg = job_recovered(j, "unsure");

	json_object_set_new(msg, "postcopy", json_true());
	json_object_set_new(msg, "status", json_string("failed"));
	json_object_set_new(msg, "reason", json_string(LOST_LOADING));
	log_warn(&j->about, "%s", LOST_LOADING);
	job_say(j, msg);
}

/* The source is told how that ended: why is NULL when the twin listens. */
static void answer_source(struct job *j, const char *why)
{
	json_t *msg = j->ram.answer;

	j->ram.answer = NULL;
	if (!msg)
		return;
	if (why) {
		json_decref(msg);
		job_recover_not_yet(j, why);
	} else {
		job_say(j, msg);
	}
}

/* All of it had come before the way broke. */
static bool has_all(const struct job *j)
{
	return strcmp(j->ram.status, "completed") == 0;
}

static void on_recovering(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct job *j = ctx;

	(void)q;
	(void)result;
	if (j->state != JOB_RUNS || (!j->ram.count && !j->ram.answer))
		return;
	if (err_is_set(e) && j->ram.answer && has_all(j)) {
		json_object_del(j->ram.answer, "postcopy");
		j->postcopy = JOB_POSTCOPY_NOT;
		job_ram_remove(j);
		answer_source(j, NULL);
		job_deadline(j, JOB_CONFIRM_MS);
		return;
	}
	if (err_is_set(e) && j->ram.answer && j->runs.twin == JOB_TWIN_LOADS &&
	    strcmp(j->ram.status, "failed") == 0) {
		job_recover_lost(j);
		job_ram_drop(j, e->text);
		return;
	}
	if (err_is_set(e) && clock_ms() < j->ram.recover_until_ms) {
		log_debug(&j->about, "postcopy: %s", e->text);
		job_look(j, RECOVER_EVERY_MS); /* it has not seen yet that the old one broke */
		return;
	}
	if (err_is_set(e)) {
		log_warn(&j->about, "postcopy is not taken up: %s", e->text);
		answer_source(j, e->text);
		job_ram_drop(j, e->text);
		return;
	}
	log_info(&j->about, j->ram.answer ? "postcopy: QEMU listens for new streams"
					  : "postcopy goes on over new streams");
	job_ram_join(j);
	answer_source(j, NULL);
}

void job_ram_recover_look(struct job *j)
{
	char uri[sizeof(j->ram.path) + 8];

	if ((!j->ram.count && !j->ram.answer) || j->ram.listens || !j->qemu.qmp)
		return;
	snprintf(uri, sizeof(uri), "unix:%s", j->ram.path);
	/* Out of band: a guest that waits for a page can hold up QEMU's main loop. */
	qmp_command_oob(j->qemu.qmp, "migrate-recover", json_pack("{s:s}", "uri", uri),
			on_recovering, j);
}

void job_ram_listen_again(struct job *j, json_t *answer)
{
	struct err e = ERR_INIT;

	j->ram.answer = answer;
	if (job_ram_make_folder(j, &e) < 0) {
		answer_source(j, e.text);
		return;
	}
	j->ram.recover_until_ms = clock_ms() + ANSWER_MS;
	job_ram_recover_look(j);
}

void job_ram_take_again(struct job *j, struct session *s, struct stream *stream, const char *number)
{
	struct err e = ERR_INIT;
	bool begins;
	size_t k;

	if (!job_ram_number(j, stream, number, &k))
		return;
	if (k == 0 && j->ram.count && j->ram.listens)
		job_ram_drop(j, "postcopy is taken up anew");
	/* (Where the source asked again, the twin listens already, or is being told to.) */
	begins = k == 0 && !j->ram.listens && !j->ram.answer;
	if (!job_ram_is_next(j, stream, k))
		return;
	if (!job_ram_places(j) || (begins && job_ram_make_folder(j, &e) < 0)) {
		stream_refuse(stream, CODE_INTERNAL,
			      err_is_set(&e) ? e.text : "no memory for RAM's streams");
		return;
	}
	job_ram_hold(j, s, stream);
	if (begins) {
		j->ram.recover_until_ms = clock_ms() + RECOVER_MS;
		job_ram_recover_look(j);
	}
}

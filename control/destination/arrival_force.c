/*
 * Before the decision, and what postcopy makes of it: once the twin has said that it is active the
 * source VM cannot go on any more, so nobody undoes the arrival, and where its source has gone, or
 * has failed, it is finished without.
 */
#include "control/destination/arrival_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum {
	ALONE_EVERY_MS = 100, /* looks at a twin that nobody waits for */
	ARRIVE_MS = 20000,    /* the last of RAM and the devices */
};

/* "postcopy-active" says that the twin has all that it takes to go on but RAM: the contents of its
 * devices have come in one piece, and it begins to load them. That may take a while, as a device
 * may read pages of the guest's that are still on the source. */
void arrival_force(struct arrival *a)
{
	struct err e = ERR_INIT;

	if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN)
		return;
	/* What it goes on with is to be whole before nobody guards it any more. */
	arrival_net_attach_all(a);
	if (arrival_ports_start(a, NETPORT_SCRIPT, &e) < 0)
		log_error(&a->about, "%s: the VM goes on without it; put it there yourself",
			  e.text);
	if (arrival_is(a, ARRIVAL_RECEIVES))
		a->run = a->desc.running;
	/* From here on the twin is not killed, whether that can be written down now or not. */
	a->postcopy = ARRIVAL_POSTCOPY_BEGUN;
	arrival_record_keep(a, "decided");
	guardian_commit(a->guardian);
	a->guardian = NULL;
	POINT("d-postcopy");
}

/* In postcopy the VM is here once its devices are; its RAM follows while it runs. */
bool arrival_is_complete(const struct arrival *a, const char *migration, const char *status)
{
	if (!migration || !status || strcmp(status, "inmigrate") == 0)
		return false;
	return strcmp(migration, "completed") == 0 ||
	       (a->postcopy && strncmp(migration, "postcopy-", 9) == 0);
}

void arrival_take_migration(struct arrival *a, const char *name, const json_t *data)
{
	arrival_take_status(a, name, data);
	if (strcmp(a->ram.status, "postcopy-active") == 0)
		arrival_force(a);
}

void arrival_take_resume(struct arrival *a, const char *name, const json_t *data)
{
	(void)name;
	(void)data;
	a->finish.resumed_us = clock_us();
}

/* The source has gone, or has failed: it is finished without. why is for the source, if it can
 * still be told. */
static void finish_alone(struct arrival *a, const struct err *why)
{
	arrival_no_suspect(a);
	if (!a->qemu.qmp) {
		if (!arrival_is(a, ARRIVAL_RECEIVES) || arrival_enter(a, ARRIVAL_FINISHING))
			arrival_leave_to_journal(a, why->text);
	} else if (a->state == ARRIVAL_FINISHING) {
		arrival_look(a, ALONE_EVERY_MS);
	} else {
		arrival_enter(a, ARRIVAL_FINISHING);
	}
}

void arrival_fail_or_finish(struct arrival *a, const struct err *why)
{
	if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN)
		finish_alone(a, why);
	else
		arrival_return(a, ARRIVAL_WORD_ABORT, why);
}

/* The source has given up: undo, and say when it is done. */
void arrival_take_abort(struct arrival *a, const json_t *msg)
{
	struct err e = ERR_INIT;

	cookie_get_abort(msg, &e);
	log_info(&a->about, "given up by the source: %s", e.text);
	if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN)
		finish_alone(a, &e);
	else
		arrival_return(a, ARRIVAL_WORD_ABORTED, &e);
}

void arrival_take_finish(struct arrival *a, const json_t *msg)
{
	struct err e = ERR_INIT;

	a->finish.came_us = clock_us();
	POINT("d-finish");
	if (!a->ram.count) {
		err_set(&e, ERR_PROTOCOL,
			"the source says that all was sent, and has opened no stream for RAM");
		arrival_fail(a, &e);
		return;
	}
	a->run = json_is_true(json_object_get(msg, "run"));
	if (!a->postcopy && json_is_true(json_object_get(msg, "postcopy")))
		a->postcopy = ARRIVAL_POSTCOPY_SAID;
	a->finish.until_ms = clock_ms() + ARRIVE_MS;
	arrival_enter(a, ARRIVAL_FINISHING);
}

void arrival_source_gone(struct arrival *a, const struct err *why)
{
	if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN)
		arrival_drop_streams(a, why->text); /* QEMU sees at once that none will come */
	arrival_fail(a, why);
}

void arrival_qemu_gone(struct arrival *a, const struct err *why)
{
	struct err e = *why;

	arrival_prefix_gone(a, &e);
	if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN) /* nobody is left to be asked */
		arrival_drop_qmp(a);
	if (a->wish.launched)
		arrival_suspect(a, &e); /* its last words follow with its exit */
	else
		arrival_fail(a, &e);
}

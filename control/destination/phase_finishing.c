/*
 * Finish: QEMU is asked whether everything has arrived; then the decision, which is made once and
 * by nobody else: it is written to the journal, and the next phase is `decided`.
 */
#include "control/destination/arrival_i.h"

#include <string.h>

#include "base/clock.h"
#include "base/point.h"

enum {
	LOOK_MS = 5,	      /* between looks: the guest stands still meanwhile */
	ALONE_EVERY_MS = 100, /* looks at a twin that nobody waits for */
};

static void write_down(struct arrival *a)
{
	struct err e = ERR_INIT;

	if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN) {
		arrival_record_keep(a,
				    "decided"); /* nobody else can run it: it does, in any case */
	} else if (arrival_record_write(a, "decided", &e) < 0) {
		err_prefix(&e, "the decision cannot be written down on the destination");
		arrival_fail(a, &e); /* undone: the source runs on */
		return;
	}
	POINT("d-decided");
	arrival_enter(a, ARRIVAL_DECIDED);
}

/* (In postcopy its networks are there already: arrival_force.) */
static void decide(struct arrival *a)
{
	struct err e = ERR_INIT;

	if (a->postcopy != ARRIVAL_POSTCOPY_BEGUN &&
	    (arrival_net_attach(a, &e) < 0 || arrival_ports_start(a, NETPORT_SCRIPT, &e) < 0))
		arrival_fail(a, &e); /* undone: the source runs on */
	else if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN || !arrival_ports_wait(a, write_down))
		write_down(a);
}

static void on_look(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	const char *migration =
	    json_string_value(json_object_get(qmp_batch_result(b, 0), "status"));
	const char *status = json_string_value(json_object_get(qmp_batch_result(b, 1), "status"));
	struct err why = *e;

	(void)q;
	if (a->state != ARRIVAL_FINISHING)
		return;
	if (err_is_set(&why)) {
		arrival_suspect(a, &why);
		return;
	}
	if (arrival_is_complete(a, migration, status)) {
		if (strncmp(migration, "postcopy-", 9) == 0)
			arrival_force(a); /* (its event may come a moment later) */
		if (arrival_images_there(a, &why) == 0) {
			decide(a);
		} else if (!a->postcopy) {
			arrival_fail(a, &why);
		} else { /* it can live here only, for as long as its QEMU does */
			log_error(&a->about, "%s: copy it out of the running VM", why.text);
			decide(a);
		}
		return;
	}
	/* Its devices may wait for pages: it is given up only when it ends itself. */
	if (a->postcopy == ARRIVAL_POSTCOPY_BEGUN) {
		arrival_look(a, a->talk ? LOOK_MS : ALONE_EVERY_MS);
		return;
	}
	/* The source says "postcopy" once it has sent the devices, this QEMU only when it has them:
	 * until then it is the only one that can get them, however long that takes. */
	if ((migration && strcmp(migration, "failed") == 0) ||
	    (!a->postcopy && clock_ms() > a->finish.until_ms)) {
		err_set(&why, ERR_QEMU,
			"not everything has arrived: the destination QEMU's "
			"migration is in state %s",
			migration ? migration : "unknown");
		arrival_fail(a, &why);
		return;
	}
	arrival_look(a, LOOK_MS);
}

static void look_at_twin(struct arrival *a)
{
	struct qmp_batch *b;

	if (!a->qemu.qmp) /* postcopy has begun: then it is left to the journal */
		return;
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-migrate", NULL);
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_run(b, a->qemu.qmp, on_look, a);
}

static const struct arrival_cookie cookies[] = {{COOKIE_ABORT, arrival_take_abort}, {0}};

static const struct arrival_event events[] = {
    {"MIGRATION", arrival_take_migration},
    {"RESUME", arrival_take_resume},
    {0},
};

const struct arrival_phase arrival_phase_finishing = {
    .name = "finishing",
    .to = ARRIVAL_TO(DECIDED) | ARRIVAL_TO(OVER),
    .is = ARRIVAL_OPEN | ARRIVAL_CLAIMS,
    .enter = look_at_twin,
    .deadline = {.none = "each look at QEMU goes by it: 20 s from `finish` on, and in postcopy as "
			 "long as the twin takes"},
    .look = look_at_twin,
    .cookies = cookies,
    .events = events,
    .fail = arrival_fail_or_finish,
    .talk_ended = arrival_source_gone,
    .qemu_ended = arrival_qemu_gone,
};

/*
 * After the decision the twin has gone, or its monitor has: whether its process has, too, is found
 * out. Nobody may resume the source before that is sure.
 */
#include "control/destination/arrival_i.h"

#include "base/clock.h"

enum {
	GONE_EVERY_MS = 20, /* between looks at a twin whose monitor has gone */
	GONE_MS = 5000,
};

void arrival_lost(struct arrival *a, const struct err *why)
{
	struct err e = *why, ignored = ERR_INIT, keep = ERR_INIT;

	log_error(&a->about, "the VM has come and gone: %s", e.text);
	arrival_drop_streams(a, e.text);
	proc_kill(a->qemu.proc);
	a->qemu.proc = NULL;
	arrival_drop_qmp(a);
	if (!arrival_record_may_drop(a->record, &keep)) {
		log_error(&a->about, "%s", keep.text);
		arrival_leave_to_journal(a, keep.text);
		return;
	}
	arrival_record_clean(a->service, a->record);
	arrival_record_remove(a);
	if (a->talk)
		talk_send(a->talk, cookie_new_abort(a->id, &e), &ignored);
	arrival_over(a);
}

void arrival_lost_look(struct arrival *a)
{
	if (a->record && arrival_record_twin(a->record) == ARRIVAL_TWIN_GONE) {
		arrival_lost(a, &a->core.suspect);
		return;
	}
	if (clock_ms() < a->lost.until_ms) {
		arrival_look(a, GONE_EVERY_MS);
		return;
	}
	log_error(&a->about,
		  "%s, and its process lives: the job stays in the journal until its source asks "
		  "again",
		  a->core.suspect.text);
	arrival_leave_to_journal(a, a->core.suspect.text);
}

void arrival_missing(struct arrival *a, const struct err *why)
{
	arrival_drop_qmp(a);
	if (a->lost.until_ms)
		return;
	if (!err_is_set(&a->core.suspect))
		a->core.suspect = *why;
	arrival_no_deadline(a);
	a->lost.until_ms = clock_ms() + GONE_MS;
	arrival_lost_look(a);
}

void arrival_twin_missing(struct arrival *a, const struct err *why)
{
	struct err e = *why;

	arrival_prefix_gone(a, &e);
	arrival_missing(a, &e);
}

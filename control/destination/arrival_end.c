/* An arrival is freed, whatever it is in: what is not decided is left to its guardian, which
 * undoes. */
#include "control/destination/arrival_i.h"

#include <stdlib.h>

#include "base/fd.h"

void arrival_free(struct arrival *a)
{
	if (!a)
		return;
	if (a->saving.state)
		arrival_record_keep(a, a->saving.state); /* the last time */
	arrival_check_drop(a);
	arrival_drop_streams(a, "the job is over");
	arrival_remove_nbd(a);
	if (*a->route)
		router_remove_service(a->service->router, a->route);
	if (a->session)
		router_unwatch_session(a->service->router, a->session, arrival_session_ended, a);
	talk_free(a->talk);
	qmp_free(a->qemu.qmp);
	proc_kill(a->prepare.tool);
	if (a->qemu.proc && (!arrival_is(a, ARRIVAL_OPEN) || a->postcopy == ARRIVAL_POSTCOPY_BEGUN))
		vms_add(a->service->vms, a->qemu.proc, a->twin.dir);
	else
		proc_kill(a->qemu.proc);
	guardian_leave(a->guardian); /* before the decision: it undoes all, the record last */
	journal_close(a->journal);
	json_decref(a->record);
	arrival_core_fini(a);
	if (a->saving.ev)
		event_free(a->saving.ev);
	if (a->runs.ev_arrive)
		event_free(a->runs.ev_arrive);
	if (a->over.ev_reap)
		event_free(a->over.ev_reap);
	arrival_ports_drop(a);
	arrival_net_drop(a);
	arrival_secrets_drop(a);
	fd_close(&a->prepare.scratch_fd);
	fd_close(&a->prepare.hook.in);
	fd_close(&a->prepare.hook.out);
	fd_close(&a->qemu.log_fd);
	if (a->wish.described)
		vmdesc_fini(&a->desc);
	twin_fini(&a->twin);
	for (size_t i = 0; i < a->disk_count; i++)
		free(a->disks[i].raw_file);
	free(a->disks);
	rights_unref(a->rights);
	TAILQ_REMOVE(&a->service->arrivals, a, listed);
	share_leave(&a->service->shares, a->share);
	free(a);
}

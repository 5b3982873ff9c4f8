/* A job is freed, whatever it is in: what is not decided is left to its guardian, which undoes. */
#include "control/destination/job_i.h"

#include <stdlib.h>

#include "base/fd.h"

void job_free(struct job *j)
{
	if (!j)
		return;
	if (j->saving.state)
		job_record_keep(j, j->saving.state); /* the last time */
	job_check_drop(j);
	job_drop_streams(j, "the job is over");
	job_remove_nbd(j);
	if (*j->route)
		router_remove_service(j->service->router, j->route);
	if (j->session)
		router_unwatch_session(j->service->router, j->session, job_session_ended, j);
	talk_free(j->talk);
	qmp_free(j->qemu.qmp);
	proc_kill(j->prepare.tool);
	if (j->qemu.proc && (!job_is(j, JOB_OPEN) || j->postcopy == JOB_POSTCOPY_BEGUN))
		vms_add(j->service->vms, j->qemu.proc, j->twin.dir);
	else
		proc_kill(j->qemu.proc);
	guardian_leave(j->guardian); /* before the decision: it undoes all, the record last */
	journal_close(j->journal);
	json_decref(j->record);
	job_core_fini(j);
	if (j->saving.ev)
		event_free(j->saving.ev);
	if (j->runs.ev_arrive)
		event_free(j->runs.ev_arrive);
	if (j->over.ev_reap)
		event_free(j->over.ev_reap);
	job_secrets_drop(j);
	fd_close(&j->prepare.scratch_fd);
	fd_close(&j->prepare.hook.in);
	fd_close(&j->prepare.hook.out);
	fd_close(&j->qemu.log_fd);
	if (j->wish.described)
		vmdesc_fini(&j->desc);
	twin_fini(&j->twin);
	for (size_t i = 0; i < j->disk_count; i++)
		free(j->disks[i].raw_file);
	free(j->disks);
	rights_unref(j->rights);
	TAILQ_REMOVE(&j->service->jobs, j, listed);
	share_leave(&j->service->shares, j->share);
	free(j);
}

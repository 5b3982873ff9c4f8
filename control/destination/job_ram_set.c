/* RAM's settings on the destination: what the twin is told beforehand. */
#include "control/destination/job_i.h"

#include <string.h>

static void set(json_t *list, const json_t *there, const char *name, bool on)
{
	if (on || capabilities_know(there, name))
		capabilities_add(list, name, on);
}

enum { Q_CAPABILITIES, Q_PARAMETERS };

/* What QEMU's refusal means, and the mend. */
static void explain(const struct job *j, unsigned failed, struct err *why)
{
	if (failed == Q_PARAMETERS && j->ram.compression)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --compression %s (%s): use one "
			"that is built with it, or another compression",
			j->twin.qemu_version, j->ram.compression, why->text);
	else if (j->ram.postcopy && j->ram.multifd)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --multifd and --postcopy together "
			"(%s): QEMU 10.2 and newer can",
			j->twin.qemu_version, why->text);
	else if (j->ram.postcopy)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --postcopy (%s): its user must "
			"be allowed userfaultfd (root, or sysctl vm.unprivileged_userfaultfd=1), "
			"and the VM's RAM must be of a kind that it works with",
			j->twin.qemu_version, why->text);
	else
		err_prefix(why, "the destination's QEMU %s is not fit for this migration",
			   j->twin.qemu_version);
}

static void on_set(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	struct err why = *e;

	(void)q;
	if (j->state != JOB_PREPARING)
		return;
	if (err_is_set(&why)) {
		explain(
		    j, err_is_set(qmp_batch_err(b, Q_CAPABILITIES)) ? Q_CAPABILITIES : Q_PARAMETERS,
		    &why);
		job_fail(j, &why);
		return;
	}
	job_export(j);
}

void job_ram_prepare(struct job *j, const json_t *there)
{
	struct qmp_batch *b = qmp_batch_new();
	json_t *list = json_array();

	/* A channel of its own for urgent pages where both have it; beside multifd the order
	 * of so many channels is nothing to build on. */
	j->ram.preempt = j->ram.preempt && j->ram.postcopy && !j->ram.multifd &&
			 capabilities_know(there, "postcopy-preempt");
	set(list, there, "events", true);
	set(list, there, "return-path", true);
	set(list, there, "pause-before-switchover", true);
	set(list, there, "multifd", j->ram.multifd > 0);
	set(list, there, "xbzrle", j->ram.xbzrle);
	set(list, there, "postcopy-ram", j->ram.postcopy);
	set(list, there, "postcopy-preempt", j->ram.preempt);
	qmp_batch_add(b, QMP_MUST, "migrate-set-capabilities",
		      json_pack("{s:o}", "capabilities", list));
	if (j->ram.multifd)
		qmp_batch_add(b, QMP_MUST, "migrate-set-parameters",
			      json_pack("{s:i,s:s}", "multifd-channels", (int)j->ram.multifd,
					"multifd-compression",
					j->ram.compression ? j->ram.compression : "none"));
	qmp_batch_run(b, j->qemu.qmp, on_set, j);
}

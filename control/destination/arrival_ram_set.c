/* RAM's settings on the destination: what the twin is told beforehand. */
#include "control/destination/arrival_i.h"

#include <string.h>

static void set(json_t *list, const json_t *there, const char *name, bool on)
{
	if (on || capabilities_know(there, name))
		capabilities_add(list, name, on);
}

enum { Q_CAPABILITIES, Q_PARAMETERS };

/* What QEMU's refusal means, and the mend. */
static void explain(const struct arrival *a, unsigned failed, struct err *why)
{
	if (failed == Q_PARAMETERS && a->ram.compression)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --compression %s (%s): use one "
			"that is built with it, or another compression",
			a->twin.qemu_version, a->ram.compression, why->text);
	else if (a->ram.postcopy && a->ram.multifd)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --multifd and --postcopy together "
			"(%s): QEMU 10.2 and newer can",
			a->twin.qemu_version, why->text);
	else if (a->ram.postcopy)
		err_set(why, ERR_REFUSED,
			"the destination's QEMU %s cannot do --postcopy (%s): its user must "
			"be allowed userfaultfd (root, or sysctl vm.unprivileged_userfaultfd=1), "
			"and the VM's RAM must be of a kind that it works with",
			a->twin.qemu_version, why->text);
	else
		err_prefix(why, "the destination's QEMU %s is not fit for this migration",
			   a->twin.qemu_version);
}

static void on_set(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	struct err why = *e;

	(void)q;
	if (a->state != ARRIVAL_PREPARING)
		return;
	if (err_is_set(&why)) {
		explain(
		    a, err_is_set(qmp_batch_err(b, Q_CAPABILITIES)) ? Q_CAPABILITIES : Q_PARAMETERS,
		    &why);
		arrival_fail(a, &why);
		return;
	}
	arrival_export(a);
}

void arrival_ram_prepare(struct arrival *a, const json_t *there)
{
	struct qmp_batch *b = qmp_batch_new();
	json_t *list = json_array();

	/* A channel of its own for urgent pages where both have it; beside multifd the order
	 * of so many channels is nothing to build on. */
	a->ram.preempt = a->ram.preempt && a->ram.postcopy && !a->ram.multifd &&
			 capabilities_know(there, "postcopy-preempt");
	set(list, there, "events", true);
	set(list, there, "return-path", true);
	set(list, there, "pause-before-switchover", true);
	set(list, there, "multifd", a->ram.multifd > 0);
	set(list, there, "xbzrle", a->ram.xbzrle);
	set(list, there, "postcopy-ram", a->ram.postcopy);
	set(list, there, "postcopy-preempt", a->ram.preempt);
	qmp_batch_add(b, QMP_MUST, "migrate-set-capabilities",
		      json_pack("{s:o}", "capabilities", list));
	if (a->ram.multifd)
		qmp_batch_add(b, QMP_MUST, "migrate-set-parameters",
			      json_pack("{s:i,s:s}", "multifd-channels", (int)a->ram.multifd,
					"multifd-compression",
					a->ram.compression ? a->ram.compression : "none"));
	qmp_batch_run(b, a->qemu.qmp, on_set, a);
}

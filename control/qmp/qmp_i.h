/* What qmp.c has for qmp_batch.c, which stands on it. */
#ifndef ADIT_CONTROL_QMP_QMP_I_H
#define ADIT_CONTROL_QMP_QMP_I_H

#include <sys/queue.h>

struct qmp;

/* What a connection owns while it runs over it. Its owner's part of it; drop frees it. */
struct qmp_held {
	LIST_ENTRY(qmp_held) link; /* removed by drop, or when it has come to its end */
	void (*drop)(struct qmp_held *h);
};

LIST_HEAD(qmp_held_list, qmp_held);

/* From now on h is q's, until it is removed from the list: qmp_free and qmp_forget drop it, after
 * the callbacks of all commands. */
void qmp_i_hold(struct qmp *q, struct qmp_held *h);

#endif

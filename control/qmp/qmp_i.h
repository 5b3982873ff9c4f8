/* What qmp.c and qmp_batch.c share. */
#ifndef ADIT_CONTROL_QMP_QMP_I_H
#define ADIT_CONTROL_QMP_QMP_I_H

#include <sys/queue.h>

struct qmp;
struct qmp_batch;

LIST_HEAD(qmp_batch_list, qmp_batch);

/* The batches that run on q. */
struct qmp_batch_list *qmp_i_batches(struct qmp *q);

/* Frees them all; their commands' callbacks must have been dropped. */
void qmp_i_batches_drop(struct qmp *q);

#endif

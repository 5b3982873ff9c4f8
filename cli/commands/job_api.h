/* The API of one adit migrate, so that adit jobs and its kin know of it: RUN_DIR/jobs/JOB.sock */
#ifndef ADIT_CLI_COMMANDS_JOB_API_H
#define ADIT_CLI_COMMANDS_JOB_API_H

#include "base/err.h"

struct event_base;
struct job_api;
struct task;
struct tasks;

/* For the task t, the only one of tasks; both are borrowed until job_api_close. NULL with *e,
 * which does not keep a migration from going on. */
struct job_api *job_api_open(struct event_base *base, struct tasks *tasks, const struct task *t,
			     struct err *e);

/* Lets who follows the job know of its end, for half a second at most, and removes the
 * socket. NULL is fine. */
void job_api_close(struct job_api *j);

#endif

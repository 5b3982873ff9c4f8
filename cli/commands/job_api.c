/* See job_api.h. */
#include "cli/commands/job_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "cli/common/run_dir.h"
#include "control/api.h"

struct job_api {
	struct api *api;
	char dir[ADDR_UNIX_MAX + 1];
};

struct job_api *job_api_open(struct event_base *base, struct tasks *tasks, const struct task *t,
			     struct err *e)
{
	struct api_config config = {.tasks = tasks};
	struct job_api *j = calloc(1, sizeof(*j));
	struct addr at = {.kind = ADDR_UNIX};
	char run_dir[ADDR_UNIX_MAX + 1];
	int rc = -1;

	if (!j) {
		err_set(e, ERR_SPACE, "memory is short");
		return NULL;
	}
	if (run_dir_prepare(NULL, run_dir, sizeof(run_dir), e) < 0)
		goto fail;
	j->api = api_new(base, &config, e);
	/* Another job that ends may take the folder away, once it is empty. */
	for (int tries = 0; j->api && tries < 5 && rc < 0; tries++) {
		*e = (struct err)ERR_INIT;
		if (run_dir_jobs(run_dir, 1, j->dir, sizeof(j->dir), e) < 0)
			break;
		if ((size_t)snprintf(at.path, sizeof(at.path), "%s/%s.sock", j->dir, task_id(t)) >=
		    sizeof(at.path)) {
			err_set(e, ERR_USAGE, "%s: the path is too long for a socket", j->dir);
			break;
		}
		rc = api_listen(j->api, &at, NULL, e);
	}
	if (rc == 0)
		return j;
fail:
	job_api_close(j);
	return NULL;
}

void job_api_close(struct job_api *j)
{
	if (!j)
		return;
	if (j->api)
		api_linger(j->api);
	api_free(j->api);
	if (j->dir[0])
		rmdir(j->dir);
	free(j);
}

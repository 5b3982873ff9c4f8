/* See jobs.h. */
#include "cli/commands/jobs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands/api_client.h"
#include "cli/common/run_dir.h"

const char *const jobs_options_apart[] = {"api", "run-dir", NULL};

int jobs_options_take(struct jobs_options *o, int option, const char *value, struct err *e)
{
	switch (option) {
	case JOBS_OPTION_API:
		if (strncmp(value, "tcp:", 4) == 0 || strncmp(value, "unix:", 5) == 0 ||
		    strstr(value, "://"))
			return err_set(e, ERR_USAGE,
				       "--api %s: give the path of the API's unix socket, as in "
				       "/run/adit/api.sock",
				       value);
		o->api = value;
		return 1;
	case JOBS_OPTION_RUN_DIR:
		o->run_dir = value;
		return 1;
	case JOBS_OPTION_JSON:
		o->json = 1;
		return 1;
	default:
		return 0;
	}
}

const char *jobs_text(const json_t *task, const char *key)
{
	const char *text = json_string_value(json_object_get(task, key));

	return text ? text : "";
}

json_int_t jobs_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static int add(struct jobs *j, const char *socket, struct err *e)
{
	json_t *answer, *task;
	size_t i;

	if (api_client_ask(socket, "GET", "/tasks", NULL, &answer, e) < 0)
		return e->code;
	json_array_foreach(json_object_get(answer, "tasks"), i, task)
	{
		struct job_seen *at = realloc(j->at, (j->count + 1) * sizeof(*at));

		if (!at)
			break;
		j->at = at;
		snprintf(at[j->count].socket, sizeof(at->socket), "%s", socket);
		at[j->count++].task = json_incref(task);
	}
	json_decref(answer);
	return 0;
}

static int by_time(const void *a, const void *b)
{
	return strcmp(jobs_text(((const struct job_seen *)a)->task, "created"),
		      jobs_text(((const struct job_seen *)b)->task, "created"));
}

/* An adit that ends while it is asked has no jobs any more. One that is there and does not
 * answer may have some: the others' are listed, and it is told of. */
static void add_one(struct jobs *j, const char *socket)
{
	struct err e = ERR_INIT;

	if (add(j, socket, &e) < 0 && e.code != ERR_CLOSED && !err_is_set(&j->silent))
		j->silent = e;
}

static int add_folder(struct jobs *j, const char *run_dir, struct err *e)
{
	char dir[ADDR_UNIX_MAX + 1], path[4096];
	struct dirent *item;
	DIR *d;

	snprintf(path, sizeof(path), "%s/api.sock", run_dir);
	add_one(j, path);
	if (run_dir_jobs(run_dir, 0, dir, sizeof(dir), e) < 0)
		return e->code;
	d = opendir(dir);
	while (d && (item = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, item->d_name);
		if (item->d_name[0] != '.')
			add_one(j, path);
	}
	if (d)
		closedir(d);
	return 0;
}

int jobs_read(struct jobs *j, const struct jobs_options *o, struct err *e)
{
	char run_dir[ADDR_UNIX_MAX + 1];
	int rc = 0;

	memset(j, 0, sizeof(*j));
	if (o->api)
		rc = add(j, o->api, e);
	else
		rc = run_dir_look(o->run_dir, run_dir, sizeof(run_dir), e);
	if (rc == 0 && !o->api)
		rc = add_folder(j, run_dir, e);
	if (rc < 0) {
		jobs_fini(j);
		return rc;
	}
	if (j->count)
		qsort(j->at, j->count, sizeof(*j->at), by_time);
	return 0;
}

void jobs_fini(struct jobs *j)
{
	for (size_t i = 0; i < j->count; i++)
		json_decref(j->at[i].task);
	free(j->at);
	memset(j, 0, sizeof(*j));
}

static int ended(const json_t *task)
{
	return !json_is_null(json_object_get(task, "ended"));
}

const struct job_seen *jobs_find(const struct jobs *j, const char *id, struct err *e)
{
	const struct job_seen *found = NULL, *running = NULL;
	size_t hits = 0, runs = 0;

	for (size_t i = 0; i < j->count; i++) {
		if (id && strncmp(jobs_text(j->at[i].task, "id"), id, strlen(id)) != 0)
			continue;
		found = &j->at[i];
		hits++;
		if (!ended(j->at[i].task)) {
			running = &j->at[i];
			runs++;
		}
	}
	if (hits == 1)
		return found;
	if (!id && runs == 1)
		return running;
	if (hits == 0 && err_is_set(&j->silent)) {
		*e = j->silent;
		return NULL;
	}
	if (hits == 0 && id)
		err_set(e, ERR_CLOSED, "there is no job \"%s\" here; adit jobs lists them", id);
	else if (hits == 0)
		err_set(e, ERR_CLOSED, "there are no jobs here");
	else if (id)
		err_set(e, ERR_USAGE, "the ids of %zu jobs begin with \"%s\": give more of it",
			hits, id);
	else
		err_set(e, ERR_USAGE, "there are %zu jobs here: name one; adit jobs lists them",
			hits);
	return NULL;
}

/* What is kept of VMs that came to stay: see kept.h. */
#include "control/talk/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/talk/journal.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* path without links, if it is still there. */
static bool resolve(const char *path, char *buf)
{
	if (realpath(path, buf))
		return true;
	snprintf(buf, PATH_MAX, "%s", path);
	return false;
}

static void folder_of(const char *monitor, char *buf)
{
	char path[PATH_MAX];
	bool there = resolve(strncmp(monitor, "unix:", 5) == 0 ? monitor + 5 : monitor, path);
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = 0;
	if (there)
		snprintf(buf, PATH_MAX, "%s", path);
	else
		resolve(slash ? path : "", buf);
}

static bool is_of(const json_t *o, const struct kept_vm *vm)
{
	char its[PATH_MAX], folder[PATH_MAX];

	if (strcmp(text_of(o, "job"), vm->job) == 0)
		return false;
	if (*text_of(o, "dir")) {
		folder_of(vm->monitor, folder);
		resolve(text_of(o, "dir"), its);
		if (strcmp(its, folder) == 0)
			return true;
	}
	return *vm->name && strcmp(text_of(o, "name"), vm->name) == 0 &&
	       strcasecmp(text_of(o, "uuid"), vm->uuid) == 0;
}

/* name in the folder at becomes name.moved. */
static int move_one(int at, const char *name)
{
	char moved[NAME_MAX + 8];

	snprintf(moved, sizeof(moved), "%s.moved", name);
	return renameat(at, name, at, moved);
}

/* The JSON file first: it is what adit start reads. */
static int set_aside(int at, const char *dir, const char *json, struct err *e)
{
	char script[NAME_MAX + 1];

	snprintf(script, sizeof(script), "%.*s.sh", (int)(strlen(json) - 5), json);
	if (move_one(at, json) < 0 || (move_one(at, script) < 0 && errno != ENOENT) ||
	    fsync(at) < 0)
		return err_set_sys(e, errno, "%s/%s cannot be set aside", dir, json);
	return 0;
}

/* Whether that is a file of a VM that came, not one that is still coming (".NAME"). */
static bool is_kept(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".json") == 0;
}

/* That file, if it is not newer. */
static json_t *load(int at, const char *name, time_t newest)
{
	int fd = openat(at, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	json_t *o = NULL;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_mtime <= newest)
		o = json_loadfd(fd, 0, NULL);

	fd_close(&fd);
	return o;
}

int kept_set_aside(const char *state_dir, const struct kept_vm *vm, char *file, size_t size,
		   struct err *e)
{
	char dir[PATH_MAX];
	struct dirent *entry;
	int r = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/vms", state_dir);
	d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : err_set_sys(e, errno, "%s", dir);
	while (r >= 0 && (entry = readdir(d)) != NULL) {
		json_t *o = is_kept(entry->d_name) ? load(dirfd(d), entry->d_name, vm->gone) : NULL;

		if (o && is_of(o, vm)) {
			r = set_aside(dirfd(d), dir, entry->d_name, e) < 0 ? (int)e->code : 1;
			snprintf(file, size, "%s/%s.moved", dir, entry->d_name);
		}
		json_decref(o);
	}
	closedir(d);
	return r;
}

/* What its source writes from the moment on at which the VM may run elsewhere (migrate_journal.c).
 */
static bool may_have_moved(const json_t *record)
{
	static const char *const states[] = {"finish", "postcopy", "confirm", "ended"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(text_of(record, "state"), states[i]) == 0)
			return true;
	return false;
}

int kept_check_settled(const char *state_dir, const char *name, time_t since, struct err *e)
{
	struct strvec jobs = {0};
	int r = journal_list(state_dir, JOURNAL_SOURCE, &jobs, e);

	for (size_t i = 0; r == 0 && i < jobs.count; i++) {
		json_t *record = journal_peek(state_dir, JOURNAL_SOURCE, jobs.at[i]);

		if (may_have_moved(record) &&
		    strcmp(text_of(json_object_get(record, "vm"), "name"), name) == 0 &&
		    json_integer_value(json_object_get(record, "written")) >= since)
			r = err_set(e, ERR_REFUSED,
				    "VM %s may run on another host, where job %s was bringing it: "
				    "`adit recover %.8s` finds out",
				    name, jobs.at[i], jobs.at[i]);
		json_decref(record);
	}
	strvec_fini(&jobs);
	return r;
}

/* VMs that run here since they came: see vms.h. Owned by the service. */
#include "control/host/vms.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "control/host/leftovers.h"

enum { YOUNG_S = 60 /* may be another job's, under way */ };

struct vm {
	LIST_ENTRY(vm) listed;
	struct vms *vms;
	struct proc *proc;
	char *dir;
};

struct vms {
	struct leftovers *leftovers;
	LIST_HEAD(, vm) list;
};

struct vms *vms_new(struct leftovers *leftovers)
{
	struct vms *v = calloc(1, sizeof(*v));

	if (v) {
		LIST_INIT(&v->list);
		v->leftovers = leftovers;
	}
	return v;
}

static void forget(struct vm *m)
{
	LIST_REMOVE(m, listed);
	proc_free(m->proc);
	free(m->dir);
	free(m);
}

static void on_exit_of(void *ctx, struct proc *p, int status)
{
	struct vm *m = ctx;

	(void)p;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		log_info(NULL, "the VM of %s has ended", m->dir);
		leftovers_dir(m->vms->leftovers, m->dir);
	} else {
		log_warn(NULL, "the VM of %s has ended with %s %d; see qemu.log there", m->dir,
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	forget(m);
}

void vms_add(struct vms *v, struct proc *p, const char *dir)
{
	struct vm *m = calloc(1, sizeof(*m));

	if (!m || !(m->dir = strdup(dir))) {
		free(m);
		proc_free(p);
		return;
	}
	m->vms = v;
	m->proc = p;
	proc_hand_over(p, on_exit_of, m);
	LIST_INSERT_HEAD(&v->list, m, listed);
}

/* Whether somebody listens on path. */
static int answers(const char *path)
{
	int fd = fd_connect_unix(path);

	if (fd < 0)
		return errno != ECONNREFUSED && errno != ENOENT; /* when in doubt, it lives */
	close(fd);
	return 1;
}

bool vms_answer(const char *dir)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/qmp.sock", dir);
	return answers(path);
}

int vms_record(const char *dir, const char *name, pid_t pid, struct err *e)
{
	json_t *o = json_pack("{s:s,s:I,s:I}", "name", name, "pid", (json_int_t)pid, "started",
			      (json_int_t)process_started(pid));
	char path[4096];
	int r = -1, fd;

	snprintf(path, sizeof(path), "%s/vm.json", dir);
	/* The folder may be another user's: nothing that is there is written to. */
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (o && fd >= 0)
		r = json_dumpfd(o, fd, JSON_COMPACT);
	fd_close(&fd);
	json_decref(o);
	return r < 0 ? err_set_sys(e, errno, "%s cannot be written", path) : 0;
}

/* What vms_record wrote; what another user has put there, a pipe perhaps, is not read. */
static json_t *read_record(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	json_t *o = NULL;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		o = json_loadfd(fd, 0, NULL);
	fd_close(&fd);
	return o;
}

/* Whether the VM lives that vms_record wrote of in o; its name is to be name, or any with NULL. */
static bool lives(const json_t *o, const char *name)
{
	const char *its = json_string_value(json_object_get(o, "name"));
	json_int_t pid = json_integer_value(json_object_get(o, "pid"));
	json_int_t started = json_integer_value(json_object_get(o, "started"));

	return its && (!name || strcmp(its, name) == 0) && pid > 0 && started &&
	       process_started((pid_t)pid) == (unsigned long long)started;
}

static bool record_lives(const char *path, const char *name)
{
	json_t *o = read_record(path);
	bool r = lives(o, name);

	json_decref(o);
	return r;
}

bool vms_find(const char *run_dir, const char *name, char *dir, size_t size)
{
	char path[4096];
	struct dirent *entry;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "%s/vms", run_dir);
	d = opendir(path);
	while (d && !found && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/vms/%s/vm.json", run_dir, entry->d_name);
		found = record_lives(path, name);
		if (found)
			snprintf(dir, size, "%s/vms/%s", run_dir, entry->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

/* Folders are called by their VMs. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

json_t *vms_list(const char *run_dir)
{
	json_t *all = json_array();
	struct dirent **items;
	char path[4096];
	int count;

	snprintf(path, sizeof(path), "%s/vms", run_dir);
	count = scandir(path, &items, no_hidden, by_name);
	for (int i = 0; i < count; i++) {
		json_t *o;
		struct stat st;

		snprintf(path, sizeof(path), "%s/vms/%s/vm.json", run_dir, items[i]->d_name);
		o = read_record(path);
		if (lives(o, NULL) && lstat(path, &st) == 0)
			json_array_append_new(
			    all, json_pack("{s:O,s:O,s:I,s:o}", "name", json_object_get(o, "name"),
					   "pid", json_object_get(o, "pid"), "since",
					   (json_int_t)st.st_mtime, "dir",
					   json_sprintf("%s/vms/%s", run_dir, items[i]->d_name)));
		json_decref(o);
		free(items[i]);
	}
	if (count >= 0)
		free(items);
	return all;
}

void vms_sweep(const char *run_dir)
{
	char path[4096], socket_path[4200];
	struct dirent *entry;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "%s/vms", run_dir);
	d = opendir(path);
	while (d && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/vms/%s", run_dir, entry->d_name);
		if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) ||
		    st.st_mtime > time(NULL) - YOUNG_S || vms_answer(path))
			continue;
		snprintf(socket_path, sizeof(socket_path), "%s/vm.json", path);
		if (record_lives(socket_path, NULL)) /* its monitor may be elsewhere */
			continue;
		log_info(NULL, "removing %s: its VM has gone", path);
		dir_remove(path);
	}
	if (d)
		closedir(d);
}

void vms_free(struct vms *v)
{
	if (!v)
		return;
	while (!LIST_EMPTY(&v->list))
		forget(LIST_FIRST(&v->list));
	free(v);
}

/*
 * Prepare on the destination: the images are seen to one after the other, then the
 * twin is started (or the one that waits is taken), its monitor is talked to, and its
 * drives are found beside the source's.
 */
#include "control/destination/job_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/user.h"
#include "control/host.h"
#include "control/twin.h"
#include "proxy/rules.h"

enum { CONNECT_EVERY_MS = 20, CONNECT_MS = 20000, CRYPT_MS = 15000 };

enum {
	Q_VERSION,
	Q_BLOCK,
	Q_NODES,
	Q_MEMORY,
	Q_MEMORY_DEVICES,
	Q_CPUS,
	Q_MACHINE,
	Q_TARGET,
	Q_NAME,
	Q_CAPS,
	Q_GRAPH
};

/* QEMU measures how much work a key slot can be by its thread's processor time, and gives up, after
 * an instant, where that says nothing: on a host that is busy. */
#define BUSY_WORDS "accurate CPU usage"
enum { CREATE_TRIES = 100 };

static void next_image(struct job *j);
static void create(struct job *j);

static void fail(struct job *j, enum err_code code, const char *text)
{
	struct err e = ERR_INIT;

	err_set(&e, code, "%s", text);
	job_fail(j, &e);
}

/* ---- the images ---- */

/* What the tool has printed: the JSON of qemu-img info, or its last line as the error. */
static json_t *tool_output(struct job *j, int status, struct err *e)
{
	char line[256];
	json_t *o = NULL;

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		err_set(e, ERR_QEMU, "%s", proc_last_line(j->scratch_fd, line, sizeof(line)));
		return NULL;
	}
	if (lseek(j->scratch_fd, 0, SEEK_SET) == 0)
		o = json_loadfd(j->scratch_fd, 0, NULL);
	if (!o)
		err_set(e, ERR_QEMU, "qemu-img said what is not JSON");
	return o;
}

static void on_info(void *ctx, struct proc *p, int status)
{
	struct job *j = ctx;
	const struct twin_image *image = &j->twin.images[j->image_at];
	struct err e = ERR_INIT;
	json_t *info = tool_output(j, status, &e);

	proc_free(p);
	j->tool = NULL;
	if (!info) {
		err_prefix(&e, "the image %s on the destination cannot be read", image->path);
		job_fail(j, &e);
		return;
	}
	if (!image_is_inside(image->disk) &&
	    image_check_size(image->path, image->disk,
			     (uint64_t)json_integer_value(json_object_get(info, "virtual-size")),
			     &e) < 0) {
		job_fail(j, &e);
	} else {
		if (image->disk->copy)
			strvec_pushf(&j->twin.notes, "%s was there already and is overwritten",
				     image->path);
		j->image_at++;
		next_image(j);
	}
	json_decref(info);
}

static void on_created(void *ctx, struct proc *p, int status)
{
	struct job *j = ctx;
	struct twin_image *image = &j->twin.images[j->image_at];
	struct err e = ERR_INIT;
	char line[256];

	proc_free(p);
	j->tool = NULL;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		proc_last_line(j->scratch_fd, line, sizeof(line));
		if (strstr(line, BUSY_WORDS) && ++image->tries < CREATE_TRIES) {
			create(j);
			return;
		}
		err_set(&e, ERR_SPACE, "the image %s cannot be made on the destination: %s",
			image->path, line);
		job_fail(j, &e);
		return;
	}
	j->image_at++;
	next_image(j);
}

/* Runs qemu-img with words, as whoever runs the twin: what it reads may be a peer's, too. Its
 * output goes to scratch_fd. */
static void run_tool(struct job *j, struct strvec *words, proc_on_exit *then)
{
	struct err e = ERR_INIT;
	struct proc_io io = {.in = -1,
			     .user = &j->rights->launch_user,
			     .keep = j->secrets,
			     .keep_count = j->secret_count,
			     .no_core = true};

	fd_close(&j->scratch_fd);
	j->scratch_fd = io.out = io.err = memfd_create("qemu-img", MFD_CLOEXEC);
	if (j->scratch_fd < 0 || words->failed)
		err_set_sys(&e, errno, "qemu-img cannot be started");
	else
		j->tool = proc_start_io(j->service->base, words->at, &io, j->guardian, then, j, &e);
	strvec_fini(words);
	if (!j->tool)
		job_fail(j, &e);
}

/* The image whose turn it is, over the empty file that has its name. */
static void create(struct job *j)
{
	struct twin_image *image = &j->twin.images[j->image_at];
	struct strvec words = {0};

	image_create_words(&words, image->path, image->disk, image->backing, &j->desc, image->full);
	run_tool(j, &words, on_created);
}

/* What fd is of, a file of ours that the twin is to have, becomes its user's. */
static int give(const struct job *j, int fd, const char *path, struct err *e)
{
	const struct user *u = &j->rights->launch_user;

	if (!user_is_given(u) || fchown(fd, u->uid, u->gid) == 0)
		return 0;
	return err_set_sys(e, errno, "%s cannot be given to user %s (--launch-user)", path,
			   u->name);
}

/* Whether the space of an image that is full at the source is to be taken at once: where the
 * file system cannot, the C library would write all of it, for hours perhaps. */
static bool take_space(struct job *j, const struct twin_image *image, int fd)
{
	if (!image_is_full(image->disk) || image->backing)
		return false;
	if (fallocate(fd, 0, 0, 4096) == 0)
		return true;
	strvec_pushf(&j->twin.notes,
		     "%s takes its space as it is written: at the source it has all of it, and the "
		     "file system here cannot take it before (%s)",
		     image->path, strerror(errno));
	return false;
}

static int make_empty(struct job *j, struct twin_image *image, struct err *e)
{
	int fd;

	if (guardian_add_file(j->guardian, image->path, e) < 0)
		return e->code;
	fd = open(image->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_set_sys(e, errno, "the image %s cannot be made on the destination",
			    image->path);
		/* Whatever has that name now, a link to nowhere perhaps, is not ours. */
		guardian_forget_file(j->guardian, image->path, NULL);
		return e->code;
	}
	image->created = true;
	if (guardian_made_file(j->guardian, image->path, fd, e) < 0) {
		close(fd);
		return e->code;
	}
	image->full = take_space(j, image, fd);
	give(j, fd, image->path, e);
	close(fd);
	return e->code;
}

static void start_twin(struct job *j);

/* Whether both are one file: under one name, or by a link. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return strcmp(a, b) == 0 || (stat(a, &sa) == 0 && stat(b, &sb) == 0 &&
				     sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
}

/* Whether other has path as an image, and it or the job is to write to it. */
static bool has_image(const struct job *other, const char *path, bool copy)
{
	char id[64];

	for (size_t i = 0; i < other->twin.image_count; i++)
		if ((copy || other->twin.images[i].disk->copy) &&
		    is_same_file(other->twin.images[i].path, path))
			return true;
	if (vmdesc_file_id("/", path, id, sizeof(id)) < 0)
		return false;
	for (size_t i = 0; i < other->disk_count; i++)
		if (strcmp(other->disks[i].file_id, id) == 0)
			return true;
	return false;
}

bool job_image_is_planned(const struct job *j, const char *path, bool copy)
{
	const struct job *other;

	TAILQ_FOREACH(other, &j->service->jobs, listed)
	if (other != j && (job_state_is(other->state, JOB_CLAIMS) || other->undoing) &&
	    has_image(other, path, copy))
		return true;
	return false;
}

int job_check_image(const struct job *j, const struct twin *plan, size_t at, struct err *e)
{
	const struct twin_image *image = &plan->images[at];

	for (size_t i = 0; i < at; i++)
		if ((image->disk->copy || plan->images[i].disk->copy) &&
		    is_same_file(image->path, plan->images[i].path))
			return err_set(
			    e, ERR_REFUSED,
			    "%.300s and %.300s on the destination are one file (a link), and the "
			    "disks %s and %s need an image each: remove one of them",
			    plan->images[i].path, image->path, plan->images[i].disk->name,
			    image->disk->name);
	if (job_image_is_planned(j, image->path, image->disk->copy))
		return err_set(e, ERR_REFUSED,
			       "%s is in use by another migration to the destination: wait for "
			       "that one",
			       image->path);
	return 0;
}

static void next_image(struct job *j)
{
	struct twin_image *image;
	struct strvec words = {0};
	struct err e = ERR_INIT;
	bool exists;

	if (j->image_at == j->twin.image_count) {
		start_twin(j);
		return;
	}
	image = &j->twin.images[j->image_at];
	if (job_check_image(j, &j->twin, j->image_at, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	if (image_look(image->path, image->disk, vmdesc_is_here(&j->desc), &exists, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	if (exists && image->backing) {
		err_set(&e, ERR_REFUSED,
			"%s is there already on the destination, and --copy-storage inc makes it "
			"anew: remove it or move it away",
			image->path);
		job_fail(j, &e);
		return;
	}
	if (exists && image->disk->copy && !j->rights->overwrite_images) {
		err_set(&e, ERR_REFUSED,
			"%s is there already on the destination, and would be overwritten: "
			"remove it or move it away, or start adit serve there with "
			"--overwrite-images (overwrite-images = yes in adit.conf)",
			image->path);
		job_fail(j, &e);
		return;
	}
	if (exists) {
		image_info_words(&words, image->path, image->disk);
		run_tool(j, &words, on_info);
		return;
	}
	if (make_empty(j, image, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	if (image_note_space(image->path, image->disk, &e))
		strvec_push(&j->twin.notes, e.text);
	create(j);
}

/* ---- the twin ---- */

static void on_qemu_exit(void *ctx, struct proc *p, int status)
{
	struct job *j = ctx;
	char line[300];
	struct err e = ERR_INIT;

	proc_free(p);
	j->qemu = NULL;
	if (!job_state_is(j->state, JOB_OPEN) && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		leftovers_dir(j->service->leftovers, j->twin.dir);
	proc_last_line(j->log_fd, line, sizeof(line));
	if (*line)
		err_set(&e, ERR_QEMU, "the destination's QEMU ended: %s", line);
	else if (WIFSIGNALED(status))
		err_set(&e, ERR_QEMU, "the destination's QEMU was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		err_set(&e, ERR_QEMU, "the destination's QEMU ended with status %d",
			WEXITSTATUS(status));
	if (j->state == JOB_DECIDED || j->state == JOB_RUNS)
		job_lost(j, &e);
	else
		job_fail(j, &e);
}

int job_make_folder(struct job *j, struct err *e)
{
	const struct user *u = &j->rights->launch_user;
	char parent[sizeof(j->twin.dir)];
	char *slash;

	if (service_keep_run_dir(j->service, j->rights, e) < 0)
		return e->code;
	snprintf(parent, sizeof(parent), "%s", j->twin.dir);
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = 0;
		if (mkdir(parent, 0700) < 0 && errno != EEXIST)
			return err_set_sys(e, errno, "the folder %s cannot be made", parent);
		/* It may pass, and see nothing: each VM's folder is closed. */
		if (user_is_given(u) && chmod(parent, 0711) < 0)
			return err_set_sys(e, errno, "chmod 0711 %s", parent);
		if (user_check_path(u, parent, X_OK, e) < 0)
			return e->code;
	}
	if (guardian_add_dir(j->guardian, j->twin.dir, e) < 0)
		return e->code;
	if (mkdir(j->twin.dir, 0700) < 0) {
		err_set_sys(e, errno, "the folder %s cannot be made", j->twin.dir);
		/* The source chooses the job's id: it may be the folder of a VM that runs here. */
		guardian_forget_dir(j->guardian, j->twin.dir, NULL);
		return e->code;
	}
	j->twin.dir_made = true;
	return 0;
}

static int give_folder(const struct job *j, struct err *e)
{
	int fd = open(j->twin.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_set_sys(e, errno, "%s", j->twin.dir);
	give(j, fd, j->twin.dir, e);
	close(fd);
	return e->code;
}

static void start_twin(struct job *j)
{
	struct proc_io io = {.in = -1,
			     .user = &j->rights->launch_user,
			     .keep = j->secrets,
			     .keep_count = j->secret_count};
	struct err e = ERR_INIT;
	char path[sizeof(j->twin.dir) + 16];

	snprintf(path, sizeof(path), "%s/qemu.log", j->twin.dir);
	j->log_fd = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (j->log_fd < 0) {
		err_set_sys(&e, errno, "the log %s cannot be made", path);
		job_fail(j, &e);
		return;
	}
	io.out = io.err = j->log_fd;
	/* The folder last: what is in it then may be of anybody who is that user. */
	if (give(j, j->log_fd, path, &e) < 0 || give_folder(j, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	j->qemu =
	    proc_start_io(j->service->base, j->twin.argv.at, &io, j->guardian, on_qemu_exit, j, &e);
	if (!j->qemu) {
		job_fail(j, &e);
		return;
	}
	if (vms_record(j->twin.dir, j->desc.name, proc_pid(j->qemu), &e) < 0) {
		job_fail(j, &e);
		return;
	}
	log_info(&j->about, "started %s, pid %d", j->twin.argv.at[0], (int)proc_pid(j->qemu));
	/* An encrypted image is opened by some seconds of work. */
	j->connect_until_ms = clock_ms() + CONNECT_MS;
	for (size_t i = 0; i < j->desc.disk_count; i++)
		j->connect_until_ms += j->desc.disks[i].encryption.known ? CRYPT_MS : 0;
	job_wait(j, CONNECT_EVERY_MS);
}

void job_twin_due(struct job *j)
{
	if (j->hook.proc)
		job_hook_due(j);
	else if (!j->qmp)
		job_twin_connect(j);
}

/* ---- its monitor ---- */

static void on_qmp_ready(void *ctx, struct qmp *q)
{
	struct job *j = ctx;
	const struct user *u = &j->rights->launch_user;
	struct err e = ERR_INIT;

	/* A folder of that user's may have a link to another one's monitor in it. */
	if (j->launched && user_is_given(u) && qmp_peer_uid(q) != u->uid) {
		err_set(&e, ERR_REFUSED, "%s on the destination is not of a QEMU of user %s",
			j->twin.qmp, u->name);
		job_fail(j, &e);
		return;
	}
	job_secrets_drop(j);
	j->qmp_ready = true;
	j->twin_pid = qmp_peer_pid(q);
	j->twin_started = process_started(j->twin_pid);
	job_twin_ready(j);
}

static void on_qmp_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	struct job *j = ctx;

	(void)q;
	if (strcmp(name, "RESUME") == 0)
		j->resumed_us = clock_us();
	job_ram_event(j, name, data);
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct job *j = ctx;
	struct err e = *why;

	/* A twin that is still starting does not listen yet. */
	if (!j->qmp_ready && j->launched && clock_ms() < j->connect_until_ms) {
		qmp_free(q);
		j->qmp = NULL;
		job_wait(j, CONNECT_EVERY_MS);
		return;
	}
	if (j->qmp_ready)
		err_prefix(&e, "the destination's QEMU has gone%s",
			   j->launched ? "" : " (its own standard error says why)");
	else
		err_prefix(&e, "the destination");
	if (j->forced && job_state_is(j->state, JOB_OPEN)) { /* nobody is left to be asked */
		qmp_free(q);
		j->qmp = NULL;
	}
	if (!job_state_is(j->state, JOB_OPEN))
		job_missing(j, &e);
	else if (j->launched && j->qmp_ready)
		job_suspect(j, &e); /* its last words follow with its exit */
	else
		job_fail(j, &e);
}

static const struct qmp_ops qmp_ops = {on_qmp_ready, on_qmp_event, on_qmp_end};

void job_twin_connect(struct job *j)
{
	struct err e = ERR_INIT;
	struct stat st;

	if (j->launched && stat(j->twin.qmp, &st) < 0 && clock_ms() < j->connect_until_ms) {
		job_wait(j, CONNECT_EVERY_MS);
		return;
	}
	j->qmp = qmp_connect(j->service->base, j->twin.qmp, 0, &qmp_ops, j, &e);
	if (j->qmp)
		qmp_want_oob(j->qmp); /* postcopy that broke may leave its main loop waiting */
	if (!j->qmp) {
		err_prefix(&e, "the destination");
		job_fail(j, &e);
	}
}

/* Finds the twin's node for the source's disk. */
static int match_disk(struct job *j, const struct vmdesc_disk *d, const struct twin_answers *a,
		      struct err *e)
{
	struct job_disk *k = &j->disks[j->disk_count];
	struct twin_drive drive;

	if (twin_match_drive(&j->desc, d, a, &drive, e) < 0)
		return e->code;
	for (size_t i = 0; i < j->disk_count; i++) {
		const struct job_disk *other = &j->disks[i];

		if (twin_match_apart(d, &drive, other->desc, other->node, other->file_id, e) < 0)
			return e->code;
	}
	k->job = j;
	k->desc = d;
	snprintf(k->file_id, sizeof(k->file_id), "%s", drive.file_id);
	snprintf(k->node, sizeof(k->node), "%s", drive.image_node);
	k->raw_file = drive.raw_file ? strdup(drive.raw_file) : NULL;
	k->larger = drive.size > d->size;
	k->sparse = drive.sparse;
	k->direct = drive.direct;
	if (k->larger || k->raw_file)
		snprintf(k->window, sizeof(k->window), "adit-window-%zu", j->disk_count);
	j->disk_count++;
	return 0;
}

static void on_asked(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	const json_t *v = json_object_get(qmp_batch_result(b, Q_VERSION), "qemu");
	const struct twin_answers answers = {
	    .block = qmp_batch_result(b, Q_BLOCK),
	    .nodes = qmp_batch_result(b, Q_NODES),
	    .graph = qmp_batch_result(b, Q_GRAPH),
	    .memory = qmp_batch_result(b, Q_MEMORY),
	    .memory_devices = qmp_batch_result(b, Q_MEMORY_DEVICES),
	    .cpus = qmp_batch_result(b, Q_CPUS),
	    .machine = qmp_batch_result(b, Q_MACHINE),
	    .target = qmp_batch_result(b, Q_TARGET),
	    .name = qmp_batch_result(b, Q_NAME),
	    .pid = qmp_peer_pid(q),
	};
	struct err why = *e;

	if (j->state != JOB_PREPARING)
		return;
	snprintf(j->twin.qemu_version, sizeof(j->twin.qemu_version), "%d.%d.%d",
		 (int)json_integer_value(json_object_get(v, "major")),
		 (int)json_integer_value(json_object_get(v, "minor")),
		 (int)json_integer_value(json_object_get(v, "micro")));
	j->disks = calloc(j->desc.disk_count + 1, sizeof(*j->disks));
	if (!j->disks)
		err_set(&why, ERR_SPACE, "no memory for the job's disks");
	if (!err_is_set(&why))
		twin_match(&j->desc, &answers, &why);
	for (size_t i = 0; !err_is_set(&why) && i < j->desc.disk_count; i++)
		if (j->desc.disks[i].copy)
			match_disk(j, &j->desc.disks[i], &answers, &why);
		else
			twin_match_other(&j->desc, &j->desc.disks[i], &answers, NULL, &why);
	if (err_is_set(&why))
		job_fail(j, &why);
	else
		job_ram_prepare(j, qmp_batch_result(b, Q_CAPS));
}

/* What is asked and set once it is known that it waits. */
static void ask(struct job *j)
{
	struct qmp_batch *b = qmp_batch_new();

	qmp_batch_add(b, QMP_MUST, "query-version", NULL);
	qmp_batch_add(b, QMP_MUST, "query-block", NULL);
	qmp_batch_add(b, QMP_MUST, "query-named-block-nodes", json_pack("{s:b}", "flat", 1));
	qmp_batch_add(b, QMP_MAY, "query-memory-size-summary", NULL);
	qmp_batch_add(b, QMP_MAY, "query-memory-devices", NULL);
	qmp_batch_add(b, QMP_MAY, "query-cpus-fast", NULL);
	qmp_batch_add(b, QMP_MAY, "qom-get",
		      json_pack("{s:s,s:s}", "path", "/machine", "property", "type"));
	qmp_batch_add(b, QMP_MAY, "query-target", NULL);
	qmp_batch_add(b, QMP_MAY, "query-name", NULL);
	qmp_batch_add(b, QMP_MUST, "query-migrate-capabilities", NULL);
	qmp_batch_add(b, QMP_MAY, "x-debug-query-block-graph", NULL);
	/* While it waits, this takes back that it runs by itself once all is there: the
	 * decision is ours, in Finish, also for a QEMU that was started without -S. */
	qmp_batch_add(b, QMP_MUST, "stop", NULL);
	qmp_batch_run(b, j->qmp, on_asked, j);
}

/* Before anything else is said to a QEMU that we have not started: it may be running
 * somebody's VM. */
static void on_status(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct job *j = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));
	struct err why = *e;

	(void)q;
	if (j->state != JOB_PREPARING)
		return;
	if (!err_is_set(&why) && (!status || strcmp(status, "inmigrate") != 0))
		err_set(&why, ERR_REFUSED,
			"the QEMU at %s on the destination does not wait for a "
			"VM (state %s): start it with -incoming defer",
			j->twin.qmp, status ? status : "unknown");
	if (err_is_set(&why))
		job_fail(j, &why);
	else
		ask(j);
}

void job_twin_ready(struct job *j)
{
	struct err e = ERR_INIT;

	if (j->hook.used && vms_record(j->twin.dir, j->desc.name, qmp_peer_pid(j->qmp), &e) < 0) {
		job_fail(j, &e);
		return;
	}
	qmp_command(j->qmp, "query-status", NULL, on_status, j);
}

/* ---- the beginning ---- */

/* Two VMs of one name on a host are one VM by mistake, or will be mistaken for one. */
int job_check_name(const struct job *j, struct err *e)
{
	const struct job *other;
	char dir[4096];

	if (!*j->desc.name)
		return 0;
	TAILQ_FOREACH(other, &j->service->jobs, listed)
	if (other != j && !other->dest_qmp && other->described && !other->only_check &&
	    job_state_is(other->state, JOB_CLAIMS) && strcmp(other->desc.name, j->desc.name) == 0)
		return err_set(
		    e, ERR_REFUSED,
		    "another migration is bringing a VM named \"%s\" to the destination: "
		    "wait for it, or give this one another name there with --rename",
		    j->desc.name);
	if (vms_find(j->service->config.run_dir, j->desc.name, dir, sizeof(dir)))
		return err_set(e, ERR_REFUSED,
			       "a VM named \"%s\" runs on the destination already (%s): give this "
			       "one another name there with --rename",
			       j->desc.name, dir);
	return 0;
}

/* A peer may have the monitors told that the operator has named, and no other socket. */
int job_check_dest_qmp(const struct job *j, struct err *e)
{
	struct addr a = {.kind = ADDR_UNIX};

	if (strlen(j->dest_qmp) > ADDR_UNIX_MAX)
		return err_set(e, ERR_USAGE,
			       "--dest-qmp %.40s...: the path of a unix socket may have %d bytes",
			       j->dest_qmp, ADDR_UNIX_MAX);
	snprintf(a.path, sizeof(a.path), "%s", j->dest_qmp);
	if (!rules_match(&j->rights->dest_qmp, &a))
		return err_set(e, ERR_REFUSED,
			       "--dest-qmp %s is not allowed there: start the destination's adit "
			       "serve with --allow-dest-qmp (dest-qmp = in adit.conf) and a "
			       "pattern of that path",
			       j->dest_qmp);
	return 0;
}

void job_begin(struct job *j)
{
	struct err e = ERR_INIT;

	if (job_route(j, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	if (j->persistent && !j->launched) {
		fail(j, ERR_REFUSED,
		     "--persistent: the destination does not start the VM itself there, so it "
		     "cannot "
		     "keep how to start it again");
		return;
	}
	if (j->hook.used) {
		job_hook_start(j);
		return;
	}
	if (!j->launched && job_check_dest_qmp(j, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	if (!j->launched) {
		snprintf(j->twin.qmp, sizeof(j->twin.qmp), "%s", j->dest_qmp);
		if (job_record_begin(j, &e) < 0)
			job_fail(j, &e);
		else
			job_twin_connect(j);
		return;
	}
	if (!j->rights->launch) {
		fail(j, ERR_REFUSED,
		     "VMs are not launched there: start the destination's adit serve with "
		     "--allow-launch and the QEMU binary (launch = in adit.conf), or start a QEMU "
		     "there yourself and use "
		     "--dest-qmp");
		return;
	}
	if (job_check_name(j, &e) < 0 ||
	    twin_plan(&j->twin, &j->desc, j->rights, j->service->config.run_dir, j->id, &e) < 0 ||
	    job_check_backing(j, &e) < 0 || job_record_begin(j, &e) < 0 ||
	    job_make_folder(j, &e) < 0 || job_keep_write(j, &e) < 0)
		job_fail(j, &e);
	else
		next_image(j);
}

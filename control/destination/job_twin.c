/*
 * Prepare on the destination: the images are seen to one after the other, then the twin is started
 * (or the one that waits is taken); job_connect.c goes on.
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
#include "base/fd.h"
#include "base/user.h"
#include "control/host.h"
#include "control/twin.h"

enum { CONNECT_EVERY_MS = 20, CONNECT_MS = 20000, CRYPT_MS = 15000 };

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
		err_set(e, ERR_QEMU, "%s",
			proc_last_line(j->prepare.scratch_fd, line, sizeof(line)));
		return NULL;
	}
	if (lseek(j->prepare.scratch_fd, 0, SEEK_SET) == 0)
		o = json_loadfd(j->prepare.scratch_fd, 0, NULL);
	if (!o)
		err_set(e, ERR_QEMU, "qemu-img said what is not JSON");
	return o;
}

static void on_info(void *ctx, struct proc *p, int status)
{
	struct job *j = ctx;
	const struct twin_image *image = &j->twin.images[j->prepare.image_at];
	struct err e = ERR_INIT;
	json_t *info = tool_output(j, status, &e);

	proc_free(p);
	j->prepare.tool = NULL;
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
		j->prepare.image_at++;
		next_image(j);
	}
	json_decref(info);
}

static void on_created(void *ctx, struct proc *p, int status)
{
	struct job *j = ctx;
	struct twin_image *image = &j->twin.images[j->prepare.image_at];
	struct err e = ERR_INIT;
	char line[256];

	proc_free(p);
	j->prepare.tool = NULL;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		proc_last_line(j->prepare.scratch_fd, line, sizeof(line));
		if (strstr(line, BUSY_WORDS) && ++image->tries < CREATE_TRIES) {
			create(j);
			return;
		}
		err_set(&e, ERR_SPACE, "the image %s cannot be made on the destination: %s",
			image->path, line);
		job_fail(j, &e);
		return;
	}
	j->prepare.image_at++;
	next_image(j);
}

/* Runs qemu-img with words, as whoever runs the twin: what it reads may be a peer's, too. Its
 * output goes to scratch_fd. */
static void run_tool(struct job *j, struct strvec *words, proc_on_exit *then)
{
	struct err e = ERR_INIT;
	struct proc_io io = {.in = -1,
			     .user = &j->rights->launch_user,
			     .keep = j->prepare.secrets,
			     .keep_count = j->prepare.secret_count,
			     .no_core = true};

	fd_close(&j->prepare.scratch_fd);
	j->prepare.scratch_fd = io.out = io.err = memfd_create("qemu-img", MFD_CLOEXEC);
	if (j->prepare.scratch_fd < 0 || words->failed)
		err_set_sys(&e, errno, "qemu-img cannot be started");
	else
		j->prepare.tool =
		    proc_start_io(j->service->base, words->at, &io, j->guardian, then, j, &e);
	strvec_fini(words);
	if (!j->prepare.tool)
		job_fail(j, &e);
}

/* The image whose turn it is, over the empty file that has its name. */
static void create(struct job *j)
{
	struct twin_image *image = &j->twin.images[j->prepare.image_at];
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

static void next_image(struct job *j)
{
	struct twin_image *image;
	struct strvec words = {0};
	struct err e = ERR_INIT;
	bool exists;

	if (j->prepare.image_at == j->twin.image_count) {
		start_twin(j);
		return;
	}
	image = &j->twin.images[j->prepare.image_at];
	if (job_check_image(j, &j->twin, j->prepare.image_at, &e) < 0) {
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
	j->qemu.proc = NULL;
	if (!job_is(j, JOB_OPEN) && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		leftovers_dir(j->service->leftovers, j->twin.dir);
	proc_last_line(j->qemu.log_fd, line, sizeof(line));
	if (*line)
		err_set(&e, ERR_QEMU, "the destination's QEMU ended: %s", line);
	else if (WIFSIGNALED(status))
		err_set(&e, ERR_QEMU, "the destination's QEMU was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		err_set(&e, ERR_QEMU, "the destination's QEMU ended with status %d",
			WEXITSTATUS(status));
	job_qemu_exited(j, &e);
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
			     .keep = j->prepare.secrets,
			     .keep_count = j->prepare.secret_count};
	struct err e = ERR_INIT;
	char path[sizeof(j->twin.dir) + 16];

	snprintf(path, sizeof(path), "%s/qemu.log", j->twin.dir);
	j->qemu.log_fd = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (j->qemu.log_fd < 0) {
		err_set_sys(&e, errno, "the log %s cannot be made", path);
		job_fail(j, &e);
		return;
	}
	io.out = io.err = j->qemu.log_fd;
	/* The folder last: what is in it then may be of anybody who is that user. */
	if (give(j, j->qemu.log_fd, path, &e) < 0 || give_folder(j, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	j->qemu.proc =
	    proc_start_io(j->service->base, j->twin.argv.at, &io, j->guardian, on_qemu_exit, j, &e);
	if (!j->qemu.proc) {
		job_fail(j, &e);
		return;
	}
	if (vms_record(j->twin.dir, j->desc.name, proc_pid(j->qemu.proc), &e) < 0) {
		job_fail(j, &e);
		return;
	}
	log_info(&j->about, "started %s, pid %d", j->twin.argv.at[0], (int)proc_pid(j->qemu.proc));
	/* An encrypted image is opened by some seconds of work. */
	j->prepare.connect_until_ms = clock_ms() + CONNECT_MS;
	for (size_t i = 0; i < j->desc.disk_count; i++)
		j->prepare.connect_until_ms += j->desc.disks[i].encryption.known ? CRYPT_MS : 0;
	job_look(j, CONNECT_EVERY_MS);
}

/* ---- the beginning ---- */

void job_begin(struct job *j)
{
	struct err e = ERR_INIT;

	if (job_route(j, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	if (j->wish.persistent && !j->wish.launched) {
		fail(j, ERR_REFUSED,
		     "--persistent: the destination does not start the VM itself there, so it "
		     "cannot "
		     "keep how to start it again");
		return;
	}
	if (j->prepare.hook.used) {
		job_hook_start(j);
		return;
	}
	if (!j->wish.launched && job_check_dest_qmp(j, &e) < 0) {
		job_fail(j, &e);
		return;
	}
	if (!j->wish.launched) {
		snprintf(j->twin.qmp, sizeof(j->twin.qmp), "%s", j->wish.dest_qmp);
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

/*
 * Prepare on the destination: the images are seen to one after the other, then the twin is started
 * (or the one that waits is taken); arrival_connect.c goes on.
 */
#include "control/destination/arrival_i.h"

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

static void next_image(struct arrival *a);
static void create(struct arrival *a);

static void fail(struct arrival *a, enum err_code code, const char *text)
{
	struct err e = ERR_INIT;

	err_set(&e, code, "%s", text);
	arrival_fail(a, &e);
}

/* ---- the images ---- */

/* What the tool has printed: the JSON of qemu-img info, or its last line as the error. */
static json_t *tool_output(struct arrival *a, int status, struct err *e)
{
	char line[256];
	json_t *o = NULL;

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		err_set(e, ERR_QEMU, "%s",
			proc_last_line(a->prepare.scratch_fd, line, sizeof(line)));
		return NULL;
	}
	if (lseek(a->prepare.scratch_fd, 0, SEEK_SET) == 0)
		o = json_loadfd(a->prepare.scratch_fd, 0, NULL);
	if (!o)
		err_set(e, ERR_QEMU, "qemu-img said what is not JSON");
	return o;
}

static void on_info(void *ctx, struct proc *p, int status)
{
	struct arrival *a = ctx;
	const struct twin_image *image = &a->twin.images[a->prepare.image_at];
	struct err e = ERR_INIT;
	json_t *info = tool_output(a, status, &e);

	proc_free(p);
	a->prepare.tool = NULL;
	if (!info) {
		err_prefix(&e, "the image %s on the destination cannot be read", image->path);
		arrival_fail(a, &e);
		return;
	}
	if (!image_is_inside(image->disk) &&
	    image_check_size(image->path, image->disk,
			     (uint64_t)json_integer_value(json_object_get(info, "virtual-size")),
			     &e) < 0) {
		arrival_fail(a, &e);
	} else {
		if (image->disk->copy)
			strvec_pushf(&a->twin.notes, "%s is there already and is overwritten",
				     image->path);
		a->prepare.image_at++;
		next_image(a);
	}
	json_decref(info);
}

static void on_created(void *ctx, struct proc *p, int status)
{
	struct arrival *a = ctx;
	struct twin_image *image = &a->twin.images[a->prepare.image_at];
	struct err e = ERR_INIT;
	char line[256];

	proc_free(p);
	a->prepare.tool = NULL;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		proc_last_line(a->prepare.scratch_fd, line, sizeof(line));
		if (strstr(line, BUSY_WORDS) && ++image->tries < CREATE_TRIES) {
			create(a);
			return;
		}
		err_set(&e, ERR_SPACE, "the image %s cannot be made on the destination: %s",
			image->path, line);
		arrival_fail(a, &e);
		return;
	}
	a->prepare.image_at++;
	next_image(a);
}

/* Runs qemu-img with words, as whoever runs the twin: what it reads may be a peer's, too. Its
 * output goes to scratch_fd. */
static void run_tool(struct arrival *a, struct strvec *words, proc_on_exit *then)
{
	struct err e = ERR_INIT;
	struct proc_io io = {.in = -1,
			     .user = &a->rights->launch_user,
			     .keep = a->prepare.secrets,
			     .keep_count = a->prepare.secret_count,
			     .no_core = true};

	fd_close(&a->prepare.scratch_fd);
	a->prepare.scratch_fd = io.out = io.err = memfd_create("qemu-img", MFD_CLOEXEC);
	if (a->prepare.scratch_fd < 0 || words->failed)
		err_set_sys(&e, errno, "qemu-img cannot be started");
	else
		a->prepare.tool =
		    proc_start_io(a->service->base, words->at, &io, a->guardian, then, a, &e);
	strvec_fini(words);
	if (!a->prepare.tool)
		arrival_fail(a, &e);
}

/* The image whose turn it is, over the empty file that has its name. */
static void create(struct arrival *a)
{
	struct twin_image *image = &a->twin.images[a->prepare.image_at];
	struct strvec words = {0};

	image_create_words(&words, image->path, image->disk, image->backing, &a->desc, image->full);
	run_tool(a, &words, on_created);
}

/* What fd is of, a file of ours that the twin is to have, becomes its user's. */
static int give(const struct arrival *a, int fd, const char *path, struct err *e)
{
	const struct user *u = &a->rights->launch_user;

	if (!user_is_given(u) || fchown(fd, u->uid, u->gid) == 0)
		return 0;
	return err_set_sys(e, errno, "%s cannot be given to user %s (--launch-user)", path,
			   u->name);
}

/* Whether the space of an image that is full at the source is to be taken at once: where the
 * file system cannot, the C library would write all of it, for hours perhaps. */
static bool take_space(struct arrival *a, const struct twin_image *image, int fd)
{
	if (!image_is_full(image->disk) || image->backing)
		return false;
	if (fallocate(fd, 0, 0, 4096) == 0)
		return true;
	strvec_pushf(&a->twin.notes,
		     "%s takes its space as it is written: at the source it has all of it, and the "
		     "file system here cannot take it before (%s)",
		     image->path, strerror(errno));
	return false;
}

static int make_empty(struct arrival *a, struct twin_image *image, struct err *e)
{
	int fd;

	if (guardian_add_file(a->guardian, image->path, e) < 0)
		return e->code;
	fd = open(image->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_set_sys(e, errno, "the image %s cannot be made on the destination",
			    image->path);
		/* Whatever has that name now, a link to nowhere perhaps, is not ours. */
		guardian_forget_file(a->guardian, image->path, NULL);
		return e->code;
	}
	image->created = true;
	if (guardian_made_file(a->guardian, image->path, fd, e) < 0) {
		close(fd);
		return e->code;
	}
	image->full = take_space(a, image, fd);
	give(a, fd, image->path, e);
	close(fd);
	return e->code;
}

static void start_twin(struct arrival *a);

static void next_image(struct arrival *a)
{
	struct twin_image *image;
	struct strvec words = {0};
	struct err e = ERR_INIT;
	bool exists;

	if (a->prepare.image_at == a->twin.image_count) {
		start_twin(a);
		return;
	}
	image = &a->twin.images[a->prepare.image_at];
	if (arrival_check_image(a, &a->twin, a->prepare.image_at, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	if (image_look(image->path, image->disk, vmdesc_is_here(&a->desc), &exists, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	if (exists && image->backing) {
		err_set(&e, ERR_REFUSED,
			"%s is there already on the destination, and --copy-storage inc makes it "
			"anew: remove it or move it away",
			image->path);
		arrival_fail(a, &e);
		return;
	}
	if (exists && twin_check_overwrite(image, a->rights, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	if (exists) {
		image_info_words(&words, image->path, image->disk);
		run_tool(a, &words, on_info);
		return;
	}
	if (make_empty(a, image, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	if (image_note_space(image->path, image->disk, &e))
		strvec_push(&a->twin.notes, e.text);
	create(a);
}

/* ---- the twin ---- */

static void on_qemu_exit(void *ctx, struct proc *p, int status)
{
	struct arrival *a = ctx;
	char line[300];
	struct err e = ERR_INIT;

	proc_free(p);
	a->qemu.proc = NULL;
	if (!arrival_is(a, ARRIVAL_OPEN) && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		leftovers_dir(a->service->leftovers, a->twin.dir);
	proc_last_line(a->qemu.log_fd, line, sizeof(line));
	if (*line)
		err_set(&e, ERR_QEMU, "the destination's QEMU ended: %s", line);
	else if (WIFSIGNALED(status))
		err_set(&e, ERR_QEMU, "the destination's QEMU was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		err_set(&e, ERR_QEMU, "the destination's QEMU ended with status %d",
			WEXITSTATUS(status));
	arrival_qemu_exited(a, &e);
}

static int give_folder(const struct arrival *a, struct err *e)
{
	int fd = open(a->twin.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_set_sys(e, errno, "%s", a->twin.dir);
	give(a, fd, a->twin.dir, e);
	close(fd);
	return e->code;
}

static void start_twin(struct arrival *a)
{
	struct proc_io io = {.in = -1, .user = &a->rights->launch_user};
	struct err e = ERR_INIT;
	char path[sizeof(a->twin.dir) + 16];

	snprintf(path, sizeof(path), "%s/qemu.log", a->twin.dir);
	a->qemu.log_fd = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (a->qemu.log_fd < 0) {
		err_set_sys(&e, errno, "the log %s cannot be made", path);
		arrival_fail(a, &e);
		return;
	}
	io.out = io.err = a->qemu.log_fd;
	/* The folder last: what is in it then may be of anybody who is that user. */
	if (give(a, a->qemu.log_fd, path, &e) < 0 || arrival_tpm_start(a, &e) < 0 ||
	    give_folder(a, &e) < 0 || arrival_net_open(a, &e) < 0 ||
	    arrival_ports_start(a, NETPORT_OPENVSWITCH, &e) < 0) {
		arrival_net_drop(a);
		arrival_fail(a, &e);
		return;
	}
	io.keep = a->prepare.inherited;
	io.keep_count = a->prepare.inherited_count;
	a->qemu.proc =
	    proc_start_io(a->service->base, a->twin.argv.at, &io, a->guardian, on_qemu_exit, a, &e);
	arrival_net_drop(a); /* from now on they are the twin's alone */
	if (!a->qemu.proc) {
		arrival_fail(a, &e);
		return;
	}
	if (vms_record(a->twin.dir, a->desc.name, proc_pid(a->qemu.proc), &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	log_info(&a->about, "started %s, pid %d", a->twin.argv.at[0], (int)proc_pid(a->qemu.proc));
	/* An encrypted image is opened by some seconds of work. */
	a->prepare.connect_until_ms = clock_ms() + CONNECT_MS;
	for (size_t i = 0; i < a->desc.disk_count; i++)
		a->prepare.connect_until_ms += a->desc.disks[i].encryption.known ? CRYPT_MS : 0;
	arrival_look(a, CONNECT_EVERY_MS);
}

/* ---- the beginning ---- */

void arrival_begin(struct arrival *a)
{
	struct err e = ERR_INIT;

	if (arrival_route(a, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	if (a->wish.persistent && !a->wish.launched) {
		fail(a, ERR_REFUSED,
		     "--persistent: the destination does not start the VM itself there, so it "
		     "cannot "
		     "keep how to start it again");
		return;
	}
	if (a->prepare.hook.used) {
		arrival_hook_start(a);
		return;
	}
	if (!a->wish.launched && arrival_check_dest_qmp(a, &e) < 0) {
		arrival_fail(a, &e);
		return;
	}
	if (!a->wish.launched) {
		snprintf(a->twin.qmp, sizeof(a->twin.qmp), "%s", a->wish.dest_qmp);
		if (arrival_record_begin(a, &e) < 0)
			arrival_fail(a, &e);
		else
			arrival_twin_connect(a);
		return;
	}
	if (!a->rights->launch) {
		fail(a, ERR_REFUSED,
		     "VMs are not launched there: start the destination's adit serve with "
		     "--allow-launch and the QEMU binary (launch = in adit.conf), or start a QEMU "
		     "there yourself and use "
		     "--dest-qmp");
		return;
	}
	if (arrival_check_name(a, &e) < 0 || arrival_keep_check(a, &e) < 0 ||
	    twin_plan(&a->twin, &a->desc, a->rights, a->service->config.run_dir, a->id, &e) < 0 ||
	    arrival_check_backing(a, &e) < 0 || arrival_record_begin(a, &e) < 0 ||
	    arrival_make_folder(a, &e) < 0 || arrival_keep_write(a, &e) < 0)
		arrival_fail(a, &e);
	else
		next_image(a);
}

/*
 * The job's streams on the destination: RAM (job_ram.c), and each disk by a connection to the
 * twin's NBD server, which listens on a descriptor of ours in a folder that only we can enter.
 */
#include "control/destination/job_i.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

enum { NBD_BACKLOG = COOKIE_DISKS_MAX };

void job_remove_nbd(struct job *j)
{
	if (*j->nbd.dir)
		leftovers_dir(j->service->leftovers, j->nbd.dir);
	j->nbd.path[0] = j->nbd.dir[0] = 0;
	fd_close(&j->nbd.fd);
}

static int listen_nbd(struct job *j, struct err *e)
{
	struct addr a = {.kind = ADDR_UNIX};

	if (service_keep_run_dir(j->service, j->rights, e) < 0)
		return e->code;
	job_name_nbd(j->service, j->id, j->nbd.dir, sizeof(j->nbd.dir));
	if (j->guardian && guardian_add_dir(j->guardian, j->nbd.dir, e) < 0)
		return e->code;
	if (mkdir(j->nbd.dir, 0700) < 0) {
		int error = errno;
		char dir[sizeof(j->nbd.dir)];

		memcpy(dir, j->nbd.dir, sizeof(dir));
		j->nbd.dir[0] = 0;
		guardian_forget_dir(j->guardian, dir, NULL); /* another job's, perhaps */
		return err_set_sys(e, error, "the folder %s cannot be made", dir);
	}
	snprintf(j->nbd.path, sizeof(j->nbd.path), "%s/nbd.sock", j->nbd.dir);
	if (strlen(j->nbd.path) > ADDR_UNIX_MAX)
		return err_set(e, ERR_CONFIG,
			       "%s is too long for a socket: choose a shorter "
			       "--run-dir",
			       j->nbd.path);
	snprintf(a.path, sizeof(a.path), "%.*s", ADDR_UNIX_MAX, j->nbd.path);
	j->nbd.fd = fd_listen(&a, NBD_BACKLOG, e);
	return j->nbd.fd < 0 ? (int)e->code : 0;
}

static void on_exported(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct job *j = ctx;
	struct err why = *e;

	(void)q;
	if (j->state != JOB_PREPARING)
		return;
	job_limits_tell(j, b);
	if (err_is_set(&why)) {
		err_prefix(&why, "the destination's QEMU does not open its disks to the copy");
		job_fail(j, &why);
		return;
	}
	job_prepared(j);
}

/* The node that the copy is written to, in place of the twin's own. Of a raw image it is one over
 * the same file: the guest's node may not unmap what is zero (discard, on it or on the file's node,
 * is the guest's own setting, and from QEMU 8 on what counts), so that a sparse image became a fat
 * one. It is gone before the guest runs; where the image has all of its space, it keeps it. QEMU
 * mirrors only between disks of one size: of one that is larger only the first part is seen. */
static json_t *window_node(const struct job_disk *d)
{
	const char *discard = d->sparse ? "unmap" : "ignore";
	json_t *o = json_pack("{s:s,s:s}", "driver", "raw", "node-name", d->window);

	if (d->larger)
		json_object_set_new(o, "size", json_integer((json_int_t)d->desc->size));
	if (d->raw_file) {
		json_object_set_new(o, "discard", json_string(discard));
		json_object_set_new(o, "file",
				    json_pack("{s:s,s:s,s:s,s:{s:b}}", "driver", "file", "filename",
					      d->raw_file, "discard", discard, "cache", "direct",
					      d->direct ? 1 : 0));
	} else {
		json_object_set_new(o, "file", json_string(d->node));
	}
	return o;
}

static void add_closing(const struct job *j, struct qmp_batch *b, enum qmp_need need)
{
	qmp_batch_add(b, need, "nbd-server-stop", NULL);
	for (size_t i = 0; i < j->disk_count; i++)
		if (*j->disks[i].window)
			qmp_batch_add(b, need, "blockdev-del",
				      json_pack("{s:s}", "node-name", j->disks[i].window));
}

void job_export(struct job *j)
{
	struct qmp_batch *b;
	struct err e = ERR_INIT;
	char id[32];

	b = qmp_batch_new();
	job_limits_add(j, b);
	if (!j->disk_count) {
		qmp_batch_run(b, j->qemu.qmp, on_exported, j);
		return;
	}
	if (listen_nbd(j, &e) < 0) {
		qmp_batch_free(b);
		job_fail(j, &e);
		return;
	}
	if (!j->wish.launched)
		add_closing(j, b, QMP_MAY);
	/* (A QEMU that waits may still have what a job that was killed left in it.) */
	qmp_batch_add_fd(b, QMP_MUST, "adit-nbd", dup(j->nbd.fd));
	qmp_batch_add(
	    b, QMP_MUST, "nbd-server-start",
	    json_pack("{s:{s:s,s:{s:s}}}", "addr", "type", "fd", "data", "str", "adit-nbd"));
	for (size_t i = 0; i < j->disk_count; i++) {
		const struct job_disk *d = &j->disks[i];

		if (*d->window)
			qmp_batch_add(b, QMP_MUST, "blockdev-add", window_node(d));
		snprintf(id, sizeof(id), "adit-e%zu", i);
		qmp_batch_add(b, QMP_MUST, "block-export-add",
			      json_pack("{s:s,s:s,s:s,s:s,s:b}", "type", "nbd", "id", id,
					"node-name", *d->window ? d->window : d->node, "name",
					d->desc->name, "writable", 1));
	}
	qmp_batch_run(b, j->qemu.qmp, on_exported, j);
}

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct job_disk *d = ctx;

	(void)r;
	d->relay = NULL;
	/* What it means is the source's to say: its mirror, or its QEMU, saw it too. */
	if (code != CODE_NONE && job_is(d->job, JOB_COPIES))
		log_info(&d->job->about, "the stream of disk %s ended: %s", d->desc->name, reason);
}

static int connect_nbd(const struct job *j, struct err *e)
{
	int fd = fd_connect_unix(j->nbd.path);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		err_set(e, ERR_SYSTEM,
			"the folder %s for sockets was removed on the destination while the "
			"migration began",
			j->nbd.dir);
	else
		err_set_sys(e, errno, "the destination QEMU's NBD server does not answer");
	return -1;
}

static void take_disk(struct job *j, struct session *s, struct stream *stream, const char *name)
{
	struct job_disk *d = NULL;
	struct err e = ERR_INIT;
	bool all = true;
	int fd;

	for (size_t i = 0; i < j->disk_count; i++)
		if (strcmp(j->disks[i].desc->name, name) == 0)
			d = &j->disks[i];
	if (!d || d->connected) {
		stream_refuse(stream, CODE_REFUSED,
			      d ? "that disk has its stream already" : "no such disk in this job");
		return;
	}
	fd = connect_nbd(j, &e);
	if (fd < 0) {
		stream_refuse(stream, CODE_UNREACHABLE, e.text);
		return;
	}
	d->connected = true;
	d->relay = relay_accept(j->service->base, s, stream, fd, on_relay_end, d);
	for (size_t i = 0; i < j->disk_count; i++)
		all = all && j->disks[i].connected;
	if (all)
		job_remove_nbd(j); /* nobody else is to come */
}

void job_take_disk_or_ram(struct job *j, struct session *s, struct stream *stream, const char *what)
{
	if (strcmp(what, "/ram") == 0 || strncmp(what, "/ram/", 5) == 0)
		job_ram_take(j, s, stream, what + 4);
	else if (strncmp(what, "/disk/", 6) == 0)
		take_disk(j, s, stream, what + 6);
	else
		stream_refuse(stream, CODE_REFUSED, "a job has the streams ram and disk/NAME");
}

static void on_route(void *ctx, struct session *s, struct stream *stream, enum stream_class class,
		     const char *target)
{
	if (class == STREAM_CONTROL) /* it has priority, and no limit */
		stream_refuse(stream, CODE_PROTOCOL,
			      "a job's RAM and disks are not of class control");
	else
		job_take_stream(ctx, s, stream, target);
}

int job_route(struct job *j, struct err *e)
{
	snprintf(j->route, sizeof(j->route), "job:%s", j->id);
	if (router_add_service(j->service->router, j->route, on_route, j, e) == 0)
		return 0;
	j->route[0] = 0;
	return e->code;
}

struct qmp_batch *job_closing_batch(struct job *j, enum qmp_need need)
{
	struct qmp_batch *b = qmp_batch_new();

	if (b)
		add_closing(j, b, need);
	return b;
}

void job_drop_streams(struct job *j, const char *reason)
{
	for (size_t i = 0; i < j->disk_count; i++) {
		relay_cancel(j->disks[i].relay, CODE_CANCELLED, reason);
		j->disks[i].relay = NULL;
	}
	job_ram_drop(j, reason);
}

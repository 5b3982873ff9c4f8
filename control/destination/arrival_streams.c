/*
 * The arrival's streams on the destination: RAM (arrival_ram.c), and each disk by a connection to
 * the twin's NBD server, which listens on a descriptor of ours in a folder that only we can enter.
 */
#include "control/destination/arrival_i.h"

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

void arrival_remove_nbd(struct arrival *a)
{
	if (*a->nbd.dir)
		leftovers_dir(a->service->leftovers, a->nbd.dir);
	a->nbd.path[0] = a->nbd.dir[0] = 0;
	fd_close(&a->nbd.fd);
}

static int listen_nbd(struct arrival *a, struct err *e)
{
	struct addr addr = {.kind = ADDR_UNIX};

	if (service_keep_run_dir(a->service, a->rights, e) < 0)
		return e->code;
	arrival_name_nbd(a->service, a->id, a->nbd.dir, sizeof(a->nbd.dir));
	if (a->guardian && guardian_add_dir(a->guardian, a->nbd.dir, e) < 0)
		return e->code;
	if (mkdir(a->nbd.dir, 0700) < 0) {
		int error = errno;
		char dir[sizeof(a->nbd.dir)];

		memcpy(dir, a->nbd.dir, sizeof(dir));
		a->nbd.dir[0] = 0;
		guardian_forget_dir(a->guardian, dir, NULL); /* another arrival's, perhaps */
		return err_set_sys(e, error, "the folder %s cannot be made", dir);
	}
	snprintf(a->nbd.path, sizeof(a->nbd.path), "%s/nbd.sock", a->nbd.dir);
	if (strlen(a->nbd.path) > ADDR_UNIX_MAX)
		return err_set(e, ERR_CONFIG,
			       "%s is too long for a socket: choose a shorter "
			       "--run-dir",
			       a->nbd.path);
	snprintf(addr.path, sizeof(addr.path), "%.*s", ADDR_UNIX_MAX, a->nbd.path);
	a->nbd.fd = fd_listen(&addr, NBD_BACKLOG, e);
	return a->nbd.fd < 0 ? (int)e->code : 0;
}

static void on_exported(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct arrival *a = ctx;
	struct err why = *e;

	(void)q;
	if (a->state != ARRIVAL_PREPARING)
		return;
	arrival_limits_tell(a, b);
	if (err_is_set(&why)) {
		err_prefix(&why, "the destination's QEMU does not open its disks to the copy");
		arrival_fail(a, &why);
		return;
	}
	arrival_prepared(a);
}

/* The node that the copy is written to, in place of the twin's own. Of a raw image it is one over
 * the same file: the guest's node may not unmap what is zero (discard, on it or on the file's node,
 * is the guest's own setting, and from QEMU 8 on what counts), so that a sparse image became a fat
 * one. It is gone before the guest runs; where the image has all of its space, it keeps it. QEMU
 * mirrors only between disks of one size: of one that is larger only the first part is seen. */
static json_t *window_node(const struct arrival_disk *d)
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

static void add_closing(const struct arrival *a, struct qmp_batch *b, enum qmp_need need)
{
	qmp_batch_add(b, need, "nbd-server-stop", NULL);
	for (size_t i = 0; i < a->disk_count; i++)
		if (*a->disks[i].window)
			qmp_batch_add(b, need, "blockdev-del",
				      json_pack("{s:s}", "node-name", a->disks[i].window));
}

void arrival_export(struct arrival *a)
{
	struct qmp_batch *b;
	struct err e = ERR_INIT;
	char id[32];

	b = qmp_batch_new();
	arrival_limits_add(a, b);
	if (!a->disk_count) {
		qmp_batch_run(b, a->qemu.qmp, on_exported, a);
		return;
	}
	if (listen_nbd(a, &e) < 0) {
		qmp_batch_free(b);
		arrival_fail(a, &e);
		return;
	}
	if (!a->wish.launched)
		add_closing(a, b, QMP_MAY);
	/* (A QEMU that waits may still have what an arrival that was killed left in it.) */
	qmp_batch_add_fd(b, QMP_MUST, "adit-nbd", dup(a->nbd.fd));
	qmp_batch_add(
	    b, QMP_MUST, "nbd-server-start",
	    json_pack("{s:{s:s,s:{s:s}}}", "addr", "type", "fd", "data", "str", "adit-nbd"));
	for (size_t i = 0; i < a->disk_count; i++) {
		const struct arrival_disk *d = &a->disks[i];

		if (*d->window)
			qmp_batch_add(b, QMP_MUST, "blockdev-add", window_node(d));
		snprintf(id, sizeof(id), "adit-e%zu", i);
		qmp_batch_add(b, QMP_MUST, "block-export-add",
			      json_pack("{s:s,s:s,s:s,s:s,s:b}", "type", "nbd", "id", id,
					"node-name", *d->window ? d->window : d->node, "name",
					d->desc->name, "writable", 1));
	}
	qmp_batch_run(b, a->qemu.qmp, on_exported, a);
}

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct arrival_disk *d = ctx;

	(void)r;
	d->relay = NULL;
	/* What it means is the source's to say: its mirror, or its QEMU, saw it too. */
	if (code != CODE_NONE && arrival_is(d->arrival, ARRIVAL_COPIES))
		log_info(&d->arrival->about, "the stream of disk %s ended: %s", d->desc->name,
			 reason);
}

static int connect_nbd(const struct arrival *a, struct err *e)
{
	int fd = fd_connect_unix(a->nbd.path);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		err_set(e, ERR_SYSTEM,
			"the folder %s for sockets was removed on the destination while the "
			"migration began",
			a->nbd.dir);
	else
		err_set_sys(e, errno, "the destination QEMU's NBD server does not answer");
	return -1;
}

static void take_disk(struct arrival *a, struct session *s, struct stream *stream, const char *name)
{
	struct arrival_disk *d = NULL;
	struct err e = ERR_INIT;
	bool all = true;
	int fd;

	for (size_t i = 0; i < a->disk_count; i++)
		if (strcmp(a->disks[i].desc->name, name) == 0)
			d = &a->disks[i];
	if (!d || d->connected) {
		stream_refuse(stream, CODE_REFUSED,
			      d ? "that disk has its stream already" : "no such disk in this job");
		return;
	}
	fd = connect_nbd(a, &e);
	if (fd < 0) {
		stream_refuse(stream, CODE_UNREACHABLE, e.text);
		return;
	}
	d->connected = true;
	d->relay = relay_accept(a->service->base, s, stream, fd, on_relay_end, d);
	for (size_t i = 0; i < a->disk_count; i++)
		all = all && a->disks[i].connected;
	if (all)
		arrival_remove_nbd(a); /* nobody else is to come */
}

void arrival_take_disk_or_ram(struct arrival *a, struct session *s, struct stream *stream,
			      const char *what)
{
	if (strcmp(what, "/ram") == 0 || strncmp(what, "/ram/", 5) == 0)
		arrival_ram_take(a, s, stream, what + 4);
	else if (strncmp(what, "/disk/", 6) == 0)
		take_disk(a, s, stream, what + 6);
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
		arrival_take_stream(ctx, s, stream, target);
}

int arrival_route(struct arrival *a, struct err *e)
{
	snprintf(a->route, sizeof(a->route), "job:%s", a->id);
	if (router_add_service(a->service->router, a->route, on_route, a, e) == 0)
		return 0;
	a->route[0] = 0;
	return e->code;
}

struct qmp_batch *arrival_closing_batch(struct arrival *a, enum qmp_need need)
{
	struct qmp_batch *b = qmp_batch_new();

	if (b)
		add_closing(a, b, need);
	return b;
}

void arrival_drop_streams(struct arrival *a, const char *reason)
{
	for (size_t i = 0; i < a->disk_count; i++) {
		relay_cancel(a->disks[i].relay, CODE_CANCELLED, reason);
		a->disks[i].relay = NULL;
	}
	arrival_ram_drop(a, reason);
}

/*
 * RAM's channels on the source, each a stream of its own, and what QEMU says of its migration in
 * every phase. Here, too, all streams that are left are ended.
 *
 * One channel goes over a descriptor that is handed to QEMU, so that nothing listens
 * anywhere. multifd and postcopy's preempt channel are connections that QEMU makes itself:
 * for these adit listens on a socket in a folder that only QEMU's user can enter. Streams
 * are opened in the order in which QEMU connected, before any byte, since the main channel
 * must come first at the destination as well.
 */
#include "control/source/migrate_i.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/point.h"

/* ---- the channels ---- */

static void on_relay_end(void *ctx, struct relay *r, enum code code, const char *reason)
{
	struct mig_channel *c = ctx;
	struct migrate *m = c->m;
	struct err e = ERR_INIT;

	relay_stats(r, &c->last);
	c->relay = NULL;
	c->ended_ms = clock_ms();
	if (m->state == MIGRATE_PAGING && code != CODE_NONE && *reason && !err_is_set(&m->ram.err))
		err_set(&m->ram.err, ERR_CLOSED, "%s", reason); /* QEMU's state follows */
	if (code == CODE_NONE || !migrate_is(m, PHASE_RETURNS))
		return; /* whether it was whole is for QEMU to say */
	err_set(&e, ERR_CLOSED, "the RAM stream broke: %s", *reason ? reason : code_name(code));
	migrate_suspect(m, &e);
}

/* A stream for the connection fd of QEMU's, which is owned from now on. */
static int open_channel(struct migrate *m, const char *target, int fd, struct err *e)
{
	struct mig_channel *c;

	if (!m->ram.channels)
		m->ram.channels = calloc(MIG_CHANNELS_MAX, sizeof(*m->ram.channels));
	if (!m->ram.channels || m->ram.opened == MIG_CHANNELS_MAX) {
		fd_close(&fd);
		return err_set(e, ERR_SPACE, "no room for a RAM stream");
	}
	c = &m->ram.channels[m->ram.opened++];
	if (m->ram.channel_count < m->ram.opened)
		m->ram.channel_count = m->ram.opened;
	c->m = m;
	c->before_bytes += c->last.sent_bytes;
	c->last = (struct stream_stats){0};
	c->ended_ms = 0;
	c->relay = relay_open(m->base, m->link.session, STREAM_RAM, target, fd, on_relay_end, c, e);
	if (!c->relay)
		return e->code;
	stream_set_rate(relay_stream(c->relay), m->rate);
	if (!c->begun_ms)
		c->begun_ms = clock_ms();
	return 0;
}

/* Not in the state folder: QEMU's user may not enter that. */
static void name_folder(struct migrate *m)
{
	const char *run = getenv("XDG_RUNTIME_DIR"), *tmp = getenv("TMPDIR");
	const char *in = run && *run == '/' ? run : tmp && *tmp == '/' ? tmp : "/tmp";

	snprintf(m->ram.dir, sizeof(m->ram.dir), "%.80s/adit-%.12s", geteuid() == 0 ? "/run" : in,
		 m->id);
}

static void stop_listening(struct migrate *m)
{
	if (m->ram.ev)
		event_free(m->ram.ev);
	m->ram.ev = NULL;
	fd_close(&m->ram.fd);
	if (*m->found && !*m->ram.dir)
		name_folder(m); /* of the process that was killed */
	if (*m->ram.dir && dir_remove(m->ram.dir) < 0)
		log_warn(&m->about, "the folder %s is left: remove it (%s)", m->ram.dir,
			 strerror(errno));
	m->ram.dir[0] = 0;
}

static void disks_drop(struct migrate *m, const char *reason)
{
	for (size_t i = 0; i < m->disk_count; i++) {
		struct mig_disk *d = &m->disks[i];

		nbd_join_cancel(d->join, CODE_CANCELLED, reason);
		d->join = NULL;
		if (!d->relay)
			continue;
		relay_stats(d->relay, &d->last);
		d->ended_ms = clock_ms();
		relay_cancel(d->relay, CODE_CANCELLED, reason);
		d->relay = NULL;
	}
}

void migrate_ram_drop(struct migrate *m, const char *reason)
{
	uint64_t now_ms = clock_ms();

	stop_listening(m);
	for (size_t i = 0; i < m->ram.channel_count; i++) {
		struct mig_channel *c = &m->ram.channels[i];

		if (!c->relay)
			continue;
		relay_stats(c->relay, &c->last);
		c->ended_ms = now_ms;
		relay_cancel(c->relay, CODE_CANCELLED, reason);
		c->relay = NULL;
	}
}

void migrate_drop_relays(struct migrate *m, const char *reason)
{
	disks_drop(m, reason);
	migrate_ram_drop(m, reason);
}

bool migrate_ram_holds(const struct migrate *m)
{
	for (size_t i = 0; i < m->ram.opened; i++)
		if (!m->ram.channels[i].relay)
			return false;
	return m->ram.opened > 0;
}

void migrate_ram_fini(struct migrate *m)
{
	stop_listening(m);
	free(m->ram.channels);
	m->ram.channels = NULL;
	m->ram.channel_count = 0;
}

/* ---- channels that QEMU makes itself ---- */

static size_t channels_wanted(const struct migrate *m)
{
	return m->config.multifd ? m->config.multifd + 1u : m->ram.preempt ? 2 : 1;
}

static void on_connection(evutil_socket_t listening, short what, void *ctx)
{
	struct migrate *m = ctx;
	char target[COOKIE_JOB_LEN + 20];
	struct err e = ERR_INIT;
	int fd;

	(void)what;
	while ((fd = accept4((int)listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (m->ram.opened == channels_wanted(m)) {
			log_warn(&m->about, "another connection for RAM than QEMU was to make");
			fd_close(&fd);
			continue;
		}
		snprintf(target, sizeof(target), "job:%s/ram/%zu", m->id, m->ram.opened);
		if (open_channel(m, target, fd, &e) < 0) {
			migrate_suspect(m, &e);
			return;
		}
	}
}

/* QEMU may be another user's: it gets the folder and the socket, and nobody else. */
static void give_to_qemu(struct migrate *m, const char *path)
{
	char proc[40];
	struct stat st;

	snprintf(proc, sizeof(proc), "/proc/%ld", (long)qmp_peer_pid(m->qemu.qmp));
	if (stat(proc, &st) == 0 && st.st_uid != geteuid() &&
	    lchown(path, st.st_uid, (gid_t)-1) < 0)
		log_debug(&m->about, "chown %s: %s", path, strerror(errno));
}

static int listen_for_qemu(struct migrate *m, struct err *e)
{
	struct addr a = {.kind = ADDR_UNIX};

	if (m->ram.ev)
		return 0;
	name_folder(m);
	dir_remove(m->ram.dir); /* this job's, of an adit that was killed */
	/* Made anew: in one of QEMU's user chown(2) would follow what that user puts there. */
	if (mkdir(m->ram.dir, 0700) < 0) {
		int error = errno;

		err_set_sys(e, error, "the folder %s for QEMU's connections cannot be made",
			    m->ram.dir);
		m->ram.dir[0] = 0;
		return e->code;
	}
	snprintf(m->ram.path, sizeof(m->ram.path), "%.90s/ram.sock", m->ram.dir);
	snprintf(a.path, sizeof(a.path), "%s", m->ram.path);
	m->ram.fd = fd_listen(&a, (int)channels_wanted(m), e);
	if (m->ram.fd < 0)
		return e->code;
	give_to_qemu(m, m->ram.path);
	give_to_qemu(m, m->ram.dir);
	m->ram.ev = event_new(m->base, m->ram.fd, EV_READ | EV_PERSIST, on_connection, m);
	if (!m->ram.ev || event_add(m->ram.ev, NULL) < 0)
		return err_set(e, ERR_SPACE, "no memory for the RAM streams");
	return 0;
}

/* ---- QEMU's migration ---- */

/* Adds `migrate`, to where its channels are taken. */
int migrate_ram_add(struct migrate *m, struct qmp_batch *b, bool resume, struct err *e)
{
	char text[COOKIE_JOB_LEN + 120];
	int pair[2];

	m->ram.opened = 0;
	if (channels_wanted(m) > 1) {
		if (listen_for_qemu(m, e) < 0)
			return e->code;
		snprintf(text, sizeof(text), "unix:%s", m->ram.path);
	} else {
		if (fd_socketpair(pair, e) < 0)
			return e->code;
		snprintf(text, sizeof(text), "job:%s/ram", m->id);
		if (open_channel(m, text, pair[0], e) < 0) {
			fd_close(&pair[1]);
			return e->code;
		}
		qmp_batch_add_fd(b, QMP_MUST, "adit-ram", pair[1]);
		snprintf(text, sizeof(text), "fd:adit-ram");
	}
	qmp_batch_add(b, QMP_MUST, "migrate",
		      resume ? json_pack("{s:s,s:b}", "uri", text, "resume", 1)
			     : json_pack("{s:s}", "uri", text));
	return 0;
}

/* Why QEMU says that it failed. */
static void on_failed_reason(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const char *desc = json_string_value(json_object_get(result, "error-desc"));
	struct err why = ERR_INIT;

	(void)q;
	if (!migrate_is(m, PHASE_RAM_FLOWS))
		return;
	err_set(&why, ERR_QEMU, "QEMU says that the migration failed%s%s",
		desc || err_is_set(e) ? ": " : "", desc ? desc : e->text);
	migrate_suspect(m, &why);
}

void migrate_ram_failed(struct migrate *m, const char *status)
{
	struct err e = ERR_INIT;

	if (strcmp(status, "failed") == 0) {
		m->ram.migrating = false;
		qmp_command(m->qemu.qmp, "query-migrate", NULL, on_failed_reason, m);
	} else if (strcmp(status, "cancelled") == 0) {
		m->ram.migrating = false;
		err_set(&e, ERR_CANCELLED, "the migration was cancelled in QEMU's monitor");
		migrate_suspect(m, &e);
	} else if (strcmp(status, "completed") == 0) {
		err_set(&e, ERR_QEMU, "QEMU ended the migration in phase %s, out of order",
			migrate_state_name(m));
		migrate_fail(m, &e);
	}
}

const char *migrate_ram_status(const struct migrate *m, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	if (status)
		log_debug(&m->about, "QEMU's migration: %s", status);
	return status ? status : "";
}

void migrate_take_ram_done(struct migrate *m, const char *name, const json_t *data)
{
	(void)name;
	if (strcmp(migrate_ram_status(m, data), "completed") != 0)
		return;
	m->ram.migrating = false;
	if (m->postcopy.pages == MIG_PAGES_FLOW)
		m->postcopy.pages = MIG_PAGES_THERE;
}

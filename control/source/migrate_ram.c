/*
 * RAM on the source: the channels that QEMU sends it through, each a stream of its own, and
 * what QEMU says of its migration.
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
	if (m->state == MIGRATE_PAGING && code != CODE_NONE && *reason && !err_is_set(&m->ram_err))
		err_set(&m->ram_err, ERR_CLOSED, "%s", reason); /* QEMU's state follows */
	if (code == CODE_NONE || !phase_is(m->state, PHASE_RETURNS))
		return; /* whether it was whole is for QEMU to say */
	err_set(&e, ERR_CLOSED, "the RAM stream broke: %s", *reason ? reason : code_name(code));
	migrate_suspect(m, &e);
}

/* A stream for the connection fd of QEMU's, which is owned from now on. */
static int open_channel(struct migrate *m, const char *target, int fd, struct err *e)
{
	struct mig_channel *c;

	if (!m->channels)
		m->channels = calloc(MIG_CHANNELS_MAX, sizeof(*m->channels));
	if (!m->channels || m->channels_opened == MIG_CHANNELS_MAX) {
		fd_close(&fd);
		return err_set(e, ERR_SPACE, "no room for a RAM stream");
	}
	c = &m->channels[m->channels_opened++];
	if (m->channel_count < m->channels_opened)
		m->channel_count = m->channels_opened;
	c->m = m;
	c->before_bytes += c->last.sent_bytes;
	c->last = (struct stream_stats){0};
	c->ended_ms = 0;
	c->relay = relay_open(m->base, m->session, STREAM_RAM, target, fd, on_relay_end, c, e);
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

	snprintf(m->ram_dir, sizeof(m->ram_dir), "%.80s/adit-%.12s", geteuid() == 0 ? "/run" : in,
		 m->id);
}

static void stop_listening(struct migrate *m)
{
	if (m->ev_ram)
		event_free(m->ev_ram);
	m->ev_ram = NULL;
	fd_close(&m->ram_fd);
	if (*m->found && !*m->ram_dir)
		name_folder(m); /* of the process that was killed */
	if (*m->ram_dir && dir_remove(m->ram_dir) < 0)
		log_warn(&m->about, "the folder %s is left: remove it (%s)", m->ram_dir,
			 strerror(errno));
	m->ram_dir[0] = 0;
}

void migrate_ram_drop(struct migrate *m, const char *reason)
{
	uint64_t now_ms = clock_ms();

	stop_listening(m);
	for (size_t i = 0; i < m->channel_count; i++) {
		struct mig_channel *c = &m->channels[i];

		if (!c->relay)
			continue;
		relay_stats(c->relay, &c->last);
		c->ended_ms = now_ms;
		relay_cancel(c->relay, CODE_CANCELLED, reason);
		c->relay = NULL;
	}
}

bool migrate_ram_holds(const struct migrate *m)
{
	for (size_t i = 0; i < m->channels_opened; i++)
		if (!m->channels[i].relay)
			return false;
	return m->channels_opened > 0;
}

void migrate_ram_fini(struct migrate *m)
{
	stop_listening(m);
	free(m->channels);
	m->channels = NULL;
	m->channel_count = 0;
}

/* ---- channels that QEMU makes itself ---- */

static size_t channels_wanted(const struct migrate *m)
{
	return m->config.multifd ? m->config.multifd + 1u : m->preempt ? 2 : 1;
}

static void on_connection(evutil_socket_t listening, short what, void *ctx)
{
	struct migrate *m = ctx;
	char target[COOKIE_JOB_LEN + 20];
	struct err e = ERR_INIT;
	int fd;

	(void)what;
	while ((fd = accept4((int)listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (m->channels_opened == channels_wanted(m)) {
			log_warn(&m->about, "another connection for RAM than QEMU was to make");
			fd_close(&fd);
			continue;
		}
		snprintf(target, sizeof(target), "job:%s/ram/%zu", m->id, m->channels_opened);
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

	snprintf(proc, sizeof(proc), "/proc/%ld", (long)qmp_peer_pid(m->qmp));
	if (stat(proc, &st) == 0 && st.st_uid != geteuid() &&
	    lchown(path, st.st_uid, (gid_t)-1) < 0)
		log_debug(&m->about, "chown %s: %s", path, strerror(errno));
}

static int listen_for_qemu(struct migrate *m, struct err *e)
{
	struct addr a = {.kind = ADDR_UNIX};

	if (m->ev_ram)
		return 0;
	name_folder(m);
	dir_remove(m->ram_dir); /* this job's, of an adit that was killed */
	/* Made anew: in one of QEMU's user chown(2) would follow what that user puts there. */
	if (mkdir(m->ram_dir, 0700) < 0) {
		int error = errno;

		err_set_sys(e, error, "the folder %s for QEMU's connections cannot be made",
			    m->ram_dir);
		m->ram_dir[0] = 0;
		return e->code;
	}
	snprintf(m->ram_path, sizeof(m->ram_path), "%.90s/ram.sock", m->ram_dir);
	snprintf(a.path, sizeof(a.path), "%s", m->ram_path);
	m->ram_fd = fd_listen(&a, (int)channels_wanted(m), e);
	if (m->ram_fd < 0)
		return e->code;
	give_to_qemu(m, m->ram_path);
	give_to_qemu(m, m->ram_dir);
	m->ev_ram = event_new(m->base, m->ram_fd, EV_READ | EV_PERSIST, on_connection, m);
	if (!m->ev_ram || event_add(m->ev_ram, NULL) < 0)
		return err_set(e, ERR_SPACE, "no memory for the RAM streams");
	return 0;
}

/* ---- QEMU's migration ---- */

static void on_migrate_sent(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;
	struct err why = *e;

	(void)q;
	(void)b;
	if (m->state != MIGRATE_RAM || !err_is_set(&why))
		return;
	err_prefix(&why, "QEMU does not migrate this VM");
	migrate_suspect(m, &why);
}

/* Adds `migrate`, to where its channels are taken. */
static int add_migrate(struct migrate *m, struct qmp_batch *b, bool resume, struct err *e)
{
	char text[COOKIE_JOB_LEN + 120];
	int pair[2];

	m->channels_opened = 0;
	if (channels_wanted(m) > 1) {
		if (listen_for_qemu(m, e) < 0)
			return e->code;
		snprintf(text, sizeof(text), "unix:%s", m->ram_path);
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

void migrate_ram_begin(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();
	struct err e = ERR_INIT;

	if (!b) {
		err_set(&e, ERR_SPACE, "no memory for the RAM stream");
		migrate_fail(m, &e);
		return;
	}
	migrate_settings_add(m, b);
	if (add_migrate(m, b, false, &e) < 0) {
		qmp_batch_free(b);
		migrate_fail(m, &e);
		return;
	}
	m->migrating = true;
	qmp_batch_run(b, m->qmp, on_migrate_sent, m);
}

static void on_paging_status(struct migrate *m, const char *status);

/* ---- postcopy that broke ---- */

enum { MEND_EVERY_MS = 200, MEND_MS = 30000, MEND_GRACE_MS = 1000 };

/* What the destination, or the line, gave as its reason, where one did. */
static const char *why_broken(const struct migrate *m, const char *otherwise)
{
	return err_is_set(&m->ram_err) ? m->ram_err.text : otherwise;
}

static void on_resumed(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct migrate *m = ctx;

	(void)q;
	(void)b;
	if (m->state == MIGRATE_PAGING && err_is_set(e))
		log_info(&m->about, "postcopy is not taken up: %s", e->text);
	/* Whether it goes on shows in its state. */
}

static void resume(struct migrate *m)
{
	struct qmp_batch *b = qmp_batch_new();
	struct err e = ERR_INIT;

	m->preempt = json_is_true(json_object_get(m->prepared, "preempt"));
	migrate_ram_drop(m, "postcopy is taken up anew");
	m->ram_err.code = ERR_NONE;
	if (add_migrate(m, b, true, &e) < 0) {
		qmp_batch_free(b);
		migrate_ask(m, e.text);
		return;
	}
	m->migrating = true;
	qmp_batch_run(b, m->qmp, on_resumed, m);
}

static void on_mend_look(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));

	(void)q;
	m->mend_asked = false;
	if (m->state != MIGRATE_PAGING || !m->mend_until_ms || err_is_set(e) || !status)
		return;
	if (strcmp(status, "completed") == 0) {
		on_paging_status(m, status);
	} else if (strcmp(status, "postcopy-active") == 0 && m->resumed) {
		on_paging_status(m, status);
	} else if (clock_ms() > m->mend_until_ms || (m->resumed && err_is_set(&m->ram_err) &&
						     strcmp(status, "postcopy-paused") == 0)) {
		/* (Refused there, or broken again: waiting would not change it.) */
		m->mend_until_ms = 0;
		migrate_ask(m, why_broken(m, "it was not taken up"));
	} else {
		if (strcmp(status, "postcopy-paused") == 0 && !m->resumed) {
			m->resumed = true;
			resume(m);
		}
		migrate_arm(m->ev_answer, MEND_EVERY_MS);
	}
}

void migrate_ram_mend_due(struct migrate *m)
{
	if (!m->mend_until_ms)
		return;
	/* (One that answers is judged by its answer, above.) */
	if (clock_ms() > m->mend_until_ms + MEND_GRACE_MS) {
		m->mend_until_ms = 0;
		migrate_ask(m, "the QEMU here does not answer");
		return;
	}
	if (!m->mend_asked) {
		m->mend_asked = true;
		qmp_command(m->qmp, "query-migrate", NULL, on_mend_look, m);
	}
	migrate_arm(m->ev_answer, MEND_EVERY_MS);
}

void migrate_ram_mend(struct migrate *m)
{
	/* QEMU takes a moment to see that its connection broke. */
	m->resumed = false;
	m->mend_until_ms = clock_ms() + POINT_MS("mend", MEND_MS);
	migrate_ram_mend_due(m);
}

/* Why QEMU says that it failed. */
static void on_failed_reason(void *ctx, struct qmp *q, json_t *result, const struct err *e)
{
	struct migrate *m = ctx;
	const char *desc = json_string_value(json_object_get(result, "error-desc"));
	struct err why = ERR_INIT;

	(void)q;
	if (!phase_is(m->state, PHASE_RAM_FLOWS))
		return;
	err_set(&why, ERR_QEMU, "QEMU says that the migration failed%s%s",
		desc || err_is_set(e) ? ": " : "", desc ? desc : e->text);
	migrate_suspect(m, &why);
}

/* Postcopy: the VM runs there, or is about to. */
static void on_paging_status(struct migrate *m, const char *status)
{
	if (strcmp(status, "completed") == 0) {
		m->migrating = false;
		m->ram_done = true;
		if (m->state == MIGRATE_PAGING)
			migrate_confirm(m);
	} else if (strcmp(status, "postcopy-paused") == 0 && m->state == MIGRATE_PAGING &&
		   !m->mend_until_ms) {
		migrate_ask(m, why_broken(m, "the connection for RAM broke"));
	} else if (strcmp(status, "postcopy-active") == 0) {
		m->mend_until_ms = 0;
		event_del(m->ev_answer);
		migrate_ask_settled(m);
	}
}

static void on_status(struct migrate *m, const char *status)
{
	struct err e = ERR_INIT;

	log_debug(&m->about, "QEMU's migration: %s", status);
	if (strcmp(status, "active") == 0 && m->state == MIGRATE_RAM)
		POINT("s-ram");
	if (strcmp(status, "pre-switchover") == 0 && m->state == MIGRATE_RAM) {
		migrate_pre_switchover(m);
	} else if (strcmp(status, "completed") == 0 && m->state == MIGRATE_DEVICE) {
		m->migrating = false;
		migrate_finish(m);
	} else if (strcmp(status, "postcopy-active") == 0 && m->state == MIGRATE_DEVICE) {
		m->in_postcopy = true;
		migrate_finish(m);
	} else if (!phase_is(m->state, PHASE_RETURNS)) {
		on_paging_status(m, status);
	} else if (strcmp(status, "failed") == 0) {
		m->migrating = false;
		qmp_command(m->qmp, "query-migrate", NULL, on_failed_reason, m);
	} else if (strcmp(status, "cancelled") == 0) {
		m->migrating = false;
		err_set(&e, ERR_CANCELLED, "the migration was cancelled in QEMU's monitor");
		migrate_suspect(m, &e);
	} else if (strcmp(status, "completed") == 0) {
		err_set(&e, ERR_QEMU, "QEMU ended the migration in phase %s, out of order",
			migrate_state_name(m->state));
		migrate_fail(m, &e);
	}
}

void migrate_ram_event(struct migrate *m, const char *name, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	if (strcmp(name, "MIGRATION_PASS") == 0) {
		m->progress.passes = (uint64_t)json_integer_value(json_object_get(data, "pass"));
		migrate_postcopy_try(m);
	} else if (status && m->state != MIGRATE_DISKS) {
		on_status(m, status);
	}
}

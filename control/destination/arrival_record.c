/*
 * The destination's record of a job in the journal (journal.h): docs/phases.md says what
 * is in it and who removes it. Owned by the arrival. What is read here was written by this
 * host into a folder of its own.
 */
#include "control/destination/arrival_i.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/process.h"
#include "control/host.h"

enum {
	KEPT_S = 600, /* a VM that wrote to its disks so long after the decision has a life here */
	KILL_MS = 3000,
	SAVE_EVERY_MS = 500, /* between tries to write a record that cannot be written */
};

static json_t *process_of(pid_t pid, unsigned long long started)
{
	return json_pack("{s:I,s:I}", "pid", (json_int_t)pid, "started", (json_int_t)started);
}

/* ---- writing ---- */

/* kind F: a file, D: a folder; only what is not there yet will be of the arrival's making. */
static void list_made(json_t *made, char kind, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0 && errno == ENOENT)
		json_array_append_new(made, json_sprintf("%c%s", kind, path));
}

/* Whether the guest writes to what the source uses, too. */
static bool has_shared(const struct vmdesc *d)
{
	for (size_t i = 0; i < d->disk_count; i++) {
		const struct vmdesc_disk *disk = &d->disks[i];

		if (!disk->copy && !disk->read_only && !disk->empty && !*disk->shared_with)
			return true;
	}
	return false;
}

static json_t *make_record(struct arrival *a)
{
	json_t *made = json_array(), *images = json_array();
	char boot[64], dir[sizeof(a->nbd.dir)];

	for (size_t i = 0; i < a->twin.image_count; i++) {
		list_made(made, 'F', a->twin.images[i].path);
		json_array_append_new(images, json_string(a->twin.images[i].path));
	}
	if (a->wish.launched || a->prepare.hook.used)
		list_made(made, 'D', a->twin.dir);
	if (a->twin.tpm.program)
		list_made(made, 'D', a->twin.tpm.dir);
	for (unsigned i = 0; a->wish.persistent && i < 4; i++) {
		char path[4096];

		arrival_keep_path(a, i / 2, i % 2, path, sizeof(path));
		list_made(made, 'F', path);
	}
	arrival_name_nbd(a->service, a->id, dir, sizeof(dir));
	list_made(made, 'D', dir);
	arrival_ram_name(a->service, a->id, dir, sizeof(dir));
	list_made(made, 'D', dir);
	return json_pack(
	    "{s:i,s:s,s:s,s:s,s:s,s:s,s:b,s:s,s:s,s:b,s:o,s:o,s:o}", "adit", COOKIE_VERSION, "job",
	    a->id, "state", "preparing", "peer", a->peer, "name", a->desc.name, "boot",
	    vmdesc_host(boot, sizeof(boot)), "launched", a->wish.launched ? 1 : 0, "qmp",
	    a->twin.qmp, "dir", a->twin.dir, "shared", has_shared(&a->desc) ? 1 : 0, "made", made,
	    "images", images, "guardian",
	    process_of(guardian_pid(a->guardian), process_started(guardian_pid(a->guardian))));
}

int arrival_record_begin(struct arrival *a, struct err *e)
{
	json_t *old;

	a->journal = journal_open(a->service->config.state_dir, JOURNAL_DESTINATION, a->id, e);
	if (!a->journal)
		return err_prefix(e, "on the destination");
	old = journal_read(a->journal, e);
	if (old || err_is_set(e)) {
		/* Somebody's, whose record stays. */
		json_decref(old);
		journal_close(a->journal);
		a->journal = NULL;
		return err_set(e, ERR_REFUSED,
			       "a job of that id was here before and is not settled: adit recover "
			       "on its source does that");
	}
	a->guardian = guardian_new(e);
	if (!a->guardian || guardian_add_record(a->guardian, journal_path(a->journal), e) < 0)
		return e->code;
	/* A host that has lost its folder is another one from now on: it knows nothing of the jobs
	 * before, and its "never" must not count for them. */
	if (journal_host_id(a->service->config.state_dir, a->service->host, e) < 0)
		return err_prefix(e, "on the destination");
	/* What an arrival before could not remove is this one's now. */
	for (size_t i = 0; i < a->twin.image_count; i++)
		leftovers_forget(a->service->leftovers, a->twin.images[i].path);
	a->record = make_record(a);
	if (!a->record)
		return err_set(e, ERR_SPACE, "no memory for the journal");
	json_object_set_new(a->record, "host", json_string(a->service->host));
	if (a->twin.net_count)
		json_object_set_new(a->record, "networks", arrival_net_list(a));
	if (journal_write(a->journal, a->record, e) < 0)
		return err_prefix(e, "on the destination");
	return 0;
}

int arrival_record_write(struct arrival *a, const char *state, struct err *e)
{
	if (!a->journal || !a->record)
		return err_set(e, ERR_INTERNAL, "the job has no journal: report this bug");
	if (!arrival_record_is(a->record, state) && strcmp(state, "decided") == 0)
		json_object_set_new(a->record, "decided_at", json_integer(time(NULL)));
	json_object_set_new(a->record, "state", json_string(state));
	json_object_set_new(a->record, "run", json_boolean(a->run));
	json_object_set_new(a->record, "postcopy", json_boolean(a->postcopy));
	json_object_set_new(a->record, "preempt", json_boolean(a->ram.preempt));
	json_object_set_new(a->record, "twin", process_of(a->qemu.pid, a->qemu.started));
	if (journal_write(a->journal, a->record, e) < 0)
		return e->code;
	if (a->saving.state)
		log_info(&a->about, "the journal is written: the VM is in state %s there", state);
	a->saving.state = NULL;
	if (a->saving.ev)
		event_del(a->saving.ev);
	return 0;
}

void arrival_record_keep(struct arrival *a, const char *state)
{
	struct err e = ERR_INIT;
	struct timeval tv = {.tv_usec = SAVE_EVERY_MS * 1000};

	if (arrival_record_write(a, state, &e) == 0)
		return;
	if (!a->saving.state)
		log_error(&a->about,
			  "%s. The VM can live here only, so nothing is undone, and it is tried "
			  "again every half second; until then do not end this adit serve",
			  e.text);
	a->saving.state = state;
	event_add(a->saving.ev, &tv);
}

void arrival_wait_save(struct arrival *a)
{
	event_add(a->saving.ev, &(struct timeval){.tv_usec = SAVE_EVERY_MS * 1000});
}

void arrival_record_due(evutil_socket_t fd, short what, void *ctx)
{
	struct arrival *a = ctx;

	(void)fd;
	(void)what;
	if (a->saving.state)
		arrival_record_keep(a, a->saving.state);
}

void arrival_record_clean_sockets(const struct service *s, const json_t *record)
{
	char ram[160], nbd[160];
	const json_t *made;
	size_t i;

	arrival_ram_name(s, json_text(record, "job"), ram, sizeof(ram));
	arrival_name_nbd(s, json_text(record, "job"), nbd, sizeof(nbd));
	json_array_foreach(json_object_get(record, "made"), i, made)
	{
		const char *path = json_string_value(made);

		if (path && path[0] == 'D' &&
		    (strcmp(path + 1, ram) == 0 || strcmp(path + 1, nbd) == 0))
			leftovers_dir(s->leftovers, path + 1);
	}
}

const char *arrival_record_host(const struct arrival *a)
{
	const char *host = json_text(a->record, "host");

	return *host ? host : a->service->host;
}

void arrival_record_remove(struct arrival *a)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", a->journal ? journal_path(a->journal) : "");
	if (journal_remove(a->journal) < 0)
		leftovers_record(a->service->leftovers, path);
	a->journal = NULL;
	json_decref(a->record);
	a->record = NULL;
	a->saving.state = NULL;
}

/* ---- reading ---- */

bool arrival_record_read(struct arrival *a, struct err *e)
{
	if (!a->journal)
		a->journal =
		    journal_open(a->service->config.state_dir, JOURNAL_DESTINATION, a->id, e);
	if (!a->journal)
		return false;
	json_decref(a->record);
	a->record = journal_read(a->journal, e);
	return a->record != NULL;
}

void arrival_record_take(struct arrival *a)
{
	const json_t *twin = json_object_get(a->record, "twin");

	a->run = json_is_true(json_object_get(a->record, "run"));
	a->wish.launched = json_is_true(json_object_get(a->record, "launched"));
	a->qemu.pid = (pid_t)json_integer_value(json_object_get(twin, "pid"));
	a->qemu.started = (unsigned long long)json_integer_value(json_object_get(twin, "started"));
	a->ram.preempt = json_is_true(json_object_get(a->record, "preempt"));
}

bool arrival_record_is(const json_t *record, const char *state)
{
	return strcmp(json_text(record, "state"), state) == 0;
}

/* Of this boot: the numbers of processes mean nothing in another one. */
static bool is_of_this_boot(const json_t *record)
{
	char boot[64];

	return strcmp(vmdesc_host(boot, sizeof(boot)), json_text(record, "boot")) == 0;
}

static enum arrival_twin_life life_of_process(const json_t *record, const char *who)
{
	const json_t *p = json_object_get(record, who);
	json_int_t pid = json_integer_value(json_object_get(p, "pid"));
	json_int_t when = json_integer_value(json_object_get(p, "started"));

	if (!is_of_this_boot(record))
		return ARRIVAL_TWIN_GONE;
	if (pid <= 0 || when <= 0)
		return ARRIVAL_TWIN_UNKNOWN;
	return process_started((pid_t)pid) == (unsigned long long)when ? ARRIVAL_TWIN_LIVES
								       : ARRIVAL_TWIN_GONE;
}

bool arrival_record_guarded(const json_t *record)
{
	return life_of_process(record, "guardian") == ARRIVAL_TWIN_LIVES;
}

/* The number of a twin that somebody else has started is that of whoever made its monitor's
 * socket: a manager, perhaps, that handed it to QEMU and has ended since. */
static bool has_heir(const json_t *record)
{
	const json_t *twin = json_object_get(record, "twin");
	json_int_t pid = json_integer_value(json_object_get(twin, "pid"));
	int fd = fd_connect_unix(json_text(record, "qmp"));
	pid_t listens;
	bool has;

	if (fd < 0) /* when in doubt, it lives: its queue is full, or we have no descriptor */
		return errno != ECONNREFUSED && errno != ENOENT && errno != ENAMETOOLONG;
	has = fd_peer(fd, NULL, &listens) == 0 && listens == pid;
	close(fd);
	return has;
}

enum arrival_twin_life arrival_record_twin(const json_t *record)
{
	enum arrival_twin_life life = life_of_process(record, "twin");

	if (life == ARRIVAL_TWIN_GONE && is_of_this_boot(record) &&
	    !json_is_true(json_object_get(record, "launched")) && *json_text(record, "qmp") &&
	    has_heir(record))
		return ARRIVAL_TWIN_UNKNOWN;
	return life;
}

bool arrival_record_may_drop(const json_t *record, struct err *e)
{
	json_int_t decided = json_integer_value(json_object_get(record, "decided_at"));
	const json_t *image;
	struct stat st;
	size_t i;

	json_array_foreach(json_object_get(record, "images"), i, image)
	{
		if (!image_in_use(json_string_value(image)))
			continue;
		err_set(e, ERR_REFUSED,
			"the VM's QEMU has ended on the destination, and another process there "
			"uses its disk %s now",
			json_string_value(image));
		return false;
	}
	if (!json_is_true(json_object_get(record, "run")))
		return true;
	if (json_is_true(json_object_get(record, "shared"))) {
		err_set(e, ERR_QEMU,
			"the VM has run on the destination, on disks that both hosts use, and its "
			"QEMU has ended there: the guest's memory at the source may not fit its "
			"disks any more, so better start it anew than resume it");
		return false;
	}
	if (json_is_true(json_object_get(record, "postcopy")) &&
	    arrival_record_is(record, "decided")) {
		err_set(
		    e, ERR_QEMU,
		    "the VM had gone over to the destination before all of its memory was there "
		    "(postcopy), and its QEMU has ended there: neither host has all of it any "
		    "more; its disks are on the destination");
		return false;
	}
	json_array_foreach(json_object_get(record, "images"), i, image)
	{
		if (stat(json_string_value(image), &st) < 0 || st.st_mtime <= decided + KEPT_S)
			continue;
		err_set(e, ERR_QEMU,
			"the VM has run on the destination for a time and its QEMU has ended "
			"there: what it wrote is in %s, newer than what the source has",
			json_string_value(image));
		return false;
	}
	return true;
}

/* A twin of the arrival, or its TPM, that waits although its guardian was killed: whoever listens
 * there, in a folder that only we can enter, or only the twin's user: then it is to be that user's,
 * whatever that user has linked there. */
static void kill_listener(const char *path, const char *dir_path)
{
	int fd = fd_connect_unix(path);
	uint64_t until_ms = clock_ms() + KILL_MS;
	unsigned long long when;
	struct stat dir;
	uid_t uid;
	pid_t pid;

	if (fd < 0)
		return;
	if (fd_peer(fd, &uid, &pid) == 0 && pid > 1 && pid != getpid() &&
	    stat(dir_path, &dir) == 0 && dir.st_uid == uid) {
		when = process_started(pid);
		kill(pid, SIGKILL);
		while (when && process_started(pid) == when && clock_ms() < until_ms)
			usleep(10000);
	}
	close(fd);
}

void arrival_record_clean(const struct service *s, const json_t *record)
{
	const char *dir = json_text(record, "dir");
	const json_t *made;
	char tpm[PATH_MAX];
	size_t i;

	if (json_is_true(json_object_get(record, "launched")) && *dir) {
		kill_listener(json_text(record, "qmp"), dir);
		/* (it ends with its client, which may not have come) */
		snprintf(tpm, sizeof(tpm), "%s/swtpm.sock", dir);
		kill_listener(tpm, dir);
	}
	json_array_foreach(json_object_get(record, "made"), i, made)
	{
		const char *path = json_string_value(made);

		if (path && path[0] == 'F')
			leftovers_file(s->leftovers, path + 1);
		else if (path && path[0] == 'D')
			leftovers_dir(s->leftovers, path + 1);
	}
}

/* The journal: see journal.h. Owned by whoever steers the job. It holds no secrets:
 * credentials are named by the files that they are in. */
#include "control/talk/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/slots.h"
#include "control/talk/cookie.h"

enum { PATH_LEN = 512 };

struct journal {
	char state_dir[PATH_LEN], dir[PATH_LEN];
	char path[PATH_LEN + 64], lock[PATH_LEN + 72];
	int lock_fd;
	struct slots slots;
};

static const char *const sides[] = {"source", "destination"};

static int make_dir(const char *path, struct err *e)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set_sys(e, errno,
				   "the folder for adit's state, %s, cannot be made "
				   "(--state-dir names another)",
				   path);
	if (stat(path, &st) < 0)
		return err_set_sys(e, errno, "the folder for adit's state, %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFIG,
			       "%s is to hold adit's state and is not a folder (--state-dir names "
			       "another)",
			       path);
	return 0;
}

/* The path alone; nothing is looked at. */
static int name_dir(const char *given, char *buf, size_t size, struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;

	if (given)
		n = snprintf(buf, size, "%s", given);
	else if (geteuid() == 0)
		n = snprintf(buf, size, "/var/lib/adit");
	else if (state && state[0] == '/')
		n = snprintf(buf, size, "%s/adit", state);
	else if (home && home[0] == '/')
		n = snprintf(buf, size, "%s/.local/state/adit", home);
	else
		return err_set(e, ERR_USAGE,
			       "no place for adit's state: there is no HOME, give --state-dir DIR");
	if (n < 0 || (size_t)n >= size || (size_t)n > PATH_LEN - 32)
		return err_set(e, ERR_USAGE, "--state-dir: the path is too long");
	if (buf[0] != '/')
		return err_set(e, ERR_USAGE, "--state-dir %s: give an absolute path", buf);
	return 0;
}

static int check_owner(const char *dir, struct err *e)
{
	struct stat st;

	if (stat(dir, &st) == 0 && (st.st_uid != geteuid() || (st.st_mode & 022)))
		return err_set(
		    e, ERR_CONFIG,
		    "%s holds adit's state: it must belong to the user who runs adit and "
		    "be writable for nobody else (chmod 0700 it, or give --state-dir)",
		    dir);
	return 0;
}

int journal_find(const char *given, char *buf, size_t size, struct err *e)
{
	char sub[PATH_LEN];
	struct stat st;

	if (name_dir(given, buf, size, e) < 0)
		return e->code;
	snprintf(sub, sizeof(sub), "%.490s/journal", buf);
	if (stat(sub, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (access(sub, R_OK | X_OK) < 0)
			return err_set_sys(e, errno, "the journal's folder %s", sub);
		return check_owner(buf, e) < 0 ? (int)e->code : 1;
	}
	if (!given && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (stat(buf, &st) < 0)
		return err_set_sys(e, errno,
				   "--state-dir %s (the folder that adit migrate and adit serve "
				   "were given is meant)",
				   buf);
	return err_set(e, ERR_CONFIG,
		       "%s holds no state of adit's: give --state-dir the folder that adit migrate "
		       "and adit serve were given",
		       buf);
}

int journal_prepare(const char *given, char *buf, size_t size, struct err *e)
{
	char sub[PATH_LEN];
	int n;

	if (name_dir(given, buf, size, e) < 0)
		return e->code;
	for (char *at = buf + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		if (mkdir(buf, 0755) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES) {
			n = err_set_sys(e, errno, "the folder %s cannot be made", buf);
			*at = '/';
			return n;
		}
		*at = '/';
	}
	if (make_dir(buf, e) < 0)
		return e->code;
	if (check_owner(buf, e) < 0)
		return e->code;
	snprintf(sub, sizeof(sub), "%.490s/journal", buf);
	/* Where the records have gone, who answered for them has: a "never" is not that host's. */
	if (mkdir(sub, 0700) == 0) {
		snprintf(sub, sizeof(sub), "%.490s/host-id", buf);
		unlink(sub);
		return 0;
	}
	return make_dir(sub, e);
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -1;
	r = fsync(fd);
	fd_close(&fd);
	return r;
}

/* path := text, whole or not at all, by way of tmp in the folder dir. */
static int replace_file(const char *dir, const char *path, const char *tmp, const char *text,
			struct err *e)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0 || fsync(fd) < 0 ||
	    rename(tmp, path) < 0 || sync_dir(dir) < 0) {
		err_set_sys(e, errno, "the journal %s cannot be written", path);
		if (fd >= 0)
			unlink(tmp);
		fd_close(&fd);
		return -1;
	}
	fd_close(&fd);
	return 0;
}

static int read_id(const char *path, char *buf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, JOURNAL_HOST_ID_LEN);

	fd_close(&fd);
	buf[JOURNAL_HOST_ID_LEN] = '\0';
	return n == JOURNAL_HOST_ID_LEN && cookie_is_job(buf) ? 0 : -1;
}

static int write_id(const char *state_dir, const char *path, const char *id, struct err *e)
{
	char tmp[PATH_LEN + 32], text[JOURNAL_HOST_ID_LEN + 2];

	snprintf(text, sizeof(text), "%s\n", id);
	snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid());
	return replace_file(state_dir, path, tmp, text, e);
}

int journal_host_id(const char *state_dir, char *buf, struct err *e)
{
	char path[PATH_LEN];

	_Static_assert((int)JOURNAL_HOST_ID_LEN == (int)COOKIE_JOB_LEN, "both are 128 random bits");
	snprintf(path, sizeof(path), "%.480s/host-id", state_dir);
	if (read_id(path, buf) == 0)
		return 0;
	if (access(path, F_OK) == 0)
		return err_set(e, ERR_CONFIG,
			       "%s is not a host's id: restore it, or remove it when no migration "
			       "waits for recovery",
			       path);
	if (cookie_make_job(buf, e) < 0)
		return -1;
	return write_id(state_dir, path, buf, e);
}

static void name_files(struct journal *j, const char *state_dir, enum journal_side side,
		       const char *job)
{
	snprintf(j->state_dir, sizeof(j->state_dir), "%.490s", state_dir);
	snprintf(j->dir, sizeof(j->dir), "%.490s/journal", state_dir);
	snprintf(j->path, sizeof(j->path), "%s/%s-%.32s.json", j->dir, sides[side], job);
	snprintf(j->lock, sizeof(j->lock), "%s.lock", j->path);
	slots_init(&j->slots, j->path);
}

/* Somebody has removed the folder while adit ran: it is needed, and made again. */
static int make_again(const char *state_dir, struct err *e)
{
	char path[PATH_LEN];

	if (journal_prepare(state_dir, path, sizeof(path), e) < 0)
		return -1;
	log_warn(NULL, "%s/journal, where adit keeps its state, had been removed: it is made again",
		 state_dir);
	return 0;
}

/* Whether the lock that is held is the file that another process would take. */
static bool lock_counts(const struct journal *j)
{
	struct stat held, there;

	return fstat(j->lock_fd, &held) == 0 && stat(j->lock, &there) == 0 &&
	       held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

static int take_lock(struct journal *j, const char *job, struct err *e)
{
	for (;;) {
		j->lock_fd = open(j->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (j->lock_fd < 0 && errno == ENOENT && access(j->dir, F_OK) < 0) {
			if (make_again(j->state_dir, e) < 0)
				return -1;
			continue;
		}
		if (j->lock_fd < 0) {
			err_set_sys(e, errno, "the journal's lock %s", j->lock);
			return -1;
		}
		if (flock(j->lock_fd, LOCK_EX | LOCK_NB) < 0) {
			err_set(e, ERR_REFUSED, "another adit on this host steers job %.32s now",
				job);
			fd_close(&j->lock_fd);
			return -1;
		}
		/* Whoever held it before may have removed the file. */
		if (lock_counts(j))
			return 0;
		fd_close(&j->lock_fd);
	}
}

struct journal *journal_open(const char *state_dir, enum journal_side side, const char *job,
			     struct err *e)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j) {
		err_set(e, ERR_SPACE, "no memory for the journal");
		return NULL;
	}
	j->lock_fd = -1;
	name_files(j, state_dir, side, job);
	if (take_lock(j, job, e) == 0)
		return j;
	free(j);
	return NULL;
}

/* It could not be removed, and says so: for everybody there is none. */
static bool is_settled(const json_t *record)
{
	return strcmp(json_string_value(json_object_get(record, "state")), "settled") == 0;
}

json_t *journal_read(const struct journal *j, struct err *e)
{
	json_error_t why = {.text = ""};
	json_t *record;
	char *text;
	struct err ignored = ERR_INIT;

	e = e ? e : &ignored;
	text = slots_read(j->path, e);
	if (!text) {
		if (err_is_set(e))
			err_prefix(e, "the journal");
		return NULL;
	}
	record = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	free(text);
	if (!json_is_object(record) || !json_is_string(json_object_get(record, "state")) ||
	    json_integer_value(json_object_get(record, "adit")) != COOKIE_VERSION) {
		err_set(e, ERR_CONFIG, "the journal %s cannot be read: %s", j->path,
			record ? "it is of another adit" : why.text);
		json_decref(record);
		return NULL;
	}
	if (is_settled(record)) {
		json_decref(record);
		return NULL;
	}
	return record;
}

json_t *journal_peek(const char *state_dir, enum journal_side side, const char *job)
{
	struct journal j;

	name_files(&j, state_dir, side, job);
	return journal_read(&j, NULL);
}

/* The folder is there, and the lock in it is ours. A lock that went with the folder is taken
 * anew. */
static int hold_on(struct journal *j, struct err *e)
{
	int held = j->lock_fd;

	if (lock_counts(j))
		return 0;
	if (take_lock(j, strrchr(j->path, '-') + 1, e) < 0) {
		j->lock_fd = held;
		return e ? (int)e->code : ERR_SYSTEM;
	}
	fd_close(&held);
	return 0;
}

int journal_write(struct journal *j, const json_t *record, struct err *e)
{
	char *text = json_dumps(record, JSON_COMPACT | JSON_PRESERVE_ORDER);
	struct err why = ERR_INIT;

	if (!text)
		return err_set(e, ERR_SPACE, "no memory for the journal");
	if (hold_on(j, &why) == 0)
		slots_write(&j->slots, text, strlen(text), &why);
	free(text);
	if (!err_is_set(&why))
		return 0;
	return err_set(
	    e, why.code,
	    "the journal in %s cannot be written (%s): make room there, or let adit write there",
	    j->state_dir, why.text);
}

/* The record, and what a process has left that was killed while it made the file. */
static int unlink_record(const char *path)
{
	char tmp[PATH_LEN + 72];

	snprintf(tmp, sizeof(tmp), "%.570s.tmp", path);
	unlink(tmp);
	return unlink(path);
}

/* In a folder that can only be read by now, what is open can still be written. */
static void mark_settled(struct journal *j)
{
	json_t *o = json_pack("{s:i,s:s}", "adit", COOKIE_VERSION, "state", "settled");
	struct err e = ERR_INIT;

	if (o && journal_write(j, o, &e) < 0)
		log_warn(NULL, "%s: the job is settled, but what is there does not say so", e.text);
	json_decref(o);
}

int journal_remove(struct journal *j)
{
	bool gone;

	if (!j)
		return 0;
	gone = unlink_record(j->path) == 0 || errno == ENOENT || errno == ENOTDIR;
	if (gone) {
		sync_dir(j->dir);
	} else {
		log_warn(NULL, "the job is settled, and its record %s cannot be removed now (%s)",
			 j->path, strerror(errno));
		mark_settled(j);
	}
	journal_close(j);
	return gone ? 0 : -1;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	/* While it is held: whoever opens it meanwhile sees that it is another file. */
	unlink(j->lock);
	fd_close(&j->lock_fd);
	slots_fini(&j->slots);
	free(j);
}

const char *journal_path(const struct journal *j)
{
	return j->path;
}

/* Removes a lock that nobody holds. Whoever opens it meanwhile sees that it is another
 * file. */
static void remove_lock(const char *lock)
{
	int fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlink(lock);
	fd_close(&fd);
}

int journal_settle(const char *path)
{
	char lock[PATH_LEN + 72], dir[PATH_LEN + 64], *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || unlink_record(path) < 0)
		return -1;
	*slash = '\0';
	sync_dir(dir);
	snprintf(lock, sizeof(lock), "%.570s.lock", path);
	remove_lock(lock);
	return 0;
}

/* Removes the lock of a process that died before it had written a record, or could not remove
 * it. */
static void sweep_lock(const char *dir, const char *name)
{
	char lock[PATH_LEN + 72], record[PATH_LEN + 72];
	int len = snprintf(lock, sizeof(lock), "%s/%s", dir, name);

	snprintf(record, sizeof(record), "%.*s", len - (int)strlen(".lock"), lock);
	if (access(record, F_OK) < 0)
		remove_lock(lock);
}

/* True where it is settled; then it is removed, if that can be done by now. */
static bool sweep_settled(const char *state_dir, enum journal_side side, const char *job)
{
	struct journal j, *held;
	json_t *record;
	struct err e = ERR_INIT;
	char *text;
	bool settled;

	name_files(&j, state_dir, side, job);
	text = slots_read(j.path, &e);
	record = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	settled = json_is_string(json_object_get(record, "state")) && is_settled(record);
	json_decref(record);
	if (settled && unlink_record(j.path) == 0) {
		held = journal_open(state_dir, side, job, &e);
		journal_close(held); /* and its lock */
	}
	return settled;
}

int journal_list(const char *state_dir, enum journal_side side, struct strvec *jobs, struct err *e)
{
	char dir[PATH_LEN], job[COOKIE_JOB_LEN + 1];
	size_t head = strlen(sides[side]) + 1;
	struct dirent *d;
	DIR *at;

	snprintf(dir, sizeof(dir), "%.490s/journal", state_dir);
	at = opendir(dir);
	if (!at)
		return err_set_sys(e, errno, "the journal's folder %s", dir);
	while ((d = readdir(at)) != NULL) {
		size_t len = strlen(d->d_name);

		if (len > 10 && len < 70 && strcmp(d->d_name + len - 10, ".json.lock") == 0)
			sweep_lock(dir, d->d_name);
		if (strncmp(d->d_name, sides[side], head - 1) != 0 || d->d_name[head - 1] != '-' ||
		    len != head + COOKIE_JOB_LEN + 5 ||
		    strcmp(d->d_name + head + COOKIE_JOB_LEN, ".json") != 0)
			continue;
		snprintf(job, sizeof(job), "%.32s", d->d_name + head);
		if (cookie_is_job(job) && !sweep_settled(state_dir, side, job))
			strvec_push(jobs, job);
	}
	closedir(at);
	return 0;
}

/* See leftovers.h. Owned by the service. Each is known by its inode, so that what somebody else
 * makes under its name meanwhile is safe. */
#include "control/host/leftovers.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/host/image.h"
#include "control/talk.h"

enum { EVERY_MS = 500 };

enum kind { FOLDER, PLAIN, RECORD };

struct leftover {
	TAILQ_ENTRY(leftover) listed;
	char *path;
	enum kind kind;
	struct stat st,
	    parent; /* it, and the folder that it is in, as they were when it was to go */
};

struct leftovers {
	struct event *ev;
	TAILQ_HEAD(, leftover) list;
};

/* Inodes are given anew; a file's times are not, and nobody writes to this one any more. */
static bool is_same(const struct leftover *o, const struct stat *st)
{
	return st->st_dev == o->st.st_dev && st->st_ino == o->st.st_ino &&
	       S_ISDIR(st->st_mode) == (o->kind == FOLDER) &&
	       (o->kind == FOLDER ||
		(st->st_size == o->st.st_size && st->st_mtim.tv_sec == o->st.st_mtim.tv_sec &&
		 st->st_mtim.tv_nsec == o->st.st_mtim.tv_nsec));
}

enum fate { STAYS, GONE, NOT_OURS };

static enum fate gone_if(bool done)
{
	return done ? GONE : STAYS;
}

/* An image of a VM is nothing to be left without a word; a folder with sockets, or a record, is. */
static enum fate not_ours(const struct leftover *o, const char *why)
{
	log_write(o->kind == PLAIN ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, NULL,
		  o->kind == PLAIN ? "%s is left: %s; if nobody needs it, remove it"
				   : "%s is left: %s",
		  o->path, why);
	return NOT_OURS;
}

/* Removes it from the open folder parent, in which it is called name. */
static enum fate remove_in(const struct leftover *o, int parent, const char *name)
{
	struct stat st;

	if (fstat(parent, &st) < 0)
		return STAYS;
	if (st.st_dev != o->parent.st_dev || st.st_ino != o->parent.st_ino)
		return not_ours(o, "its folder is another one by now");
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return gone_if(errno == ENOENT);
	if (!is_same(o, &st))
		return not_ours(o, "it is not what was to be removed any more");
	if (o->kind == FOLDER)
		return gone_if(dir_remove_at(parent, name, &o->st) == 0);
	if (o->kind == RECORD)
		return gone_if(journal_settle(o->path) == 0);
	if (image_in_use_at(parent, name))
		return not_ours(o, "it is another process's by now");
	return gone_if(unlinkat(parent, name, 0) == 0 || errno == ENOENT);
}

/* Removes it. STAYS: errno says why. NOT_OURS has been told. The folder is not held open between
 * tries: nobody could unmount its file system, which may be the mend. */
static enum fate remove_it(const struct leftover *o)
{
	const char *name;
	int parent = dir_open_parent(o->path, &name);
	enum fate fate;

	if (parent < 0)
		return gone_if(errno == ENOENT || errno == ENOTDIR);
	fate = remove_in(o, parent, name);
	fd_close(&parent);
	return fate;
}

static void drop(struct leftovers *l, struct leftover *o)
{
	TAILQ_REMOVE(&l->list, o, listed);
	free(o->path);
	free(o);
}

static void again(struct leftovers *l)
{
	static const struct timeval soon = {.tv_usec = EVERY_MS * 1000};

	if (!TAILQ_EMPTY(&l->list))
		event_add(l->ev, &soon);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
	struct leftovers *l = ctx;
	struct leftover *o, *next;

	(void)fd;
	(void)what;
	for (o = TAILQ_FIRST(&l->list); o; o = next) {
		enum fate fate = remove_it(o);

		next = TAILQ_NEXT(o, listed);
		if (fate == STAYS)
			continue;
		if (fate == GONE)
			log_info(NULL, "%s is removed", o->path);
		drop(l, o);
	}
	again(l);
}

struct leftovers *leftovers_new(struct event_base *base, struct err *e)
{
	struct leftovers *l = calloc(1, sizeof(*l));

	if (l) {
		TAILQ_INIT(&l->list);
		l->ev = evtimer_new(base, on_due, l);
	}
	if (!l || !l->ev) {
		err_set(e, ERR_SPACE, "no memory for what is to be removed");
		leftovers_free(l);
		return NULL;
	}
	return l;
}

static struct leftover *find(struct leftovers *l, const char *path)
{
	struct leftover *o;

	TAILQ_FOREACH(o, &l->list, listed)
	if (strcmp(o->path, path) == 0)
		return o;
	return NULL;
}

static void take(struct leftovers *l, const char *path, enum kind kind)
{
	struct leftover now = {.path = (char *)path, .kind = kind}, *o;
	const char *name;
	int parent = dir_open_parent(path, &name), error;
	enum fate fate = GONE;

	if (parent >= 0 && fstat(parent, &now.parent) == 0 &&
	    fstatat(parent, name, &now.st, AT_SYMLINK_NOFOLLOW) == 0)
		fate = remove_in(&now, parent, name);
	error = errno;
	fd_close(&parent);
	if (fate != STAYS)
		return;
	if (l && find(l, path))
		return;
	log_warn(NULL, "%s cannot be removed (%s)%s", path, strerror(error),
		 l ? ": it is tried again every half second" : "");
	o = l ? calloc(1, sizeof(*o)) : NULL;
	if (!o)
		return;
	*o = now;
	o->path = strdup(path);
	if (!o->path) {
		free(o);
		return;
	}
	TAILQ_INSERT_TAIL(&l->list, o, listed);
	again(l);
}

void leftovers_dir(struct leftovers *l, const char *path)
{
	take(l, path, FOLDER);
}

void leftovers_file(struct leftovers *l, const char *path)
{
	take(l, path, PLAIN);
}

void leftovers_record(struct leftovers *l, const char *path)
{
	take(l, path, RECORD);
}

void leftovers_forget(struct leftovers *l, const char *path)
{
	struct leftover *o = l ? find(l, path) : NULL;

	if (o)
		drop(l, o);
}

void leftovers_free(struct leftovers *l)
{
	struct leftover *o;

	if (!l)
		return;
	while ((o = TAILQ_FIRST(&l->list)) != NULL) {
		if (remove_it(o) == STAYS)
			log_error(NULL, "%s is left: remove it (%s)", o->path, strerror(errno));
		drop(l, o);
	}
	if (l->ev)
		event_free(l->ev);
	free(l);
}

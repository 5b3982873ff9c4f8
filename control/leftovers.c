/* See leftovers.h. Owned by the service. Each is known by its inode, so that what somebody else
 * makes under its name meanwhile is safe. */
#include "control/leftovers.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/log.h"
#include "control/image.h"
#include "control/journal.h"

enum { EVERY_MS = 500 };

enum kind { FOLDER, PLAIN, RECORD };

struct leftover {
	TAILQ_ENTRY(leftover) listed;
	char *path;
	enum kind kind;
	struct stat st; /* as it was when it was to go */
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

/* Removes it. STAYS: errno says why. NOT_OURS has been told. */
static enum fate remove_it(const struct leftover *o)
{
	struct stat st;

	if (lstat(o->path, &st) < 0)
		return gone_if(errno == ENOENT || errno == ENOTDIR);
	if (!is_same(o, &st)) {
		log_info(NULL, "%s is left: it is not what was to be removed any more", o->path);
		return NOT_OURS;
	}
	if (o->kind == FOLDER)
		return gone_if(dir_remove(o->path) == 0);
	if (o->kind == RECORD)
		return gone_if(journal_settle(o->path) == 0);
	if (image_in_use(o->path)) {
		log_error(NULL, "%s is left: it is another process's by now", o->path);
		return NOT_OURS;
	}
	return gone_if(unlink(o->path) == 0 || errno == ENOENT);
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
	int error;

	if (lstat(path, &now.st) < 0 || remove_it(&now) != STAYS)
		return;
	error = errno;
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

/* See proc_text.h. It prints into memory of ours: nobody has to read while it runs. */
#include "control/host/proc_text.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "control/host/proc.h"

enum { TEXT_MAX = 64 << 20 };

struct proc_text {
	proc_text_done *fn;
	void *ctx;
	const char *name; /* argv's: a literal */
	unsigned limit_ms;
	struct proc *proc;
	struct event *ev; /* the limit */
	int out, err;
	char *text; /* mapped; NULL: none */
	size_t len;
};

static void say(struct proc_text *t, const struct err *why)
{
	event_del(t->ev);
	t->fn(t->ctx, t->text ? t->text : "", t->len, why);
}

static void read_text(struct proc_text *t, struct err *e)
{
	struct stat st;

	if (fstat(t->out, &st) < 0 || st.st_size > TEXT_MAX) {
		err_set(e, ERR_SPACE, "%s says too much", t->name);
		return;
	}
	if (!st.st_size)
		return;
	t->text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, t->out, 0);
	if (t->text == MAP_FAILED) {
		err_set_sys(e, errno, "what %s says cannot be read", t->name);
		t->text = NULL;
		return;
	}
	t->len = (size_t)st.st_size;
}

/* As many do. */
static bool names_itself(const struct proc_text *t, const char *line)
{
	size_t len = strlen(t->name);

	return strncmp(line, t->name, len) == 0 && line[len] == ':';
}

static void on_exited(void *ctx, struct proc *p, int status)
{
	struct proc_text *t = ctx;
	struct err e = ERR_INIT;
	char line[300];

	proc_free(p);
	t->proc = NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		read_text(t, &e);
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) /* a limit of its own */
		err_set(&e, ERR_TIMEOUT, "%s did not end within its time", t->name);
	else if (*proc_last_line(t->err, line, sizeof(line)))
		err_set(&e, ERR_CLOSED, "%s%s%s", names_itself(t, line) ? "" : t->name,
			names_itself(t, line) ? "" : ": ", err_printable(line));
	else
		err_set(&e, ERR_CLOSED, "%s failed", t->name);
	say(t, &e);
}

static void on_limit(evutil_socket_t fd, short what, void *ctx)
{
	struct proc_text *t = ctx;
	struct err e = ERR_INIT;

	(void)fd;
	(void)what;
	proc_kill(t->proc);
	t->proc = NULL;
	err_set(&e, ERR_TIMEOUT, "%s did not end within %u s", t->name, t->limit_ms / 1000);
	say(t, &e);
}

struct proc_text *proc_text_start(struct event_base *base, const char *const *argv,
				  unsigned limit_ms, proc_text_done *fn, void *ctx, struct err *e)
{
	struct timeval tv = clock_timeval(limit_ms);
	struct proc_text *t = calloc(1, sizeof(*t));
	struct proc_io io = {.in = -1};

	if (!t) {
		err_set(e, ERR_SPACE, "no memory to ask %s", argv[0]);
		return NULL;
	}
	*t = (struct proc_text){.fn = fn,
				.ctx = ctx,
				.name = argv[0],
				.limit_ms = limit_ms,
				.out = memfd_create("said", MFD_CLOEXEC),
				.err = memfd_create("errors", MFD_CLOEXEC),
				.ev = evtimer_new(base, on_limit, t)};
	if (t->out < 0 || t->err < 0 || !t->ev || event_add(t->ev, &tv) < 0) {
		err_set_sys(e, errno, "%s cannot be asked", argv[0]);
	} else {
		io.out = t->out;
		io.err = t->err;
		t->proc =
		    proc_start_io(base, (char *const *)(uintptr_t)argv, &io, NULL, on_exited, t, e);
	}
	if (t->proc)
		return t;
	proc_text_free(t);
	return NULL;
}

void proc_text_free(struct proc_text *t)
{
	if (!t)
		return;
	proc_kill(t->proc);
	if (t->text)
		munmap(t->text, t->len);
	fd_close(&t->out);
	fd_close(&t->err);
	if (t->ev)
		event_free(t->ev);
	free(t);
}

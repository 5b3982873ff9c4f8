/* See inherited.h. */
#include "cli/common/inherited.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/close_range.h>

enum { INHERITED_FDS_MAX = 256 };

static struct {
	sigset_t ignored, mask;
	struct rlimit files;
	int has_files;
	int fds[INHERITED_FDS_MAX]; /* above 2, rising */
	size_t fd_count;
} at_start;

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static void save_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *item;

	while (d && (item = readdir(d)) != NULL && at_start.fd_count < INHERITED_FDS_MAX) {
		int fd = atoi(item->d_name);

		if (fd > STDERR_FILENO && fd != dirfd(d))
			at_start.fds[at_start.fd_count++] = fd;
	}
	if (d)
		closedir(d);
	qsort(at_start.fds, at_start.fd_count, sizeof(at_start.fds[0]), compare);
}

void inherited_save(void)
{
	struct sigaction act;

	sigemptyset(&at_start.ignored);
	for (int i = 1; i < NSIG; i++)
		if (sigaction(i, NULL, &act) == 0 && act.sa_handler == SIG_IGN)
			sigaddset(&at_start.ignored, i);
	sigprocmask(SIG_SETMASK, NULL, &at_start.mask);
	at_start.has_files = getrlimit(RLIMIT_NOFILE, &at_start.files) == 0;
	save_fds();
}

int inherited_ignored(int signum)
{
	return sigismember(&at_start.ignored, signum) == 1;
}

/* What lies between two inherited descriptors is ours. */
static void close_own(unsigned first, unsigned last)
{
	if (first <= last)
		close_range(first, last, CLOSE_RANGE_CLOEXEC);
}

void inherited_restore(void)
{
	unsigned next = STDERR_FILENO + 1;

	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			signal(i, inherited_ignored(i) ? SIG_IGN : SIG_DFL);
	if (at_start.has_files)
		setrlimit(RLIMIT_NOFILE, &at_start.files);
	for (size_t i = 0; i < at_start.fd_count; i++) {
		close_own(next, (unsigned)at_start.fds[i] - 1);
		next = (unsigned)at_start.fds[i] + 1;
	}
	close_own(next, ~0U);
	sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
}

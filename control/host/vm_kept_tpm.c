/* See vm_kept_tpm.h. */
#include "control/host/vm_kept_tpm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/host/tpm.h"
#include "control/host/vm_kept.h"

enum { LISTEN_FD = 3, TOLD_FD = 4, FREE_FD = 10 };

/* The words that it is started with, but that it gets its socket by descriptor and stays our child,
 * and the path of that socket. */
static int read_words(const json_t *words, struct strvec *argv, char *path, size_t size)
{
	static const char by_path[] = "type=unixio,path=";
	const json_t *word;
	size_t i;

	*path = 0;
	json_array_foreach(words, i, word)
	{
		const char *s = json_string_value(word);

		if (!s)
			return -1;
		if (strncmp(s, by_path, strlen(by_path)) == 0) {
			snprintf(path, size, "%s", s + strlen(by_path));
			strvec_pushf(argv, "type=unixio,fd=%d", LISTEN_FD);
		} else if (strcmp(s, "--daemon") != 0) {
			strvec_push(argv, s);
		}
	}
	return argv->failed || !argv->count || argv->at[0][0] != '/' || !*path ? -1 : 0;
}

/* Of ours it has its socket: taps and locks are QEMU's alone. told is written to where it cannot be
 * run. */
static void run_child(const struct vm_kept *k, char *const *argv, int fd, int told, pid_t parent)
{
	int why;

	setsid(); /* a key at QEMU's terminal is not for it */
	fd = fcntl(fd, F_DUPFD, FREE_FD);
	told = fcntl(told, F_DUPFD, FREE_FD);
	dup2(fd, LISTEN_FD);
	dup3(told, TOLD_FD, O_CLOEXEC);
	syscall(SYS_close_range, TOLD_FD + 1u, ~0u, 0u);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0}); /* (what it holds is secret) */
	/* (the signal is forgotten where the user changes) */
	if ((!user_is_given(&k->user) || user_become(&k->user) == 0) &&
	    prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent)
		execv(argv[0], argv);
	why = errno;
	if (write(TOLD_FD, &why, sizeof(why)) < 0)
		_exit(126);
	_exit(127);
}

static int run(const struct vm_kept *k, char *const *argv, int fd, struct err *e)
{
	const pid_t parent = getpid();
	int told[2], why;
	ssize_t n;
	pid_t pid;

	if (pipe2(told, O_CLOEXEC) < 0)
		return err_set_sys(e, errno, "%s, which is its TPM, cannot be started", argv[0]);
	pid = fork();
	if (pid == 0)
		run_child(k, argv, fd, told[1], parent);
	why = errno;
	fd_close(&told[1]);
	do
		n = pid < 0 ? 1 : read(told[0], &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	fd_close(&told[0]);
	if (n != 0)
		err_set_sys(e, why, "%s, which is its TPM, cannot be started", argv[0]);
	return e->code;
}

int vm_kept_start_tpm(const struct vm_kept *k, struct err *e)
{
	const json_t *words = json_object_get(k->file, "tpm");
	struct strvec argv = {0};
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int fd = -1;

	if (!words)
		return 0;
	if (read_words(words, &argv, path, sizeof(path)) < 0)
		err_set(e, ERR_CONFIG, "its TPM is not kept as adit wrote it");
	else if ((fd = tpm_listen(path, &k->user, e)) >= 0)
		run(k, argv.at, fd, e);
	fd_close(&fd);
	strvec_fini(&argv);
	return e->code;
}

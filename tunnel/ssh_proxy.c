/*
 * See ssh_proxy.h. libssh forks by itself, so the child is met in a handler of fork's. Signals of
 * this process are left alone: they are all threads', and a Ctrl-C that came meanwhile would be
 * lost. A process group of its own would be cleaner, but `ssh` asks for the passphrase or
 * password of a jump host at the terminal, which only the terminal's own group may read.
 *
 * libssh has a shell run the command, with standard error at /dev/null; so the command begins with
 * another redirection. What is written goes to memory of a fixed size: nobody has to read it, and a
 * program that goes on writing is not held up.
 */
#include "tunnel/ssh_proxy.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"

enum { WORDS_MAX = 16 * 1024 };

static _Thread_local int shielded, kept = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* In the child. Ignored for what asks (ssh does); blocked for what sets handlers regardless
 * (socat). Nothing else stays blocked: libadit's threads block all, but libssh ends the program
 * with SIGTERM, and shells want SIGCHLD. */
static void in_child(void)
{
	sigset_t set;

	if (!shielded)
		return;
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_SETMASK, &set, NULL);
	if (kept >= 0)
		fcntl(kept, F_SETFD, 0);
}

static void prepare(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

void ssh_proxy_shield(int on, int said)
{
	if (on)
		pthread_once(&once, prepare);
	shielded = on;
	kept = said;
}

int ssh_proxy_keep_words(void)
{
	int fd = memfd_create("adit-proxy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || (ftruncate(fd, WORDS_MAX) == 0 &&
		       fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0))
		return fd;
	close(fd);
	return -1;
}

/* libssh takes the user's shell, which may be one that redirects with other words. */
static int is_plain_shell(void)
{
	static const char *const known[] = {"sh",  "bash", "rbash", "dash", "ash",
					    "zsh", "ksh",  "ksh93", "mksh"};
	const char *shell = getenv("SHELL"), *name;

	if (!shell || !*shell)
		return 1; /* /bin/sh */
	name = strrchr(shell, '/') ? strrchr(shell, '/') + 1 : shell;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(name, known[i]) == 0)
			return 1;
	return 0;
}

char *ssh_proxy_with_words(const char *command, int said)
{
	char *text;

	/* (A shell whose redirection fails would not go on.) */
	if (said < 0 || !is_plain_shell() || access("/proc/self/fd", X_OK) < 0)
		return NULL;
	/* libssh puts `exec` before it; not `>`, which would make the file shorter. */
	return asprintf(&text, "2<>/proc/self/fd/%d; %s", said, command) < 0 ? NULL : text;
}

/* Cuts line breaks and blanks off the end of text[0..len). */
static size_t trim(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	return len;
}

/* Where the last line of text[0..len) begins. */
static size_t last_line(const char *text, size_t len)
{
	while (len > 0 && text[len - 1] != '\n')
		len--;
	return len;
}

char *ssh_proxy_words(int said, char *buf, size_t size)
{
	char text[WORDS_MAX + 1];
	ssize_t got = said < 0 ? -1 : pread(said, text, WORDS_MAX, 0);
	size_t len, at, before;

	*buf = '\0';
	if (got <= 0)
		return buf;
	text[got] = '\0';
	len = trim(text, strlen(text));
	if (!len)
		return buf;
	at = last_line(text, len);
	before = trim(text, at);
	if (before > 0) {
		size_t begin = last_line(text, before);

		snprintf(buf, size, "%.*s; %.*s", (int)(before - begin), text + begin,
			 (int)(len - at), text + at);
	} else {
		snprintf(buf, size, "%.*s", (int)(len - at), text + at);
	}
	err_printable(buf);
	return buf;
}

/*
 * See ssh_proxy.h. libssh forks by itself, so the child is met in a handler of fork's. Signals of
 * this process are left alone: they are all threads', and a Ctrl-C that came meanwhile would be
 * lost. A process group of its own would be cleaner, but `ssh` asks for the passphrase or
 * password of a jump host at the terminal, which only the terminal's own group may read.
 */
#include "tunnel/ssh_proxy.h"

#include <pthread.h>
#include <signal.h>

static _Thread_local int shielded;
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
}

static void prepare(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

void ssh_proxy_shield(int on)
{
	if (on)
		pthread_once(&once, prepare);
	shielded = on;
}

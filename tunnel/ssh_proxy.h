/*
 * The program that libssh starts for a ProxyCommand or a ProxyJump.
 *
 * It is in our process group: Ctrl-C at a terminal would reach it too, and end the connection under
 * a program that wants to end in order. And libssh throws away what it writes to standard error,
 * which says why there is no connection.
 */
#ifndef ADIT_TUNNEL_SSH_PROXY_H
#define ADIT_TUNNEL_SSH_PROXY_H

#include <stddef.h>

/* From now on (on: 1) until it is called again (0), a process that this thread forks has SIGINT
 * and SIGQUIT ignored and blocked, no other signal blocked, and what it executes keeps that, and
 * the descriptor said (-1: none). Nothing changes for this process itself, nor for what its other
 * threads fork meanwhile. */
void ssh_proxy_shield(int on, int said);

/* Keeps the first of what a program writes; the rest is lost to it. -1: it cannot be had. */
int ssh_proxy_keep_words(void);

/* command, as libssh is to run it with its standard error in said; NULL where that cannot be, and
 * it is to run as it is. The caller frees it. */
char *ssh_proxy_with_words(const char *command, int said);

/* The last two lines that were written there, as one; "" where there are none. Returns buf. */
char *ssh_proxy_words(int said, char *buf, size_t size);

#endif

/*
 * What libssh starts for a ProxyCommand or a ProxyJump is in our process group: Ctrl-C at a
 * terminal would reach it too, and end the connection under a program that wants to end in order.
 */
#ifndef ADIT_TUNNEL_SSH_PROXY_H
#define ADIT_TUNNEL_SSH_PROXY_H

/* From now on (on: 1) until it is called again (0), a process that this thread forks has SIGINT
 * and SIGQUIT ignored and blocked, no other signal blocked, and what it executes keeps that.
 * Nothing changes for this process itself, nor for what its other threads fork meanwhile. */
void ssh_proxy_shield(int on);

#endif

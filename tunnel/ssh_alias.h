/*
 * HostKeyAlias of ssh_config(5), which libssh (0.10) does not know: the name under which
 * known_hosts has a host that is reached under others, or under many.
 */
#ifndef ADIT_TUNNEL_SSH_ALIAS_H
#define ADIT_TUNNEL_SSH_ALIAS_H

#include <stddef.h>

/* The first HostKeyAlias for host, as the user wrote it, in config_file (NULL: ~/.ssh/config
 * and /etc/ssh/ssh_config), its Include lines followed. Of Match lines "all" only is taken.
 * 1 with *alias, or 0: there is none, or it is too long. */
int ssh_alias_find(const char *config_file, const char *host, char *alias, size_t size);

#endif

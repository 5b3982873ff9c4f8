/*
 * The keeper of a port (netport.h): a small process, forked before anything is done for it, that
 * attaches the port, sets the interface up where a script has attached it (so that this does not
 * hang on adit, which may be gone by then), and detaches it once the interface has gone. A tap goes
 * with the last of its descriptors, that is with its QEMU, however that ends: so it is told of a
 * failed job, of a VM that ends years later, and of an adit that was killed, by one and the same
 * word, the kernel's.
 */
#ifndef ADIT_CONTROL_HOST_NETKEEPER_H
#define ADIT_CONTROL_HOST_NETKEEPER_H

#include "control/host/netport.h"

enum { NETKEEPER_ANSWER_MS = 20000 }; /* by then it has answered, or never will */

/* Starts the keeper of p, whose interface is there. It keeps no descriptor, and is nobody's child.
 * Returns what its answer is to be read from, the caller's, which does not wait; -1. */
int netkeeper_start(const struct netport *p, struct err *e);

/* Its answer, of a descriptor that can be read: whether the port is attached. ERR_...: why not; it
 * detaches then what there may be of it. */
int netkeeper_answer(int fd, const struct netport *p, struct err *e);

/* Waits for it, and the answer. fd is closed. */
int netkeeper_await(int fd, const struct netport *p, struct err *e);

#endif

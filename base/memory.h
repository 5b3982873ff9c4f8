/* How much memory this process may count on. */
#ifndef ADIT_BASE_MEMORY_H
#define ADIT_BASE_MEMORY_H

#include <stdint.h>

/* The host's, or that of the control group (v2) that this process is in, or of one above it,
 * whichever is least; in bytes. */
uint64_t memory_of_host(void);

#endif

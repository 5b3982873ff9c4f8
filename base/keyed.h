/* A hash that nobody outside can aim at: for tables whose keys a peer may choose. */
#ifndef ADIT_BASE_KEYED_H
#define ADIT_BASE_KEYED_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3 (Aumasson and Bernstein, 2012) of len bytes, with a key that this process made up
 * at the first call. Any thread. */
uint64_t keyed_hash(const void *data, size_t len);

#endif

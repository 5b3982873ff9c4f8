/* Sizes and rates as users write and read them. */
#ifndef ADIT_BASE_SIZE_H
#define ADIT_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Reads "1048576", "64K", "10M", "2G", "1T" (powers of 1024, in small letters too; an i or iB or
 * B behind is accepted). ERR_USAGE when malformed or too large. */
int size_parse(uint64_t *bytes, const char *text, struct err *e);

/* Reads a rate in bytes a second: as size_parse, with an optional "/s"; "100Mbit" is bits,
 * in powers of 1000. 0 is refused. */
int size_parse_rate(uint64_t *bytes_per_s, const char *text, struct err *e);

/* "1.5 GiB"; buf of at least 16 bytes. Returns buf. */
char *size_format(uint64_t bytes, char *buf, size_t size);

#endif

/* Where the log's lines go out: standard error, without waiting for who reads it. */
#ifndef ADIT_BASE_LOG_OUT_H
#define ADIT_BASE_LOG_OUT_H

#include <stddef.h>

/* Writes line (with its newline; at most 4096 bytes, PIPE_BUF) to standard error. 0; -1 when it
 * could not be written at once, or at all: it is lost. Never waits for a pipe or a socket, nor for
 * a terminal that can be opened; one that cannot (another user's, after su; no descriptor is left)
 * is not written to while it has no room at all, but may be waited for in the middle of a line. */
int log_out_write(const char *line, size_t len);

#endif

/* Where the log's lines go out: standard error, without ever waiting for who reads it. */
#ifndef ADIT_BASE_LOG_OUT_H
#define ADIT_BASE_LOG_OUT_H

#include <stddef.h>

/* Writes line (with its newline; at most 4096 bytes, PIPE_BUF) to standard error. 0; -1 when it
 * could not be written at once, or at all: it is lost. Never waits for a pipe, a socket or a
 * terminal. */
int log_out_write(const char *line, size_t len);

#endif

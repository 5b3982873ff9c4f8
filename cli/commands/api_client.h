/*
 * Asks the API (docs/api.md) of an adit on this host, over its unix socket. Waits for the
 * answers: for commands that do nothing else.
 */
#ifndef ADIT_CLI_COMMANDS_API_CLIENT_H
#define ADIT_CLI_COMMANDS_API_CLIENT_H

#include <jansson.h>

#include "base/err.h"

/* Sends method and path with body (stolen; may be NULL). *out is the answer's JSON, owned
 * by the caller. What the API refuses is ERR_REFUSED with its sentence; ERR_CLOSED when
 * nobody listens at socket; ERR_PROTOCOL for what is no answer. */
int api_client_ask(const char *socket, const char *method, const char *path, json_t *body,
		   json_t **out, struct err *e);

/* Follows a stream of JSON lines at path until it ends: fn gets each object (borrowed) and
 * returns 0 to go on. 0 at the end, or as above. */
int api_client_follow(const char *socket, const char *path, int (*fn)(void *ctx, json_t *event),
		      void *ctx, struct err *e);

#endif

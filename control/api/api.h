/*
 * The HTTP API (docs/api.md, docs/openapi.json) over the tasks of this process: on a unix
 * socket for whoever may open it, and on TCP for whoever has the token.
 */
#ifndef ADIT_CONTROL_API_API_H
#define ADIT_CONTROL_API_API_H

#include "base/addr.h"
#include "base/err.h"

struct accounts;
struct api;
struct auth;
struct event_base;
struct router;
struct tasks;
struct vms_found;

enum {
	API_CONNECTIONS_MAX = 64,   /* of a socket at once; more wait to be accepted, or on TCP
				       the oldest gives way that has not shown the token */
	API_STREAMS_MAX = 32,	    /* of these, that follow a task's events */
	API_HEADERS_MAX = 8 * 1024, /* bytes */
	API_BODY_MAX = 64 * 1024,   /* bytes */
	API_REQUEST_MS = 15000,	    /* a whole request has come by then */
	API_TOKEN_MIN = 16,	    /* characters */
	API_TOKEN_MAX = 1024,
};

/* All borrowed for the life of the API. */
struct api_config {
	struct tasks *tasks;
	struct vms_found *vms;	   /* NULL: no VMs to start from */
	const struct auth *auth;   /* of the jobs that are started, where vms is given */
	const char *state_dir;	   /* likewise */
	struct router *router;	   /* whose sessions GET /metrics tells of; may be NULL */
	struct accounts *accounts; /* what those hold in memory; may be NULL */
};

struct api *api_new(struct event_base *base, const struct api_config *config, struct err *e);

/* Listens on a (unix: mode 0600; a stale socket is replaced). token: what clients must
 * show; NULL for none, as on a unix socket. ERR_ADDRESS, ERR_SPACE. */
int api_listen(struct api *a, const struct addr *at, const char *token, struct err *e);

/* The same on a socket that listens already, the API's from now on, also on error; its file is
 * left alone. ERR_SPACE. */
int api_listen_fd(struct api *a, int fd, const char *token, struct err *e);

/* What clients on TCP must show from now on. ERR_SPACE: the old one stays. */
int api_set_token(struct api *a, const char *token, struct err *e);

/* The TCP port that it listens on; 0 where it does not. */
unsigned api_port(const struct api *a);

/* Takes no more changes: what would start a job is answered with 503. */
void api_drain(struct api *a);

/* Runs the loop until what was to be answered is out, half a second at most: for a program
 * about to exit. */
void api_linger(struct api *a);

/* Ends all connections and removes the sockets. NULL is fine. */
void api_free(struct api *a);

/* Reads the token of file into buf (API_TOKEN_MAX + 1 bytes): its first line, with white
 * space around it left out. ERR_CONFIG when others may read the file, or the token is
 * short. */
int api_read_token(const char *file, char *buf, struct err *e);

#endif

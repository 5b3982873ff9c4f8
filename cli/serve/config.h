/*
 * What adit serve is to do: the options of its command line and the file of --config, put
 * together (docs/configuration.md).
 *
 * What the command line says holds against the file's [serve]. Its --allow-... are the
 * rights of every peer that no [peer ...] of the file matches; where the file has a [peer *],
 * both cannot be.
 */
#ifndef ADIT_CLI_SERVE_CONFIG_H
#define ADIT_CLI_SERVE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/common/client_conf.h"
#include "cli/common/config_file.h"
#include "cli/serve/serve_api.h"
#include "control/wish.h"
#include "proxy/rights.h"
#include "tunnel/listener.h"

/* An option of the command line by its long name, without the dashes; value NULL where it
 * takes none. Both of argv. */
struct config_option {
	const char *name, *value;
};

struct creds;

struct config_source {
	const struct config_option *options;
	unsigned option_count;
	const char *file; /* NULL: none is read */
	bool stdio;	  /* --stdio: credentials and API of the file are for others */
	const char *peer; /* with it: who its only peer is; NULL: not known */
};

/* Owned by whoever called config_new; the strings are its own. */
struct config {
	char *file; /* NULL: none was read */
	struct addr listen;
	struct auth auth;
	char *run_dir, *state_dir; /* NULL: as run_dir.h and journal.h have it */
	char *libvirt_dir;	   /* NULL: as libvirt_path.h has it */
	struct serve_api_options api;
	enum log_level log_level;
	struct listener_config limits;
	struct rights_table *rights; /* NULL once it was given away */
	struct user launch_user;     /* of those who name none; they have it in their rights */
	bool any_launch_user;	     /* somebody has one */
	bool launch;		     /* somebody may have VMs launched */
	bool migrate;		     /* somebody may */
	bool libvirt;		     /* likewise, to libvirt's daemon */
	bool any;		     /* somebody may do something */
	bool rights_given;	     /* by the command line */
	struct client_conf client;   /* who the API's jobs are to others */
};

/* Reads and checks all of it but the credentials. What a file says wrongly is ERR_CONFIG with
 * "FILE:LINE: ", what the command line does ERR_USAGE. */
struct config *config_new(const struct config_source *source, struct err *e);
/* NULL is fine. */
void config_free(struct config *c);

/* What is in force, for a person. */
void config_print(const struct config *c, const struct config_source *source, FILE *out);

/* Whether both name the same credentials of a server, wherever those are. */
bool config_same_creds(const struct auth *a, const struct auth *b);

/* Names, with ", " between them, what of now differs in next and is fixed while the program
 * runs; empty when nothing does. Returns buf. */
char *config_fixed(const struct config *now, const struct config *next, char *buf, size_t size);

/* Gets one line; no newline. */
typedef void config_warner(void *ctx, const char *line);

/* What the file says that is no error and cannot be meant: a section of peers that nobody can be,
 * as creds (the server's, just read) have it. Before the rights are given away. */
void config_warn(const struct config *c, struct creds *creds, config_warner *fn, void *ctx);

/* Who the jobs of the API are to others: [client]'s, where that says so, else the server's.
 * Borrowed from c. */
struct auth config_client(const struct config *c);

#endif

/* What the files that read the configuration of adit serve share: config_keys.c has the table of
 * keys, config_sections.c reads the file by it, and config.c the command line. */
#ifndef ADIT_CLI_SERVE_CONFIG_I_H
#define ADIT_CLI_SERVE_CONFIG_I_H

#include <limits.h>

#include "cli/serve/config.h"

struct config_reading;

enum config_where { CONFIG_SERVE, CONFIG_PEER, CONFIG_CLIENT, CONFIG_NETWORK, CONFIG_STORAGE };

struct config_key {
	const char *name; /* of the file's key; the option's, perhaps behind "allow-" */
	enum config_where where;
	bool many;
	int (*take)(struct config_reading *g, const char *value, struct err *e);
};

enum { CONFIG_KEY_COUNT = 42 };

/* Owned by config_new, for its call. */
struct config_reading {
	struct config *c;
	const struct config_source *source;
	struct rights *rights; /* of the section that is being read; the command line's at first */
	char *peer;	       /* its pattern; NULL outside of one */
	unsigned peer_line;
	struct rights *host; /* of the file: every [network NAME] and [storage NAME] */
	char section[RIGHTS_NETWORK_MAX + 1]; /* of these, the one that is being read; "": none */
	enum config_where section_kind;
	unsigned section_line;
	char folder[PATH_MAX], format[8]; /* of a [storage NAME] that is being read */
	bool serve_seen, in_serve, client_seen, in_client;
	bool others;	 /* the section is of peers that never come to this process (--stdio) */
	bool peer_found; /* the one of its only peer was there */
	bool from_file;
	unsigned seen[CONFIG_KEY_COUNT]; /* the line of a key; CONFIG_LINE_OPTION for an option */
};

enum { CONFIG_LINE_OPTION = ~0u };

/* The section [network NAME] that is being read; NULL outside of one. */
static inline struct rights_network *config_i_network(const struct config_reading *g)
{
	return *g->section && g->section_kind == CONFIG_NETWORK
		   ? &g->host->networks[g->host->network_count - 1]
		   : NULL;
}

/* ---- config_keys.c ---- */

extern const struct config_key config_keys[CONFIG_KEY_COUNT];

/* Takes the value of the key i, with its name (as an option, if that is where it stands) in front
 * of what is wrong. */
int config_i_take(struct config_reading *g, unsigned i, const char *name, const char *value,
		  struct err *e);
/* Names the file's keys where the words name the options. */
void config_i_name_keys(char *text);
/* Whether path is absolute and a directory that not everybody may write to, or a program. */
int config_i_check_path(const char *path, bool directory, struct err *e);

/* ---- config_sections.c ---- */

/* What goes only together; in the words of the file or the command line. */
int config_i_check_rights(const struct config_reading *g, struct err *e);
/* Puts the section that was read, or the command line's rights, behind the others. */
int config_i_end_peer(struct config_reading *g, struct err *e);
/* Reads the whole of the file. */
int config_i_read_file(struct config_reading *g, struct err *e);

/* ---- config_host.c ---- */

/* Begins the section [network NAME] or [storage NAME]. */
int config_i_begin_section(struct config_reading *g, enum config_where kind, const char *name,
			   unsigned line, struct err *e);
/* Ends it, where one is being read. */
int config_i_end_section(struct config_reading *g, struct err *e);
/* Tells the rights of all peers what the networks and storages are that they name. ERR_CONFIG: one
 * that is no section, and that is not what it is called. */
int config_i_end_host(const struct config_reading *g, struct err *e);

#endif

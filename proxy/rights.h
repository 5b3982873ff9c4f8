/*
 * What a peer may do here. Nothing is allowed that is not named.
 *
 * A table holds them by patterns of peers' names, the first that matches counts, alone.
 * Each is counted: a session, and a job that it began, keep the rights that they came with
 * when the table is replaced.
 */
#ifndef ADIT_PROXY_RIGHTS_H
#define ADIT_PROXY_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/user.h"
#include "proxy/rules.h"

enum { RIGHTS_NETWORK_MAX = 64, RIGHTS_SCRIPT_MAX = 255, RIGHTS_VLAN_MAX = 4094 };

/* What puts a VM's interface into a network. */
enum rights_network_kind {
	RIGHTS_BRIDGE,	    /* a bridge of Linux */
	RIGHTS_OPENVSWITCH, /* a bridge of Open vSwitch */
	RIGHTS_SCRIPT,	    /* a program of the operator's */
};

/* A network of this host that VMs may have. */
struct rights_network {
	char name[RIGHTS_NETWORK_MAX + 1]; /* as the peer says it */
	char bridge[16];		   /* "": not known yet, or the same, or a script's */
	enum rights_network_kind kind;
	unsigned vlan; /* of Open vSwitch: the port's tag; 0: none */
	char script[RIGHTS_SCRIPT_MAX + 1];
};

/* Where a peer may have images put. */
struct rights_storage {
	char name[RIGHTS_NETWORK_MAX + 1]; /* as the peer says it */
	char format[8];			   /* of what is made there; "": as at the source */
	char *folder;			   /* NULL: not known yet */
};

struct rights {
	struct rules forwards; /* targets that it may have connected to */
	bool migrate;	       /* bring VMs to this host */
	struct rules dest_qmp; /* monitors (unix:) of QEMUs that wait, which it may name */
	const char **launch;   /* QEMUs to be started for it; NULL at the end; NULL: none */
	const char **images;   /* folders for their images; likewise */
	struct rights_storage *storage;
	unsigned storage_count;
	struct user launch_user; /* as whom those are started; not given: as adit's own user */
	char *launch_hook;	 /* starts VMs instead of us; NULL: none */
	struct rights_network *networks; /* for their NICs */
	unsigned network_count;
	const char **memory;   /* folders that their RAM may be in; likewise */
	char *swtpm;	       /* what is their TPM; "none", NULL: RIGHTS_SWTPM */
	bool overwrite_images; /* those that are there already */
	bool libvirt;	       /* the libvirt daemon here, and its migrations */
	uint64_t bandwidth;    /* bytes/s over all its streams, each way; 0: no limit */
	unsigned sessions_max; /* at once; 0: as the listener has it */
	uint64_t memory_max;   /* bytes, of all its sessions; 0: no limit of its own */
	unsigned refs;	       /* rights_ref, rights_unref */
};

#define RIGHTS_SWTPM "/usr/bin/swtpm"

/* A peer whom no pattern matches: nothing, never freed. */
const struct rights *rights_none(void);

/* Empty, with one reference. NULL when memory is short. */
struct rights *rights_new(void);
const struct rights *rights_ref(const struct rights *r);
void rights_unref(const struct rights *r); /* NULL is fine */

/* Append a copy to launch, images or memory. ERR_SPACE. */
int rights_add_launch(struct rights *r, const char *path, struct err *e);
int rights_add_images(struct rights *r, const char *path, struct err *e);
/* Appends a network; bridge NULL: it is to be found (rights_set_network), or of the same name.
 * ERR_USAGE: a name or a bridge that can be none, or a name that is there already. */
int rights_add_network(struct rights *r, const char *name, const char *bridge, struct err *e);
/* What that of its name, if it is there and nothing is known of it yet, is. */
void rights_set_network(struct rights *r, const struct rights_network *is);
/* The network that a peer calls name, to the letter; NULL: it may not have it. */
const struct rights_network *rights_network(const struct rights *r, const char *name);
/* Its bridge; "" of a script. */
const char *rights_network_bridge(const struct rights_network *n);
/* What it is, as a message has it: "lan=br0", "lan=openvswitch:br0,vlan=7", "lan=script:/x".
 * Returns buf. */
char *rights_network_text(const struct rights_network *n, char *buf, size_t size);
int rights_add_memory(struct rights *r, const char *path, struct err *e);
/* Appends "NAME=FOLDER", or "NAME", whose folder is to be found (rights_set_storage). ERR_USAGE: a
 * name that can be none, or is there already. */
int rights_add_storage(struct rights *r, const char *storage, struct err *e);
/* What name, of those whose folder is not known yet, is; format as in the struct. ERR_SPACE. */
int rights_set_storage(struct rights *r, const char *name, const char *folder, const char *format,
		       struct err *e);
/* The storage whose name is the first len bytes of name, to the letter; NULL: there is none for
 * that peer. */
const struct rights_storage *rights_storage(const struct rights *r, const char *name, size_t len);
/* Appends path, a pattern as rules.h has them without its `unix:`, to dest_qmp. ERR_USAGE. */
int rights_add_dest_qmp(struct rights *r, const char *path, struct err *e);

/* Whether it may do anything at all. */
bool rights_any(const struct rights *r);

/* What r has and now has not, as adit.conf has it, for a message: the first of it, and how many
 * more there are; a launch-user and a bandwidth ("none": not given) where now has another or a
 * lower one. Returns buf; empty when it is all there. */
char *rights_lost(const struct rights *r, const struct rights *now, char *buf, size_t size);

/*
 * Whether pattern is for the peer called peer (as session_peer has it), with the shell's
 * wildcards:
 *
 * - `*`: everybody
 * - `NAME`: who has the pre-shared key NAME, or a certificate whose subject it is, or whose common
 *   name (subject.h)
 * - `psk:NAME`, `x509:SUBJECT`, `tcp:ADDRESS`: the same, of that kind only
 * - `ssh:USER`: who logged in here as USER; `ssh:USER@ADDRESS`: from there only. What is behind the
 *   last @ is an address where it may be one, else the user's
 */
bool rights_match(const char *pattern, const char *peer);

/* Whether two peers' names are of one: whoever comes by ssh is the user, whatever its address is by
 * now. */
bool rights_same_peer(const char *a, const char *b);

/* "[peer ssh:USER]", "[peer psk:NAME]", ...: the section that the peer of that name would need, for
 * a message. Returns buf. */
char *rights_section(const char *peer, char *buf, size_t size);

struct rights_table;

struct rights_table *rights_table_new(void); /* NULL when memory is short */
void rights_table_free(struct rights_table *t);

/* Takes over the caller's reference to r, also on error. A pattern that is there already, or
 * that stands behind `*`, is ERR_USAGE. */
int rights_table_add(struct rights_table *t, const char *pattern, struct rights *r, struct err *e);

/* Of that peer; rights_none when no pattern matches. The table's: ref what is kept. */
const struct rights *rights_table_find(const struct rights_table *t, const char *peer);

/* One after the other: the i-th's pattern and rights; NULL behind the last. */
const char *rights_table_at(const struct rights_table *t, unsigned i, const struct rights **r);

#endif

/*
 * The twin: how the source's QEMU is started anew on the destination. The source sends
 * its command line; every option is looked up in a table (qargs) and kept, written
 * anew for this host, left out, or refused by name. Nothing that the source says
 * names a file here: images and what the guest boots are taken from the listed
 * folders by their base name, and sockets and logs are made in a private folder.
 */
#ifndef ADIT_CONTROL_TWIN_TWIN_H
#define ADIT_CONTROL_TWIN_TWIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/strvec.h"
#include "control/host.h"
#include "control/vm.h"
#include "proxy/rights.h"

enum { TWIN_DIR_MAX = 100 };

/* An image that the twin opens, each once. */
struct twin_image {
	char *path;
	const struct vmdesc_disk *disk;
	bool created;	/* by this job */
	bool full;	/* its space is taken as it is made */
	unsigned tries; /* to make it, that failed */
	char *backing;	/* what it is made over, with --copy-storage inc; else NULL */
	/* the file that the twin has open; 0 where it is not a regular one, or not known */
	unsigned long long dev, ino;
};

/* A file below images that are made over it: it is only read. */
struct twin_backing {
	char *path;
	const struct vmdesc_backing *from;
};

/* A network that is a tap here: see host/tap.h. Its descriptors are those that the twin inherits
 * behind its secrets, for each network those of its queues and then those of vhost. */
struct twin_net {
	const struct vmdesc_net *from;
	struct netport port;
	unsigned queues;
	bool vhost;
	size_t at;  /* its value, in argv */
	char *kept; /* and what stands there for a VM that is started again */
};

/* Firmware of the distribution's, in a drive that is only read: each host has its own. */
struct twin_firmware {
	char *path;
	const struct vmdesc_disk *disk;
};

/* RAM in a folder of files (the rights', NULL: none), or in huge pages of page bytes (0: as the
 * host has them, or as the folder). */
struct twin_ram {
	const char *dir;
	uint64_t page, bytes;
};

/* Its TPM: a program of the rights', started before it. */
struct twin_tpm {
	const char *program; /* NULL: it has none */
	bool v12;	     /* version 1.2; else 2.0 */
	char dir[4096];	     /* for its state; not made here */
	char socket[256];    /* where the twin reaches it */
};

/* Embedded; zeroed is empty. */
struct twin {
	struct strvec argv;
	char dir[TWIN_DIR_MAX]; /* its private folder, which is not made here */
	bool dir_made;
	char qmp[4096];	       /* its monitor */
	char qemu_version[32]; /* as it says itself */
	struct twin_image *images;
	size_t image_count;
	struct twin_backing *backings;
	size_t backing_count;
	struct twin_net *nets;
	size_t net_count, net_fds; /* net_fds: of all of them */
	struct strvec chain;	   /* all files that stand below an image, found by the job */
	struct strvec files;	   /* what else it reads: what the guest boots */
	struct strvec notes;	   /* what is different from the source, for a person */
	bool spice;		   /* it has a SPICE server, which not every QEMU can have */
	struct twin_ram *ram;	   /* in files or huge pages */
	struct twin_firmware *firmware;
	size_t firmware_count;
	size_t ram_count;
	struct twin_tpm tpm;
};

/* The listed binary of the same name as the source's, the same path first; one of rights'.
 * NULL with ERR_REFUSED. */
const char *twin_binary(const struct vmdesc *d, const struct rights *rights, struct err *e);

/* Says of each disk of d, before all else that asks for its image here, which format that is to
 * have (made), where the storage that it is to be in has one. The words are the rights'. */
void twin_formats(struct vmdesc *d, const struct rights *rights);

/* Plans the twin of d under a peer's rights, with its folder in run_dir. job is the job's id.
 * ERR_REFUSED names the option and the mend; nothing is made. */
int twin_plan(struct twin *t, const struct vmdesc *d, const struct rights *rights,
	      const char *run_dir, const char *job, struct err *e);

/* Sets t->dir and t->qmp only: the private folder of a VM that somebody else starts. */
int twin_place(struct twin *t, const struct vmdesc *d, const char *run_dir, const char *job,
	       struct err *e);

/* Whether u, as whom the twin is to be started, may run it, open what is there already of its
 * images and files, and reach what is to be made. One that is not given may. ERR_REFUSED with the
 * file and the user. */
int twin_check_user(const struct twin *t, const struct user *u, struct err *e);

/* Whether path, of an image of a plan with these rights, is in a storage, and in no folder of
 * images: there it may be another peer's. */
bool twin_is_in_storage(const char *path, const struct rights *rights);

/* Whether image, which is there already, may be what it is to be: one that is copied is
 * overwritten, where the rights allow that, in a folder of images only (in a storage it may be
 * another peer's), and where it has the format that is made. ERR_REFUSED with the mend. */
int twin_check_overwrite(const struct twin_image *image, const struct rights *rights,
			 struct err *e);

void twin_fini(struct twin *t);

#endif

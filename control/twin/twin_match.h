/*
 * Whether a QEMU that waits for a VM is like the source's, as far as it can be seen
 * beforehand: what differs would fail only at the end, after all the disks have been copied.
 */
#ifndef ADIT_CONTROL_TWIN_TWIN_MATCH_H
#define ADIT_CONTROL_TWIN_TWIN_MATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "control/vm.h"

/* What it answered; NULL where it did not. Borrowed. */
struct twin_answers {
	const json_t *block, *nodes; /* query-block, query-named-block-nodes */
	const json_t *graph;	     /* x-debug-query-block-graph */
	const json_t *memory, *cpus; /* query-memory-size-summary, query-cpus-fast */
	const json_t *memory_devices;
	const json_t *machine;	     /* `qom-get` of the machine's type */
	const json_t *target, *name; /* query-target, query-name */
	pid_t pid;		     /* of its process */
};

/* Holds name, architecture, machine type, RAM and CPUs to d. ERR_QEMU names what differs. */
int twin_match(const struct vmdesc *d, const struct twin_answers *a, struct err *e);

struct twin_drive {
	const char *node, *file; /* the answers' own; file may be NULL */
	uint64_t size;		 /* bytes */
	char file_id[64];	 /* "dev:ino", "" when not known */
	const char *image_node;	 /* the node that has the format, below filters */
	/* The file right below a raw image, where nothing else is between them: NULL otherwise. */
	const char *raw_file;
	bool sparse; /* it does not take all of its space */
	bool direct; /* it is opened past the host's cache */
};

/* Finds the drive that stands for the disk d of vm, and holds it to that. ERR_QEMU,
 * ERR_SPACE (too small), ERR_REFUSED (the source's own file). */
int twin_match_drive(const struct vmdesc *vm, const struct vmdesc_disk *d,
		     const struct twin_answers *a, struct twin_drive *out, struct err *e);

/* Whether the drive found for the disk d and what was found for the disk other are two: a node or
 * an image that two disks were copied into would hold neither. ERR_REFUSED. */
int twin_match_apart(const struct vmdesc_disk *d, const struct twin_drive *drive,
		     const struct vmdesc_disk *other, const char *node, const char *file_id,
		     struct err *e);

enum { TWIN_NOTE_MAX = 512 };

/* Holds the drive that stands for d, which is not copied, to it: empty as it is here, or an
 * image of that size. ERR_QEMU, ERR_REFUSED. note (of TWIN_NOTE_MAX, or NULL) gets what may be right
 * and may not. */
int twin_match_other(const struct vmdesc *vm, const struct vmdesc_disk *d,
		     const struct twin_answers *a, char *note, struct err *e);

#endif

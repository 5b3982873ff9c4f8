/*
 * A VM's description: what the source reads of its QEMU in Begin, and what the
 * destination needs to build a twin or to check one. It travels as the `vm` and
 * `disks` members of the Begin cookie (docs/cookies.md).
 */
#ifndef ADIT_CONTROL_VM_VMDESC_H
#define ADIT_CONTROL_VM_VMDESC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strvec.h"

struct qmp;

/* An image below another one. */
struct vmdesc_backing {
	const char *file, *format;
	uint64_t size;	    /* virtual, bytes */
	uint64_t allocated; /* as a disk's */
	bool encrypted;
};

/* A drive, in the words that QEMU has for it. Strings are never NULL; "" is absent. */
struct vmdesc_disk {
	const char *name;	  /* unique in the job; letters, digits, . _ - */
	const char *device;	  /* the id of -drive */
	const char *qdev;	  /* the id or QOM path of the device in front */
	const char *node;	  /* the root node, as the source has it */
	const char *image_node;	  /* the node that has the format: node's, or one below filters */
	const char *format;	  /* what the image has: raw, qcow2, ... */
	const char *file;	  /* the image's file as QEMU names it */
	const char *file_id;	  /* "dev:ino" on the source host */
	const char *shared_with;  /* the disk that has the same node */
	uint64_t size;		  /* virtual size, bytes */
	uint64_t allocated;	  /* what the image takes on its file system, 0: not known */
	uint64_t cluster_size;	  /* of a format other than qcow2, 0: has none */
	bool snapshots;		  /* it has internal snapshots, which are in allocated too */
	const json_t *limits;	  /* I/O limits of its device (throttle.h); NULL: none */
	const char *limits_group; /* that shares them; without limits: check_kept.c */
	bool read_only, empty, removable;
	bool copy; /* its contents go over with the VM; where read_only: if it is missing there */
	const char *sum;		/* of what is only read (media.h); "": not known */
	const char *target;		/* where its image is to be there, as asked for; "" */
	const char *made;		/* the format that it is to have there (twin_formats); "" */
	struct vmdesc_backing *backing; /* the nearest first */
	size_t backing_count;
	struct {
		bool known;
		const char *compat, *compression_type;
		uint64_t cluster_size, refcount_bits;
		bool extended_l2, lazy_refcounts;
	} qcow2;
	struct { /* of the image, as its node has it */
		bool known;
		const char *format; /* luks, aes, or another word */
		const char *driver; /* whose it is: luks, qcow2, ... */
		const char *secret; /* the id of the secret that it was opened with */
		const char *cipher_alg, *cipher_mode, *ivgen_alg, *ivgen_hash_alg, *hash_alg;
		uint64_t slots; /* in use */
		uint64_t iters; /* of the costliest of them */
		bool detached;	/* its header is in another file */
	} encryption;
};

/* A secret of QEMU's; what is in it is not part of a description. */
struct vmdesc_secret {
	const char *id, *format, *keyid, *iv;
	const char *problem; /* why it is not handed over, a sentence's end; "": it is */
};

/* A tap of the source host's (vmdesc_net.h). */
struct vmdesc_net {
	const char *id; /* of the -netdev, or what stands for it */
	const char
	    *kind; /* what its interface hangs in: bridge, openvswitch, macvtap, none, unknown */
	const char *bridge;		 /* and how that is called there */
	const char *interface, *problem; /* problem: why the kind is unknown */
	const char *wanted;		 /* the network that --net asks for; "": none */
	uint64_t queues, mtu;		 /* mtu 0: not known */
	bool vhost, no_vnet_hdr;
};

struct vmdesc {
	json_t *msg; /* what the strings below are borrowed from */
	const char *qemu, *package, *arch, *machine, *name, *uuid, *status, *host, *exe, *cwd;
	bool running;
	bool inc;	   /* of disks that are copied only the top image is (--copy-storage inc) */
	bool renamed;	   /* name is the one that it is to have on the destination */
	const char *accel; /* "kvm", "tcg" */
	const char *cpu;   /* the model of the first CPU */
	bool tpm12;	   /* it has a TPM, of version 1.2 */
	const char *cpu_flags; /* of the source host, for a model that is the host's own */
	uint64_t memory, cpus;
	uint64_t fixed_memory; /* of it what no guest gives back, 0: not known */
	uint64_t virtio_mem;   /* what its virtio-mem devices may have at most */
	struct strvec argv;
	struct strvec nodes; /* block nodes with a name of somebody's, as they are now */
	bool nodes_known;
	struct strvec plugged, unplugged; /* since the start, and not in argv (vmdesc_plugged.h) */
	const json_t *throttle_groups;	  /* objects: `id`, `limits` (throttle.h); may be NULL */
	struct strvec cpu_lacks;	  /* features of the CPU model that the source lacks */
	struct vmdesc_disk *disks;
	size_t disk_count;
	struct vmdesc_secret *secrets; /* in the order in which QEMU is to make them */
	size_t secret_count;
	struct vmdesc_net *nets; /* in the order of the options that make them */
	size_t net_count;
};

/* Reads msg (an object with `vm` and `disks` that cookie_check has passed) into d. A
 * reference to it is kept. ERR_SYSTEM when memory is short. */
int vmdesc_parse(struct vmdesc *d, json_t *msg, struct err *e);
void vmdesc_fini(struct vmdesc *d);

/* The disk with this -drive id or node name; NULL. */
const struct vmdesc_disk *vmdesc_by_device(const struct vmdesc *d, const char *device);
const struct vmdesc_disk *vmdesc_by_node(const struct vmdesc *d, const char *node);

/* NULL when it has none of that id. */
const struct vmdesc_secret *vmdesc_secret_by_id(const struct vmdesc *d, const char *id);
/* What qemu-img makes, and QEMU opens, for the disk: its format (there, where it is to be another
 * one), "luks", or "raw" of what has a file's node alone. */
const char *vmdesc_image_format(const struct vmdesc_disk *d);

/* What vmdesc_read gives; all owned by the caller, who calls vmdesc_report_fini. */
struct vmdesc_report {
	json_t *vm, *disks;
	json_t *migrate, *capabilities, *parameters; /* query-migrate and its kin */
	json_t *yank;				     /* query-yank; NULL: QEMU has none */
	json_t *block_jobs;			     /* query-block-jobs */
	json_t *nodes, *graph;			     /* query-named-block-nodes, and its edges */
	json_t *secrets;     /* the command line's, as secret_scrub finds them */
	json_t *devices;     /* `qom-list` of the devices with an id, and of those without */
	struct err argv_err; /* why vm has no argv, ERR_NONE when it has */
};

/* Reads the VM behind q (which is ready); fn gets *r (to take over) or e. No callback
 * after qmp_forget or qmp_free. */
typedef void vmdesc_on_read(void *ctx, struct vmdesc_report *r, const struct err *e);
void vmdesc_read(struct qmp *q, vmdesc_on_read *fn, void *ctx);

void vmdesc_report_fini(struct vmdesc_report *r);

/* Whether no migration is left, by query-yank. QEMU says "failed" before it has cleared its
 * migration away, and asks the capabilities then what there is to be cleared: where multifd is off
 * by that time it aborts, and the VM with it. What it could yank tells when it has done that.
 * (True of NULL: it has no such command.) */
bool vmdesc_is_cleared(const json_t *yank);

/* Sets `copy` of each disk in the array disks as --disks says: "all", "none", or a list
 * of node names, -drive ids, device ids or disk names with commas between; also an image's
 * file name where only one disk has it. Read-only and empty drives are never copied.
 * ERR_USAGE names a disk that is not there, and those that are. */
int vmdesc_select(json_t *disks, const char *spec, struct err *e);
/* Puts the places of spec, "NODE=PLACE,...", into the disks that are called so (as vmdesc_select
 * has them, and read-only ones too): where their images are to be there. ERR_USAGE. */
int vmdesc_target(json_t *disks, const char *spec, struct err *e);
/* Likewise the storages of spec, "NODE=STORAGE,...", or "=STORAGE" for all disks that are copied,
 * may be written to, and have no place yet. disks NULL: only the words are looked at. ERR_USAGE. */
int vmdesc_storage(json_t *disks, const char *spec, struct err *e);

/* Whether each disk that is copied is an image over another one, as --copy-storage inc
 * wants it: ERR_USAGE names one that is not. */
int vmdesc_check_inc(const json_t *disks, struct err *e);

/* Whether a VM may be called name: ERR_USAGE with the reason for one that is empty or long,
 * or has a '/' or control characters in it, as it becomes part of a folder's name. */
int vmdesc_check_name(const char *name, struct err *e);

/* This host's boot id ("" when unknown); buf of at least 40 bytes. Returns buf. */
const char *vmdesc_host(char *buf, size_t size);

/* Whether d was read on this very host (the boot ids are the same). */
bool vmdesc_is_here(const struct vmdesc *d);

/* "dev:ino" of path, relative to dir when not absolute; 0 or -1. */
int vmdesc_file_id(const char *dir, const char *path, char *buf, size_t size);

#endif

/*
 * What the files of the twin share; nobody else includes it. Each calls only those below it.
 *
 *   twin.c         the whole: every option to the file that knows it
 *   twin_drive.c   -drive and its like
 *   twin_dev.c     devices, objects, the machine
 *   twin_net.c     networks
 *   twin_char.c    sockets, logs
 *   twin_behind.c  who has which chardev
 *   twin_screen.c  displays, VNC, SPICE
 *   twin_tpm.c     the TPM
 *   twin_memory.c  RAM in files and huge pages
 *   twin_block.c   which drives there are to be, and what of -blockdev and -device they need
 *   twin_format.c  images that have another format here
 *   twin_target.c  where the source wishes an image to be
 *   twin_tree.c    -blockdev and its like as trees
 *   twin_disk.c    images: where they are here; -blockdev
 *   twin_file.c    other files that QEMU reads
 *   twin_crypt.c   encrypted images
 *   twin_words.c   options that are taken, refused, or name a file
 */
#ifndef ADIT_CONTROL_TWIN_TWIN_I_H
#define ADIT_CONTROL_TWIN_TWIN_I_H

#include <jansson.h>

#include "control/twin/twin.h"
#include "control/vm.h"

#define TWIN_ATTACH                                                                                \
	"start the VM on the destination yourself with -incoming defer, and use --dest-qmp"

struct twin_plan {
	struct twin *t;
	const struct vmdesc *d;
	const struct rights *rights;
	const char *run_dir, *job;
	const struct qargs *args;
	unsigned serials, parallels; /* -serial, -parallel options so far */
	size_t taps;		     /* of d->nets, so many have had their option */
	bool has_display, has_machine, has_name;
	struct strvec below;  /* nodes that other -blockdev options have as their backing */
	struct strvec used;   /* names given in the private folder */
	struct strvec remade; /* of each option that has another format here, the disk's number */
	struct strvec places; /* "ide 1 0": what -drive and its like have taken so far */
	json_t *nodes;	      /* of each -blockdev, by its name, its options as a tree */
	json_t *needed;	      /* the names of those that the twin is to have */
	bool *seen;	      /* of each drive: an option was taken that stands for it */
	json_t *behind;	      /* twin_behind.c: who has each chardev */
	bool has_spice, has_tpm;
	struct err *e;
};

/* Each adds to t->argv what becomes of the option; 0 or e's code. */
int twin_drive(struct twin_plan *p, const char *value);
int twin_blockdev(struct twin_plan *p, const char *value);
/* Looks through all -blockdev options for nodes that others have as their backing. */
int twin_find_below(struct twin_plan *p);
int twin_image_option(struct twin_plan *p, const struct qargs_item *it);
/* Rewrites the options of disk (NULL: found by the path) that name an image or a driver. */
int twin_rewrite_keys(struct twin_plan *p, const char *option, struct qopts *o,
		      const struct vmdesc_disk *disk, const char *text);
int twin_add_options(struct twin_plan *p, const char *option, const struct qopts *o);
/* Whether path is the image that disk has now, both as the source names them; the disk
 * whose image it is, or NULL. */
bool twin_is_image_of(const struct vmdesc *d, const struct vmdesc_disk *disk, const char *path);
const struct vmdesc_disk *twin_disk_of(const struct vmdesc *d, const char *path);
/* Where d's image, which is called source there, is to be by d->target. apart: another disk has the
 * name already, so that one which d->target leaves open begins with d's own. There is a folder of
 * images. */
int twin_target(struct twin_plan *p, const struct vmdesc_disk *d, const char *source, bool apart,
		char *out, size_t size);
/* The storage that target names, or is in the folder of; NULL: none, or a folder of images. */
const struct rights_storage *twin_target_storage(const struct rights *r, const char *target);
/* Whether the images can have the formats that they are to have. */
int twin_format_check(struct twin_plan *p);
/* Gives the node of disk's image (NULL: found by text, as the source has it) the format that it has
 * here, in o, which is rewritten otherwise. */
int twin_format_keys(struct twin_plan *p, struct qopts *o, const struct vmdesc_disk *disk,
		     const char *text);
int twin_format_json(struct twin_plan *p, json_t *o, const char *text);
/* After all options: whether each image that has another format here is opened as that, by one. */
int twin_format_end(struct twin_plan *p);
/* Where disk's image is to be; it is the plan's from then on. */
int twin_image_path(struct twin_plan *p, const char *option, const struct vmdesc_disk *disk,
		    char *out, size_t size);
enum { TWIN_DEPTH_MAX = 16 };

/* An option's value, be it JSON or key=value, as a tree; never NULL but for want of memory. */
json_t *twin_tree_read(const char *value, const char *implied);
/* The file at the bottom of o, a node or the name of one; "" when it has none. */
const char *twin_tree_leaf(const struct twin_plan *p, const json_t *o);
/* The driver that reads the image, below filters: "raw", "qcow2"; "file" where there is none. */
const char *twin_tree_format(const struct twin_plan *p, const json_t *o);
/* Whether the image below the node of this -blockdev is copied. */
bool twin_tree_is_copied(const struct twin_plan *p, const char *value);

/* Reads all -blockdev and -device options: which nodes the twin needs. */
int twin_block_read(struct twin_plan *p);
void twin_block_fini(struct twin_plan *p);
/* Whether nobody needs the node of this -blockdev there. */
bool twin_block_left_out(const struct twin_plan *p, const char *value);
/* Whether d is a drive without an image: null-co, null-aio. */
bool twin_block_is_nothing(const struct vmdesc_disk *d);
/* An option was taken that stands for the drive d (NULL: none). */
void twin_block_saw(struct twin_plan *p, const struct vmdesc_disk *d);
/* Holds a -device to what it has now. *out is what becomes of it (the caller frees it), NULL
 * when it stays as it is. */
int twin_block_device(struct twin_plan *p, const char *value, char **out);
/* After all options: every drive that has something has its option, every disk that is
 * copied its own image. */
int twin_block_end(struct twin_plan *p);
int twin_host_file(struct twin_plan *p, const char *option, const char *value);
int twin_firmware(struct twin_plan *p, const char *option, const char *value);
/* -fw_cfg, -smbios, -acpitable: what of it is in a file comes from here. */
int twin_tables(struct twin_plan *p, const char *option, const char *value);
int twin_chardev(struct twin_plan *p, const char *value);
int twin_char(struct twin_plan *p, const char *option, const char *value);
int twin_monitor(struct twin_plan *p, const char *value);
int twin_display(struct twin_plan *p, const char *value);
int twin_nographic(struct twin_plan *p);
int twin_vnc(struct twin_plan *p, const char *value);
int twin_spice(struct twin_plan *p, const char *value);
/* Whether a TPM is emulated by what is behind that chardev, NULL: any. */
bool twin_tpm_has(const struct twin_plan *p, const char *chardev);
/* Before all options: where the twin's TPM is to be, if it has one. */
int twin_tpm_plan(struct twin_plan *p);
int twin_tpm_chardev(struct twin_plan *p, const char *id);
int twin_tpmdev(struct twin_plan *p, const char *value);
int twin_mem_path(struct twin_plan *p, const char *value);
/* -object memory-backend-...: type. */
int twin_memory(struct twin_plan *p, const char *type, const char *value);
/* -mon: left out with a chardev that only it has, and that is connected to a program of the source.
 */
int twin_mon(struct twin_plan *p, const char *value);
/* Reads which options have which chardev: before what asks for it. */
int twin_behind_read(struct twin_plan *p);
/* Whether nothing but monitors has chardev id, and it is connected to somebody. */
bool twin_is_of_monitor(const struct twin_plan *p, const char *id);
/* Whether a chardev of that kind is a SPICE channel. */
bool twin_is_channel(const char *backend);
/* Whether an option makes the SPICE channel id, and the twin has SPICE. */
bool twin_is_spice(const struct twin_plan *p, const char *id);
int twin_device(struct twin_plan *p, const char *value);
int twin_object(struct twin_plan *p, const char *value);
/* Whether the description's disks and secrets are such that no disk lies in plaintext here that
 * does not at the source; and, where a -drive (of disk, if that is known) or -blockdev speaks of
 * encryption, whether the description does. ERR_REFUSED. */
int twin_crypt_check(struct twin_plan *p);
int twin_crypt_option(struct twin_plan *p, const char *option, const struct vmdesc_disk *disk,
		      const char *value);
int twin_net(struct twin_plan *p, const char *option, const char *value);
int twin_machine(struct twin_plan *p, const char *value);

/* Adds -option value. */
void twin_add(struct twin_plan *p, const char *option, const char *value);
/* Refuses -option value with why; returns the code. */
int twin_refuse(struct twin_plan *p, const char *option, const char *value, const char *why);
/* DIR/NAME in buf, where NAME was not used before in this plan; else DIR/NAME-2 and so on
 * (before the suffix). */
void twin_private_path(struct twin_plan *p, const char *name, char *buf, size_t size);
/* Whether path is a file of the distribution's firmware, which is the same on every host. */
bool twin_is_firmware(const char *path);
/* Whether value names a file of the host as it stands: /path, or one with .. in it. */
bool twin_is_host_path(const char *value);
/* The part behind the last '/'; ERR_REFUSED (in p->e) for what is no file's name. */
const char *twin_base_name(struct twin_plan *p, const char *path);

#endif

/*
 * QEMU's command line: which options there are, which take a value, and what is
 * to be done with each for a twin on another host.
 */
#ifndef ADIT_CONTROL_VM_QARGS_H
#define ADIT_CONTROL_VM_QARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* What becomes of an option in the twin's command line. */
enum qargs_rule {
	QARGS_KEEP,   /* as it is */
	QARGS_DROP,   /* left out, it is of this host and this run only */
	QARGS_NOTE,   /* left out, and told */
	QARGS_REFUSE, /* not to be reproduced elsewhere: refused by name */
	/* rewritten: */
	QARGS_MACHINE,
	QARGS_TO_MACHINE, /* an old spelling of what text says as -machine */
	QARGS_ACCEL,
	QARGS_NAME,
	QARGS_NUMA,
	QARGS_BOOT,
	QARGS_GLOBAL,
	QARGS_DEVICE,
	QARGS_OBJECT,
	QARGS_MEM_PATH,
	QARGS_TPMDEV,
	QARGS_DRIVE,
	QARGS_BLOCKDEV,
	QARGS_IMAGE, /* -hda and its like: an image's bare name */
	QARGS_HOST_FILE,
	QARGS_FIRMWARE,
	QARGS_DATA_DIR,
	QARGS_SMBIOS,
	QARGS_ACPITABLE,
	QARGS_FW_CFG,
	QARGS_ICOUNT,
	QARGS_NET,
	QARGS_CHARDEV,
	QARGS_CHAR, /* -serial and its like: a device written the old way */
	QARGS_MONITOR,
	QARGS_MON,
	QARGS_QMP,
	QARGS_DISPLAY,
	QARGS_NOGRAPHIC,
	QARGS_VNC,
	QARGS_SPICE,
	QARGS_AUDIO,
	QARGS_USBDEVICE,
	QARGS_PRIVATE_FILE,
};

struct qargs_option {
	const char *name; /* without dashes */
	bool has_value;
	enum qargs_rule rule;
	const char *text; /* why it is refused or left out */
};

/* One option of a command line. */
struct qargs_item {
	const struct qargs_option *option; /* NULL: a bare image name (value) */
	const char *value;		   /* NULL when it takes none; borrowed from argv */
};

struct qargs {
	struct qargs_item *at;
	size_t count;
};

/* Splits argv (argv[0], the program, is left out). argv is borrowed for as long as q is
 * used. ERR_REFUSED names an option that is not known, or lacks its value. */
int qargs_parse(struct qargs *q, char *const *argv, size_t argc, struct err *e);

void qargs_fini(struct qargs *q);

#endif

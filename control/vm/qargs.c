/*
 * The table of QEMU's options (qemu-options.hx of QEMU 6.2 to 10.0): see qargs.h.
 * What is not in it is refused, so that an option of a later QEMU is never passed on
 * without anybody having thought about what it reads or opens on the destination.
 */
#include "control/vm/qargs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/vm/qopts.h"

#define CONFINED                                                                                   \
	"the destination says itself as whom it is started, and in what (launch-user of adit "     \
	"serve)"
#define ATTACH "start the VM on the destination yourself with -incoming defer, and use --dest-qmp"

static const struct qargs_option options[] = {
    /* machine, processor, memory */
    {"machine", true, QARGS_MACHINE, NULL},
    {"M", true, QARGS_MACHINE, NULL},
    {"cpu", true, QARGS_KEEP, NULL},
    {"accel", true, QARGS_ACCEL, NULL},
    {"enable-kvm", false, QARGS_KEEP, NULL},
    {"smp", true, QARGS_KEEP, NULL},
    {"numa", true, QARGS_NUMA, NULL},
    {"m", true, QARGS_KEEP, NULL},
    {"mem-prealloc", false, QARGS_KEEP, NULL},
    {"mem-path", true, QARGS_MEM_PATH, NULL},
    {"overcommit", true, QARGS_KEEP, NULL},
    {"global", true, QARGS_GLOBAL, NULL},
    {"set", true, QARGS_REFUSE, "it changes other options behind adit's back"},
    {"name", true, QARGS_NAME, NULL},
    {"uuid", true, QARGS_KEEP, NULL},
    {"boot", true, QARGS_BOOT, NULL},
    {"rtc", true, QARGS_KEEP, NULL},
    {"icount", true, QARGS_ICOUNT, NULL},
    {"compat", true, QARGS_KEEP, NULL},
    {"nodefaults", false, QARGS_KEEP, NULL},
    {"no-user-config", false, QARGS_KEEP, NULL},
    {"no-acpi", false, QARGS_TO_MACHINE, "acpi=off"}, /* (these two are gone in QEMU 9) */
    {"no-hpet", false, QARGS_TO_MACHINE, "hpet=off"},
    {"no-fd-bootchk", false, QARGS_KEEP, NULL},
    {"no-reboot", false, QARGS_KEEP, NULL},
    {"no-shutdown", false, QARGS_KEEP, NULL},
    {"action", true, QARGS_KEEP, NULL},
    {"watchdog", true, QARGS_DEVICE, NULL}, /* (a device, and QEMU 7.2 has this option no more) */
    {"watchdog-action", true, QARGS_KEEP, NULL},
    {"only-migratable", false, QARGS_KEEP, NULL},
    {"async-teardown", false, QARGS_DROP, NULL},
    {"sandbox", true, QARGS_KEEP, NULL},
    {"msg", true, QARGS_KEEP, NULL},
    {"seed", true, QARGS_KEEP, NULL},
    {"singlestep", false, QARGS_DROP, NULL},
    {"one-insn-per-tb", false, QARGS_DROP, NULL},
    {"tb-size", true, QARGS_KEEP, NULL},
    {"prom-env", true, QARGS_KEEP, NULL},
    {"enable-fips", false, QARGS_DROP, NULL},
    {"smbios", true, QARGS_SMBIOS, NULL},
    {"acpitable", true, QARGS_ACPITABLE, NULL},
    {"fw_cfg", true, QARGS_FW_CFG, NULL},
    /* what the guest boots */
    {"kernel", true, QARGS_HOST_FILE, NULL},
    {"initrd", true, QARGS_HOST_FILE, NULL},
    {"shim", true, QARGS_HOST_FILE, NULL},
    {"dtb", true, QARGS_HOST_FILE, NULL},
    {"append", true, QARGS_KEEP, NULL},
    {"bios", true, QARGS_FIRMWARE, NULL},
    {"option-rom", true, QARGS_REFUSE, "it loads a file of the source host; " ATTACH},
    {"L", true, QARGS_DATA_DIR, NULL},
    /* disks */
    {"drive", true, QARGS_DRIVE, NULL},
    {"blockdev", true, QARGS_BLOCKDEV, NULL},
    {"hda", true, QARGS_IMAGE, "index=0,media=disk"},
    {"hdb", true, QARGS_IMAGE, "index=1,media=disk"},
    {"hdc", true, QARGS_IMAGE, "index=2,media=disk"},
    {"hdd", true, QARGS_IMAGE, "index=3,media=disk"},
    {"cdrom", true, QARGS_IMAGE, "index=2,media=cdrom"},
    {"fda", true, QARGS_IMAGE, "if=floppy,index=0"},
    {"fdb", true, QARGS_IMAGE, "if=floppy,index=1"},
    {"pflash", true, QARGS_IMAGE, "if=pflash"},
    {"mtdblock", true, QARGS_IMAGE, "if=mtd"},
    {"sd", true, QARGS_IMAGE, "if=sd"},
    {"snapshot", false, QARGS_REFUSE,
     "the disks' changes are in temporary files that no image keeps; " ATTACH},
    {"iscsi", true, QARGS_DROP, NULL}, /* what such drives have in common: they are refused */
    {"loadvm", true, QARGS_REFUSE, "a snapshot inside an image is not copied; " ATTACH},
    {"fsdev", true, QARGS_REFUSE, "it shares a folder of the source host"},
    {"virtfs", true, QARGS_REFUSE, "it shares a folder of the source host"},
    /* devices and what is behind them */
    {"device", true, QARGS_DEVICE, NULL},
    {"object", true, QARGS_OBJECT, NULL},
    {"netdev", true, QARGS_NET, "netdev"},
    {"nic", true, QARGS_NET, "nic"},
    {"net", true, QARGS_NET, "net"},
    {"chardev", true, QARGS_CHARDEV, NULL},
    {"serial", true, QARGS_CHAR, "serial"},
    {"parallel", true, QARGS_CHAR, "parallel"},
    {"debugcon", true, QARGS_CHAR, "debugcon"},
    {"monitor", true, QARGS_MONITOR, "monitor"},
    {"qmp", true, QARGS_QMP, "qmp"},
    {"qmp-pretty", true, QARGS_QMP, "qmp"},
    {"mon", true, QARGS_MON, NULL},
    {"tpmdev", true, QARGS_TPMDEV, NULL},
    {"usb", false, QARGS_KEEP, NULL},
    {"usbdevice", true, QARGS_USBDEVICE, NULL},
    {"vga", true, QARGS_KEEP, NULL},
    {"display", true, QARGS_DISPLAY, NULL},
    {"nographic", false, QARGS_NOGRAPHIC, NULL},
    {"vnc", true, QARGS_VNC, NULL},
    {"spice", true, QARGS_SPICE, NULL},
    {"full-screen", false, QARGS_DROP, NULL},
    {"portrait", false, QARGS_DROP, NULL},
    {"rotate", true, QARGS_DROP, NULL},
    {"g", true, QARGS_KEEP, NULL},
    {"k", true, QARGS_KEEP, NULL},
    {"audiodev", true, QARGS_AUDIO, "audiodev"},
    {"audio", true, QARGS_AUDIO, "audio"},
    {"semihosting", false, QARGS_REFUSE, "it gives the guest the host's files"},
    {"semihosting-config", true, QARGS_REFUSE, "it gives the guest the host's files"},
    /* of this host and this run */
    {"daemonize", false, QARGS_DROP, NULL},
    {"id", true, QARGS_DROP, NULL}, /* Proxmox's own QEMU's */
    {"pidfile", true, QARGS_PRIVATE_FILE, "pidfile"},
    {"D", true, QARGS_PRIVATE_FILE, "D"},
    {"S", false, QARGS_DROP, NULL},
    {"incoming", true, QARGS_DROP, NULL},
    {"echr", true, QARGS_DROP, NULL},
    {"writeconfig", true, QARGS_DROP, NULL},
    {"d", true, QARGS_NOTE, "debug logging is not taken along"},
    {"dfilter", true, QARGS_DROP, NULL},
    {"trace", true, QARGS_NOTE, "tracing is not taken along"},
    {"perfmap", false, QARGS_DROP, NULL},
    {"jitdump", false, QARGS_DROP, NULL},
    {"enable-sync-profile", false, QARGS_DROP, NULL},
    {"gdb", true, QARGS_NOTE, "no debugger's port is opened on the destination"},
    {"s", false, QARGS_NOTE, "no debugger's port is opened on the destination"},
    {"dump-vmstate", true, QARGS_REFUSE, "it writes a file and ends"},
    {"preconfig", false, QARGS_REFUSE, "a machine put together over QMP cannot be read back"},
    {"readconfig", true, QARGS_REFUSE,
     "the configuration is in a file of the source host; " ATTACH},
    {"add-fd", true, QARGS_DROP, NULL}, /* what names one of it gets a file of its own */
    {"plugin", true, QARGS_REFUSE, "it loads a program of the source host"},
    {"chroot", true, QARGS_NOTE, CONFINED},
    {"runas", true, QARGS_NOTE, CONFINED},
    {"run-with", true, QARGS_NOTE, CONFINED},
    {"xen-domid", true, QARGS_REFUSE, "Xen is not supported"},
    {"xen-attach", false, QARGS_REFUSE, "Xen is not supported"},
    {"xen-domid-restrict", false, QARGS_REFUSE, "Xen is not supported"},
    {"qtest", true, QARGS_REFUSE, "it is for QEMU's own tests"},
    {"qtest-log", true, QARGS_REFUSE, "it is for QEMU's own tests"},
    {"igvm", true, QARGS_REFUSE, "it loads a file of the source host; " ATTACH},
};

static const struct qargs_option *find(const char *name)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

int qargs_parse(struct qargs *q, char *const *argv, size_t argc, struct err *e)
{
	memset(q, 0, sizeof(*q));
	q->at = calloc(argc ? argc : 1, sizeof(*q->at));
	if (!q->at)
		return err_set_sys(e, ENOMEM, "command line");
	for (size_t i = 1; i < argc; i++) {
		struct qargs_item *it = &q->at[q->count++];
		const char *name = argv[i];

		if (*name != '-') {
			it->value = name;
			continue;
		}
		name += name[1] == '-' ? 2 : 1;
		it->option = find(name);
		if (!it->option) {
			err_set(e, ERR_REFUSED,
				"the source's QEMU has the option -%.64s, which adit does not "
				"know how to take to another host; " ATTACH,
				name);
			goto fail;
		}
		if (!it->option->has_value)
			continue;
		if (i + 1 >= argc) {
			err_set(e, ERR_REFUSED, "the source's QEMU has -%s without a value", name);
			goto fail;
		}
		it->value = argv[++i];
		/* (JSON has its keys in a table; what is kept is not read) */
		if (it->option->rule != QARGS_KEEP && *it->value != '{' &&
		    qopts_is_long(it->value)) {
			err_set(e, ERR_REFUSED,
				"the source's QEMU has a -%.64s with more than %d keys, which adit "
				"does not take; " ATTACH,
				name, QOPTS_MAX);
			goto fail;
		}
	}
	return 0;
fail:
	qargs_fini(q);
	return e ? (int)e->code : ERR_REFUSED;
}

void qargs_fini(struct qargs *q)
{
	free(q->at);
	memset(q, 0, sizeof(*q));
}

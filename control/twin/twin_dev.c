/* The twin's machine, devices and objects: what is of the source host only is refused by name. */
#include "control/twin/twin_i.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct twin_plan *p)
{
	return err_set(p->e, ERR_SPACE, "no memory for the command line");
}

int twin_machine(struct twin_plan *p, const char *value)
{
	static const char *const files[] = {"kernel",	"initrd", "dtb",      "dumpdtb",
					    "firmware", "append", "igvm-cfg", "boot.splash"};
	struct qopts o = {0};
	int r = 0;

	p->has_machine = true;
	if (qopts_parse(&o, value, "type") < 0)
		return no_memory(p);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !r; i++)
		if (qopts_get(&o, files[i]))
			r = twin_refuse(p, "machine", value,
					"it names a file of the source host: "
					"write it as an option of its own");
	/* An alias ("pc") may stand for another version there. */
	if (r == 0 && *p->d->machine && qopts_set(&o, "type", p->d->machine) < 0)
		r = no_memory(p);
	if (r == 0)
		r = twin_add_options(p, "machine", &o);
	qopts_fini(&o);
	return r;
}

#define UNPLUG                                                                                     \
	"unplug it before (device_del), and plug in one of the destination's there after; or "     \
	"start the VM without it"
#define SERVED                                                                                     \
	"it is served by another process of the source host: start one like it on the "            \
	"destination, and the VM there yourself with -incoming defer, and use --dest-qmp"

/* Devices behind which is something of the source host, and what would help. */
static const struct {
	const char *driver, *help; /* NULL: TWIN_ATTACH */
} host_devices[] = {
    {"vfio", UNPLUG},
    {"usb-host", UNPLUG},
    {"pci-assign", UNPLUG},
    {"scsi-generic", UNPLUG},
    {"scsi-block", UNPLUG},
    {"ccid-card", UNPLUG},
    {"u2f-passthru", UNPLUG},
    {"usb-redir", UNPLUG},
    {"usb-mtp", UNPLUG},
    {"iommufd", UNPLUG},
    {"ap-", UNPLUG},
    {"vhost-user", SERVED},
    {"vhost", NULL},
    {"ivshmem", NULL},
    {"virtio-9p", NULL},
    {"u2f-emulated", NULL},
    {"virtio-input-host", NULL},
    {"loader", NULL},
    {"guest-loader", NULL},
    {"tpm-", NULL},
    {"xen-", NULL},
    {"rdma", NULL},
    {"pvrdma", NULL},
    {"cxl-", NULL},
    {"virtio-gpu-rutabaga", NULL},
};

static int refuse_driver(struct twin_plan *p, const char *help, const char *value)
{
	char why[400];

	snprintf(why, sizeof(why), "what is behind it is of the source host, and does not move: %s",
		 help ? help : TWIN_ATTACH);
	return twin_refuse(p, "device", value, why);
}

static int check_driver(struct twin_plan *p, const char *driver, const char *chardev,
			const char *value)
{
	if (!driver)
		return twin_refuse(p, "device", value, "it names no driver");
	/* a SPICE client that comes brings its own USB devices */
	if (strncmp(driver, "tpm-", 4) == 0 && twin_tpm_has(p, NULL))
		return 0;
	if (strcmp(driver, "usb-redir") == 0 && chardev && twin_is_spice(p, chardev))
		return 0;
	for (size_t i = 0; i < sizeof(host_devices) / sizeof(host_devices[0]); i++)
		if (strncmp(driver, host_devices[i].driver, strlen(host_devices[i].driver)) == 0)
			return refuse_driver(p, host_devices[i].help, value);
	return 0;
}

/* romfile, evdev, mdev, ...: whatever names a file would read one of this host. */
static int check_property(struct twin_plan *p, const char *key, const char *s, const char *value)
{
	size_t len = strlen(key);
	bool file;

	if (strcmp(key, "failover_pair_id") == 0)
		return twin_refuse(p, "device", value,
				   "it stands in for another NIC (failover), which does not move; "
				   "unplug it before (device_del), or " TWIN_ATTACH);
	file = len >= 4 && strcmp(key + len - 4, "file") == 0; /* romfile, sdrfile, ... */
	if (!s || !(twin_is_host_path(s) || (file && strchr(s, '/'))))
		return 0;
	if (strcmp(key, "romfile") == 0 && twin_is_firmware(s))
		return 0;
	return twin_refuse(p, "device", value,
			   "a property of it names a file of the source host; " TWIN_ATTACH);
}

int twin_device(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	json_t *json, *v;
	const char *key;
	char *now;
	int r;

	if (*value == '{') {
		json = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
		r = check_driver(p, json_string_value(json_object_get(json, "driver")),
				 json_string_value(json_object_get(json, "chardev")), value);
		json_object_foreach(json, key, v) if (r == 0) r =
		    check_property(p, key, json_string_value(v), value);
		json_decref(json);
	} else {
		if (qopts_parse(&o, value, "driver") < 0)
			return no_memory(p);
		r = check_driver(p, qopts_get(&o, "driver"), qopts_get(&o, "chardev"), value);
		for (size_t i = 0; i < o.count && r == 0; i++)
			r = check_property(p, o.at[i].key ? o.at[i].key : "", o.at[i].value, value);
		qopts_fini(&o);
	}
	if (r == 0)
		r = twin_block_device(p, value, &now);
	if (r == 0) {
		twin_add(p, "device", now ? now : value);
		free(now);
	}
	return r;
}

static bool object_kept(const char *type)
{
	static const char *const kept[] = {"iothread",
					   "memory-backend-ram",
					   "memory-backend-memfd",
					   "memory-backend-file",
					   "memory-backend-shm",
					   "throttle-group",
					   "rng-builtin",
					   "rng-random",
					   "thread-context",
					   "main-loop",
					   "can-bus",
					   "cryptodev-backend",
					   "cryptodev-backend-builtin",
					   "authz-simple",
					   "authz-list"};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (strcmp(type, kept[i]) == 0)
			return true;
	return false;
}

static int check_object(struct twin_plan *p, const char *type, const char *file, const char *name)
{
	/* The value may be a secret: the type alone is told. */
	if (!type)
		return twin_refuse(p, "object", "", "it names no type");
	if (!object_kept(type))
		return twin_refuse(p, "object", type, "it is of the source host; " TWIN_ATTACH);
	if (file)
		return twin_refuse(p, "object", type, "it reads a file of the source host");
	if (name && strcmp(name, "/dev/urandom") != 0 && strcmp(name, "/dev/random") != 0)
		return twin_refuse(p, "object", type,
				   "random bytes are taken from /dev/urandom or "
				   "/dev/random only");
	return 0;
}

/* A secret: it was made of what the source has handed over, at the beginning. */
static int check_secret(struct twin_plan *p, const char *id, bool has_data, bool has_file)
{
	if (has_file)
		return twin_refuse(p, "object", "secret", "it reads a file of the source host");
	if (has_data)
		return twin_refuse(p, "object", "secret",
				   "what is in it stands in the command line, where everybody sees "
				   "it: the source's adit is to hand it over apart");
	if (!id || !vmdesc_secret_by_id(p->d, id))
		return twin_refuse(p, "object", "secret", "the source has not handed it over");
	return 0;
}

int twin_object(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	json_t *json = NULL;
	const char *type;
	int r;

	if (*value == '{')
		json = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	else if (qopts_parse(&o, value, "qom-type") < 0)
		return no_memory(p);
#define OBJECT_HAS(key) (json ? json_string_value(json_object_get(json, key)) : qopts_get(&o, key))
	type = OBJECT_HAS("qom-type");
	if (type && strcmp(type, "secret") == 0)
		r = check_secret(
		    p, OBJECT_HAS("id"),
		    json ? json_object_get(json, "data") != NULL : qopts_get(&o, "data") != NULL,
		    json ? json_object_get(json, "file") != NULL : qopts_get(&o, "file") != NULL);
	else
		r = check_object(p, type, OBJECT_HAS("file"), OBJECT_HAS("filename"));
#undef OBJECT_HAS
	if (r == 0 && strncmp(type, "memory-backend-", 15) == 0)
		r = twin_memory(p, type, value);
	else if (r == 0 && strcmp(type, "secret") != 0)
		twin_add(p, "object", value);
	json_decref(json);
	qopts_fini(&o);
	return r;
}

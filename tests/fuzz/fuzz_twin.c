/*
 * Any command line as the source's, to the plan of a twin: two bytes choose an option, what
 * follows up to a zero byte is its value, or what else stands there. A plan that is made
 * launches a listed binary, waits, and puts its images below the listed folder.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/twin/twin.h"
#include "control/vm/vmdesc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const options[] = {
    "-machine", "-drive",   "-blockdev", "-hda",      "-cdrom",	    "-pflash", "-chardev",
    "-serial",	"-device",  "-object",	 "-netdev",   "-nic",	    "-net",    "-monitor",
    "-vnc",	"-display", "-audiodev", "-audio",    "-kernel",    "-bios",   "-boot",
    "-smbios",	"-global",  "-L",	 "-icount",   "-fw_cfg",    "-accel",  "-nographic",
    "-name",	"-mon",	    "-parallel", "-debugcon", "-usbdevice", "-spice",  "-nodefaults",
};

/* What makes most values worth a look. */
static const char *const values[] = {
    "file=/s/x.raw,if=virtio,id=d0",
    ("{\"driver\":\"qcow2\",\"node-name\":\"d1\",\"file\":{\"driver\":\"file\",\"filename\":"
     "\"/s/y.qcow2\"}}"),
    "/s/x.raw",
    "socket,id=c0,path=/s/c,server=on",
    "unix:/s/c,server=on",
    "user,id=n,hostfwd=tcp::1-:2",
    "virtio-blk-pci,drive=d1",
    "pc,usb=off",
};

enum { WORDS_MAX = 64, WORD_LEN = 512 };

#define IMAGES "/nonexistent/images"

static json_t *disk(const char *name, const char *file)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:b}", "name", name, "device", name, "node",
			 name, "file", file, "format", "raw", "size", (json_int_t)512, "copy", 1);
}

static void add(json_t *argv, const char *word)
{
	json_t *s = json_string(word); /* the schema lets nothing in that is not UTF-8 */

	if (s)
		json_array_append_new(argv, s);
}

/* A word of the input; one of ours first when its byte says so, some bytes changed. */
static size_t take_word(const uint8_t *data, size_t size, char *word)
{
	size_t n = 0, used = 1;

	word[0] = 0;
	if (data[0] < 0x80) {
		strcpy(word, values[data[0] % (sizeof(values) / sizeof(*values))]);
		if (size > 2) {
			n = strlen(word);
			if (data[1] && data[1] < 0x80)
				word[data[2] % n] = (char)data[1];
			used = 3;
		}
		return used;
	}
	while (used < size && data[used] && n < WORD_LEN - 1)
		word[n++] = (char)data[used++];
	word[n] = 0;
	return used < size ? used + 1 : used;
}

static void check(const struct twin *t)
{
	if (t->argv.count < 6 || strcmp(t->argv.at[0], "/usr/bin/qemu") != 0 ||
	    strcmp(t->argv.at[t->argv.count - 1], "-S") != 0 ||
	    strcmp(t->argv.at[t->argv.count - 2], "defer") != 0)
		abort();
	for (size_t i = 0; i < t->image_count; i++) {
		const char *path = t->images[i].path;

		if (strncmp(path, IMAGES "/", strlen(IMAGES "/")) != 0 ||
		    strchr(path + strlen(IMAGES "/"), '/'))
			abort();
		for (size_t k = 0; k < i; k++) /* no two disks in one image */
			if (strcmp(path, t->images[k].path) == 0)
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *binaries[] = {"/usr/bin/qemu", NULL};
	static const char *dirs[] = {IMAGES, NULL};
	static struct rights_storage storage = {"s", "qcow2", (char *)IMAGES};
	struct rights rights = {.migrate = true, .launch = binaries, .images = dirs};
	json_t *argv = json_array(), *msg;
	struct vmdesc d;
	struct twin t = {0};
	struct err e = ERR_INIT;
	char word[WORD_LEN];
	const uint8_t *first = data;
	const size_t size_all = size;

	add(argv, "qemu");
	if (size && data[0] == 0xff)
		rights.images = NULL;
	while (size > 1 && json_array_size(argv) < WORDS_MAX) {
		size_t used;

		add(argv, options[data[0] % (sizeof(options) / sizeof(*options))]);
		data++;
		size--;
		used = take_word(data, size, word);
		data += used;
		size -= used;
		if (*word)
			add(argv, word);
	}
	msg = json_pack("{s:{s:s,s:s,s:s,s:s,s:o},s:[o,o]}", "vm", "machine", "pc", "name", "vm",
			"exe", "/usr/bin/qemu", "cwd", "/s", "argv", argv, "disks",
			disk("d0", "/s/x.raw"), disk("d1", "/s/y.qcow2"));
	if (!msg || vmdesc_parse(&d, msg, &e) < 0)
		abort();
	if (size_all && *first == 0xfe) { /* in a storage that makes another format of them */
		rights.storage = &storage;
		rights.storage_count = 1;
		snprintf(storage.format, sizeof(storage.format), "%s",
			 size_all % 2 ? "raw" : "qcow2");
		d.disks[0].target = "s:x.raw";
		d.disks[1].target = "s:";
	}
	json_decref(msg);
	twin_formats(&d, &rights);
	if (twin_plan(&t, &d, &rights, "/nonexistent/run", "0123456789abcdef0123456789abcdef",
		      &e) == 0)
		check(&t);
	else if (!err_is_set(&e))
		abort();
	twin_fini(&t);
	vmdesc_fini(&d);
	return 0;
}

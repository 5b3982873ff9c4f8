/*
 * Any bytes as a cookie from either side, and cookies that were good until some of
 * their bytes were changed. A BEGIN that passes is taken further, to the plan of a twin.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/talk/cookie.h"
#include "control/twin/twin.h"
#include "control/vm/vmdesc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD(phase, kind)                                                                          \
	"{\"adit\":1,\"phase\":\"" phase "\",\"kind\":\"" kind                                     \
	"\",\"job\":\"0123456789abcdef0123456789abcdef\""

static const char *const good[] = {
    HEAD("begin",
	 "begin") ",\"vm\":{\"qemu\":\"7.2.22\",\"arch\":\"x86_64\","
		  "\"machine\":\"pc-i440fx-7.2\",\"name\":\"vm\",\"status\":\"running\","
		  "\"running\":true,"
		  "\"memory\":33554432,\"cpus\":1,\"exe\":\"/usr/bin/qemu\",\"cwd\":\"/"
		  "\",\"plugged\":[],"
		  "\"argv\":[\"qemu\",\"-M\",\"pc,usb=off\",\"-m\",\"32\",\"-drive\","
		  "\"file=/a/"
		  "x.raw,,1,if=virtio,format=raw\",\"-blockdev\",\"{\\\"driver\\\":\\\"qcow2\\\","
		  "\\\"node-name\\\":\\\"d\\\",\\\"file\\\":{\\\"driver\\\":\\\"file\\\","
		  "\\\"filename\\\":"
		  "\\\"/a/y.qcow2\\\"}}\",\"-device\",\"virtio-blk-pci,drive=d\",\"-chardev\","
		  "\"socket,id=c0,path=/a/s,server=on\",\"-serial\",\"chardev:c0\",\"-netdev\","
		  "\"user,id=n,hostfwd=tcp::1-:2\",\"-vnc\",\":1\",\"-audiodev\",\"pa,id=a\",\"-"
		  "qmp\","
		  "\"unix:/"
		  "q,server\",\"-object\",\"iothread,id=i\",\"-S\"]},\"disks\":[{\"name\":"
		  "\"virtio0\","
		  "\"device\":\"virtio0\",\"file\":\"/a/"
		  "x.raw,1\",\"format\":\"raw\",\"size\":1048576,"
		  "\"read_only\":false,\"empty\":false,\"removable\":false,\"copy\":true},{"
		  "\"name\":\"d\","
		  "\"node\":\"d\",\"file\":\"/a/y.qcow2\",\"format\":\"qcow2\",\"size\":1048576,"
		  "\"read_only\":false,\"empty\":false,\"removable\":false,\"copy\":true,\"qcow2\":"
		  "{\"compat\":\"1.1\",\"cluster_size\":65536,\"refcount_bits\":16,\"extended_l2\":"
		  "false},\"backing\":[{\"file\":\"/a/b.qcow2\",\"format\":\"qcow2\",\"size\":"
		  "1048576},{\"file\":\"/a/r\",\"format\":\"raw\",\"size\":1048576}]}],"
		  "\"storage\":\"inc\",\"rename\":\"other\"}",
    HEAD("prepare", "prepared") ",\"vm\":{\"qemu\":\"7.2.22\",\"qmp\":\"/r/qmp.sock\","
				"\"launched\":true,\"dir\":\"/"
				"r\",\"pid\":7},\"disks\":[\"d\"],\"notes\":[\"n\"]}",
    HEAD("perform", "disks-done") "}",
    HEAD("perform", "finish") ",\"run\":true,\"status\":\"completed\"}",
    HEAD("finish", "finished") ",\"runs\":true,\"status\":\"running\"}",
    HEAD("confirm", "confirm") "}",
    HEAD("confirm", "ended") ",\"source\":\"ended\"}",
    HEAD("confirm", "confirmed") "}",
    HEAD("abort", "abort") ",\"code\":\"timeout\",\"reason\":\"too late\"}",
    HEAD("abort", "aborted") ",\"clean\":true}",
};

static void plan(json_t *msg)
{
	static const char *binaries[] = {"/usr/bin/qemu", NULL};
	static const char *images[] = {"/nonexistent/images", NULL};
	const struct rights rights = {.migrate = true, .launch = binaries, .images = images};
	struct vmdesc d;
	struct twin t = {0};
	struct err e = ERR_INIT;

	if (vmdesc_parse(&d, msg, &e) < 0)
		return;
	if (twin_plan(&t, &d, &rights, "/nonexistent/run", "0123456789abcdef0123456789abcdef",
		      &e) == 0 &&
	    (t.argv.count < 6 || strcmp(t.argv.at[0], binaries[0]) != 0))
		abort();
	twin_fini(&t);
	vmdesc_fini(&d);
}

static void read_one(const char *line, size_t len, enum cookie_side from)
{
	struct err e = ERR_INIT;
	enum cookie_kind kind;
	json_t *msg;

	if (cookie_read(line, len, from, &kind, &msg, &e) < 0) {
		if (!err_is_set(&e) || msg)
			abort();
		return;
	}
	if (kind == COOKIE_BEGIN)
		plan(msg);
	if (kind == COOKIE_ABORT)
		cookie_get_abort(msg, &e);
	json_decref(msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[8192];
	size_t len;

	read_one((const char *)data, size, COOKIE_SOURCE);
	read_one((const char *)data, size, COOKIE_DESTINATION);
	if (size < 1)
		return 0;
	/* the first byte chooses a cookie, each four that follow change a stretch of it */
	len = strlen(good[data[0] % (sizeof(good) / sizeof(*good))]);
	memcpy(line, good[data[0] % (sizeof(good) / sizeof(*good))], len);
	for (size_t i = 1; i + 4 <= size && i < 64; i += 4) {
		size_t at = (size_t)(data[i] << 8 | data[i + 1]) % len;
		size_t n = data[i + 2] % 8;

		if (data[i + 2] & 0x80) { /* taken out */
			n = n < len - at ? n : len - at;
			len -= n;
			memmove(line + at, line + at + n, len - at);
		} else { /* written over */
			line[at] = (char)data[i + 3];
		}
		if (!len)
			return 0;
	}
	read_one(line, len, COOKIE_SOURCE);
	read_one(line, len, COOKIE_DESTINATION);
	return 0;
}

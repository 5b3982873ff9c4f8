/* See readconfig.h. What a section's line may be is QEMU's (util/qemu-config.c): [GROUP "ID"],
 * [GROUP], KEY = "VALUE". Lines of a file are in no message: it may be anybody's. */
#include "control/vm/readconfig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/vm/qopts.h"
#include "control/vm/secret_file.h"

#define ATTACH "start the VM on the destination yourself with -incoming defer, and use --dest-qmp"

/* Groups whose option has another name, and those that have their group's. */
static const char *const groups[][2] = {
    {"memory", "m"},	      {"smp-opts", "smp"},    {"boot-opts", "boot"},
    {"accel", "accel"},	      {"action", "action"},   {"audiodev", "audiodev"},
    {"blockdev", "blockdev"}, {"chardev", "chardev"}, {"device", "device"},
    {"drive", "drive"},	      {"fsdev", "fsdev"},     {"fw_cfg", "fw_cfg"},
    {"global", "global"},     {"icount", "icount"},   {"machine", "machine"},
    {"mon", "mon"},	      {"msg", "msg"},	      {"name", "name"},
    {"net", "net"},	      {"netdev", "netdev"},   {"nic", "nic"},
    {"numa", "numa"},	      {"object", "object"},   {"overcommit", "overcommit"},
    {"rtc", "rtc"},	      {"sandbox", "sandbox"}, {"smbios", "smbios"},
    {"spice", "spice"},	      {"tpmdev", "tpmdev"},   {"vnc", "vnc"},
};

/* A section that is being read. */
struct section {
	const char *option; /* NULL: none yet */
	struct qopts o;
};

static const char *option_of(const char *group)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (strcmp(groups[i][0], group) == 0)
			return groups[i][1];
	return NULL;
}

static int end_section(struct section *s, json_t *out, struct err *e)
{
	char *text;

	if (!s->option)
		return 0;
	text = qopts_text(&s->o);
	if (text) {
		json_array_append_new(out, json_sprintf("-%s", s->option));
		json_array_append_new(out, json_string(text));
	}
	free(text);
	qopts_fini(&s->o);
	s->option = NULL;
	return text ? 0 : err_set(e, ERR_SPACE, "no memory for the command line");
}

static int read_line(struct section *s, const char *line, unsigned n, const char *name, json_t *out,
		     struct err *e)
{
	char group[64], id[64] = "", key[64], value[1024] = "";
	bool has_id;

	if (*line == '[') {
		if (end_section(s, out, e) < 0)
			return e->code;
		has_id = sscanf(line, "[%63s \"%63[^\"]\"]", group, id) == 2;
		if (!has_id && sscanf(line, "[%63[^]]]", group) != 1)
			group[0] = 0;
		s->option = option_of(group);
		if (!s->option)
			return err_set(e, ERR_REFUSED,
				       "line %u of %s (-readconfig of the source's QEMU) begins "
				       "what adit does not know as an option: " ATTACH,
				       n, name);
		if (has_id && qopts_set(&s->o, "id", id) < 0)
			return err_set(e, ERR_SPACE, "no memory for the command line");
		return 0;
	}
	if (!s->option ||
	    (sscanf(line, "%63s = \"%1023[^\"]\"", key, value) != 2 &&
	     (sscanf(line, "%63s = \"\"", key) != 1 || !strstr(line, "\"\""))) ||
	    !qopts_is_key(key))
		return err_set(e, ERR_REFUSED,
			       "line %u of %s (-readconfig of the source's QEMU) cannot be "
			       "read: " ATTACH,
			       n, name);
	return qopts_set(&s->o, key, value) < 0
		   ? err_set(e, ERR_SPACE, "no memory for the command line")
		   : 0;
}

int readconfig_parse(char *text, const char *name, json_t *out, struct err *e)
{
	struct section s = {0};
	char *line, *rest = text;
	unsigned n = 0;
	int r = 0;

	while (r == 0 && (line = strsep(&rest, "\n")) != NULL) {
		n++;
		line += strspn(line, " \t\r");
		if (*line && *line != '#')
			r = read_line(&s, line, n, name, out, e);
	}
	if (r == 0)
		r = end_section(&s, out, e);
	qopts_fini(&s.o);
	return r;
}

/* When pid began, in seconds of the wall clock; 0: not known. */
static time_t start_of(pid_t pid)
{
	struct timespec boot, now;
	unsigned long long ticks;
	char path[64], text[1024];
	const char *at;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	at = strrchr(text, ')'); /* the program's name may have anything in it */
	for (unsigned field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, "%llu", &ticks) != 1 || clock_gettime(CLOCK_BOOTTIME, &boot) < 0 ||
	    clock_gettime(CLOCK_REALTIME, &now) < 0)
		return 0;
	return now.tv_sec - boot.tv_sec +
	       (time_t)(ticks / (unsigned long long)sysconf(_SC_CLK_TCK));
}

static int expand(json_t *out, const char *file, pid_t pid, struct err *e)
{
	char text[SECRET_MAX + 1];
	time_t start = start_of(pid);
	struct stat st;
	ssize_t n;
	int fd = secret_file_open(pid, file, e);

	if (fd < 0)
		return err_prefix(e, "the configuration of the source's QEMU (-readconfig)");
	/* (a file that was put in its place may have any time of change but that of its inode) */
	if (fstat(fd, &st) == 0 && start &&
	    (st.st_mtim.tv_sec > start + 1 || st.st_ctim.tv_sec > start + 1)) {
		close(fd);
		return err_set(e, ERR_REFUSED,
			       "%s (-readconfig of the source's QEMU) was changed after the VM was "
			       "started, so it may not say what runs: " ATTACH,
			       file);
	}
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return err_set_sys(e, errno, "%s (-readconfig of the source's QEMU)", file);
	text[n] = 0;
	return readconfig_parse(text, file, out, e);
}

int readconfig_expand(json_t *argv, pid_t pid, struct err *e)
{
	json_t *out = json_array();
	const json_t *item;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < json_array_size(argv); i++) {
		const char *word, *name;

		item = json_array_get(argv, i);
		word = name = json_string_value(item);
		name += *name == '-' ? 1 + (name[1] == '-') : 0;
		if (i == 0 || name == word || strcmp(name, "readconfig") != 0 ||
		    i + 1 == json_array_size(argv))
			json_array_append(out, (json_t *)(uintptr_t)item);
		else
			r = expand(out, json_string_value(json_array_get(argv, ++i)), pid, e);
	}
	if (r == 0) {
		json_array_clear(argv);
		json_array_extend(argv, out);
	}
	json_decref(out);
	return r;
}

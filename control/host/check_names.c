/* Names in use by QEMUs that adit knows nothing of: see check_names.h. Only looks. */
#include "control/host/check_names.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "control/vm.h"

static bool is_qemu(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strncmp(slash ? slash + 1 : program, "qemu", 4) == 0 &&
	       strncmp(slash ? slash + 1 : program, "qemu-img", 8) != 0;
}

/* -name web, -name guest=web,debug-threads=on */
static bool names(const char *value, const char *name)
{
	struct qopts o = {0};
	const char *guest;
	bool is = false;

	if (!value || !*name)
		return false;
	if (qopts_parse(&o, value, "guest") == 0) {
		guest = qopts_get(&o, "guest");
		is = guest && strcmp(guest, name) == 0;
	}
	qopts_fini(&o);
	return is;
}

/* The word behind word, NULL at the end. */
static const char *next(const char *word, const char *end)
{
	word += strlen(word) + 1;
	return word < end ? word : NULL;
}

bool check_names_match(const char *cmdline, size_t len, const char *name, const char *uuid)
{
	const char *end = cmdline + len, *word = cmdline, *value;

	if (!len || end[-1] || !is_qemu(cmdline))
		return false;
	for (; word; word = next(word, end)) {
		const char *option = word[0] == '-' ? word + 1 + (word[1] == '-') : "";

		value = next(word, end);
		if (strcmp(option, "name") == 0 && names(value, name))
			return true;
		if (strcmp(option, "uuid") == 0 && value && *uuid && strcasecmp(value, uuid) == 0)
			return true;
	}
	return false;
}

static bool process_matches(const char *pid, const char *name, const char *uuid)
{
	enum { MAX = 256 * 1024 };
	char path[300], *buf = malloc(MAX);
	bool is = false;
	ssize_t n = 0;
	size_t len = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	fd = buf ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && len < MAX && (n = read(fd, buf + len, MAX - len)) > 0)
		len += (size_t)n;
	if (fd >= 0) {
		is = n == 0 && check_names_match(buf, len, name, uuid);
		close(fd);
	}
	free(buf);
	return is;
}

size_t check_names_count(const char *name, const char *uuid, pid_t *first)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[strspn(entry->d_name, "0123456789")] ||
		    !process_matches(entry->d_name, name, uuid))
			continue;
		if (count++ == 0)
			*first = (pid_t)atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return count;
}

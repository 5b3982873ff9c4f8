/* The host's memory: see memory.h. */
#include "base/memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The limit in that file; UINT64_MAX where there is none ("max"). */
static uint64_t read_limit(const char *file)
{
	unsigned long long v;
	FILE *f = fopen(file, "re");
	int n;

	if (!f)
		return UINT64_MAX;
	n = fscanf(f, "%llu", &v);
	fclose(f);
	return n == 1 && v ? v : UINT64_MAX;
}

/* The least of the limits of the group and of those above it. */
static uint64_t of_group(char *path)
{
	uint64_t least = UINT64_MAX, limit;
	char file[PATH_MAX + 64];
	char *slash;

	while ((slash = strrchr(path, '/'))) {
		snprintf(file, sizeof(file), "/sys/fs/cgroup%s/memory.max", path);
		limit = read_limit(file);
		if (limit < least)
			least = limit;
		*slash = '\0';
	}
	return least;
}

uint64_t memory_of_host(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	uint64_t host = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
	uint64_t group = UINT64_MAX;
	char line[PATH_MAX];
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0)
			group = of_group(line + 3);
	}
	if (f)
		fclose(f);
	return group < host ? group : host;
}

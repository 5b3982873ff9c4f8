/* See process.h. */
#include "base/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned long long process_started(pid_t pid)
{
	char path[40], buf[1024], *p;
	int fd, field = 2;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	p = strrchr(buf, ')'); /* the name may hold anything */
	if (p && (strncmp(p, ") Z", 3) == 0 || strncmp(p, ") X", 3) == 0))
		return 0;
	for (; p && *p && field < 22; p++)
		if (*p == ' ')
			field++;
	return p && *p ? strtoull(p, NULL, 10) : 0;
}

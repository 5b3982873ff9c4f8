/* Where a test build stops: see point.h. */
#include "base/point.h"

#ifdef ADIT_TEST_POINTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>

void point_reach(const char *name)
{
	static char left[256];
	static int read_it;
	size_t len = strlen(name);

	if (!read_it) {
		const char *wanted = getenv("ADIT_STOP_AT");

		read_it = 1;
		if (wanted && strlen(wanted) < sizeof(left))
			strcpy(left, wanted);
	}
	for (char *at = left; (at = strstr(at, name)) != NULL; at += len) {
		if ((at != left && at[-1] != ',') || (at[len] && at[len] != ','))
			continue;
		at[0] = '-'; /* once */
		raise(SIGSTOP);
		return;
	}
}

uint64_t point_ms(const char *name, uint64_t ms)
{
	const char *limits = getenv("ADIT_LIMITS"), *at = limits;
	size_t len = strlen(name);

	for (; at && (at = strstr(at, name)) != NULL; at += len)
		if ((at == limits || at[-1] == ',') && at[len] == '=')
			return strtoull(at + len + 1, NULL, 10);
	return ms;
}
#endif

/*
 * Points of a job at which a test build can be made to stop, so that a test may kill
 * somebody at exactly that moment. Nothing at all in other builds.
 *
 * ADIT_STOP_AT in the environment names points, with commas between; a process that
 * reaches one of them stops itself (SIGSTOP) there, once for each.
 *
 * ADIT_LIMITS in the environment, "name=MS,name=MS", shortens limits that no test could wait for.
 */
#ifndef ADIT_BASE_POINT_H
#define ADIT_BASE_POINT_H

#include <stdint.h>

#ifdef ADIT_TEST_POINTS
void point_reach(const char *name);
uint64_t point_ms(const char *name, uint64_t ms);
#define POINT(name) point_reach(name)
#define POINT_MS(name, ms) point_ms(name, ms)
#else
#define POINT(name) ((void)0)
#define POINT_MS(name, ms) ((uint64_t)(ms))
#endif

#endif

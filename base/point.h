/*
 * Points of a job at which a test build can be made to stop, so that a test may kill
 * somebody at exactly that moment. Nothing at all in other builds.
 *
 * ADIT_STOP_AT in the environment names points, with commas between; a process that
 * reaches one of them stops itself (SIGSTOP) there, once for each.
 */
#ifndef ADIT_BASE_POINT_H
#define ADIT_BASE_POINT_H

#ifdef ADIT_TEST_POINTS
void point_reach(const char *name);
#define POINT(name) point_reach(name)
#else
#define POINT(name) ((void)0)
#endif

#endif

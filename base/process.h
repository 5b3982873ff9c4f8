/* A process as it can be known again: its number, and when it started. */
#ifndef ADIT_BASE_PROCESS_H
#define ADIT_BASE_PROCESS_H

#include <sys/types.h>

/* The time at which pid started, in clock ticks since boot (field 22 of /proc/PID/stat,
 * proc(5)): with the number it names one process, as numbers are given anew. 0 when it has
 * gone, or is dead and only waits to be reaped. Safe after fork. */
unsigned long long process_started(pid_t pid);

#endif

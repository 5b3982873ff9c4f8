/* Monotonic time. */
#ifndef ADIT_BASE_CLOCK_H
#define ADIT_BASE_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t clock_us(void);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t clock_ms(void);

/* Microseconds of the processor that this thread has used. */
uint64_t clock_cpu_us(void);

enum { CLOCK_TIMER_MAX_S = 10 * 366 * 24 * 3600 };

/* What an event loop's timer wants of a wait: exact up to CLOCK_TIMER_MAX_S (ten years), and
 * that for anything longer, so that no sum with the time of day overflows. Every wait that is
 * longer than a constant goes through here. */
struct timeval clock_timeval(uint64_t ms);

#endif

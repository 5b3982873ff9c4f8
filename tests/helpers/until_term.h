/* What the programs that look on have in common: they run until SIGTERM, and print a line at each
 * event. */
#ifndef UNTIL_TERM_H
#define UNTIL_TERM_H

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

static volatile sig_atomic_t over;

static void on_term(int n)
{
	(void)n;
	over = 1;
}

static inline long long now_us(void)
{
	struct timeval t;
	gettimeofday(&t, NULL);
	return t.tv_sec * 1000000LL + t.tv_usec;
}

static inline void until_term(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, on_term);
}

#endif

/*
 * What adit migrate shows while it works: for a person, a line redrawn on a terminal
 * (a line now and then where there is none) and a summary; for a program, JSON lines.
 */
#ifndef ADIT_CLI_COMMANDS_PROGRESS_H
#define ADIT_CLI_COMMANDS_PROGRESS_H

#include "control/source.h"

/* Embedded; zeroed and json set. */
struct progress {
	int json;     /* JSON lines on standard output, nothing for people */
	int terminal; /* standard error is one: redraw */
	int drawn;    /* a line stands there, without its newline */
	unsigned ticks;
	char phase[32];
};

void progress_init(struct progress *p, int json);
void progress_phase(struct progress *p, const char *phase);
void progress_note(struct progress *p, const char *text);
void progress_tick(struct progress *p, const struct migrate_progress *m);

/* Removes the line that is redrawn, so that something else can be printed. */
void progress_clear(struct progress *p);

/* The end: for people the summary on standard output when it went well; the error's
 * line is the caller's. JSON's last object. */
void progress_end(struct progress *p, const struct migrate_result *r);

#endif

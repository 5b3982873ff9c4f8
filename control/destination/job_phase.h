/*
 * The phases of the destination's side of a migration, as a table: what each is called, where it
 * may go, and what holds in it. docs/phases.md has the picture. What a file wants to know of a
 * phase it asks by such a word, never by where the phase stands in the enum.
 */
#ifndef ADIT_CONTROL_DESTINATION_JOB_PHASE_H
#define ADIT_CONTROL_DESTINATION_JOB_PHASE_H

#include <stdbool.h>

enum job_state {
	JOB_WAITING,   /* the talk is open, BEGIN has not come */
	JOB_PREPARING, /* checks, images, twin, monitor; no stream yet */
	JOB_READY,     /* PREPARED was said: disk and RAM streams come and flow */
	JOB_CLOSING,   /* DISKS_DONE came: the exports are being closed */
	JOB_CLOSED,    /* DISKS_CLOSED was said: the last of RAM comes */
	JOB_FINISHING, /* FINISH came: is it whole? */
	JOB_DECIDED,   /* it is to run here; from now on nothing is undone */
	JOB_ASKED,     /* RECOVER came instead of BEGIN: what became of the job? */
	JOB_RUNS,      /* FINISHED, or RECOVERED, was said: CONFIRM is awaited */
	JOB_CONFIRMED, /* CONFIRMED was said: the source VM ends, ENDED is awaited */
	JOB_OVER,      /* undone, or settled: waits to be freed */
	JOB_STATES,
};

/* What may hold in a phase. */
enum job_trait {
	JOB_COPIES = 1 << 0, /* before the exports are closed: a disk stream that breaks matters */
	JOB_RECEIVES = 1 << 1, /* before FINISH */
	JOB_OPEN = 1 << 2,     /* not decided: a failure undoes it, and the source runs on */
	JOB_CLAIMS = 1 << 3,   /* its images are not the VM's yet: nobody else may have them */
};

/* What a person reads of it; static. */
const char *job_state_name(enum job_state state);

/* Whether trait holds in it. */
bool job_state_is(enum job_state state, enum job_trait trait);

/* Whether there is a way from one to the other. */
bool job_may(enum job_state from, enum job_state to);

#endif

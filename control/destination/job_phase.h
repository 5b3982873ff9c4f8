/*
 * The phases of the destination's side of a migration. Each is a file, phase_NAME.c, that exports
 * one const struct job_phase: what it is called, where it may go, what it does and what it takes.
 * What is not in there is refused in one place, job_core.c. docs/phases.md has the picture. What a
 * file wants to know of a phase it asks by a trait, never by where the phase stands in the enum.
 */
#ifndef ADIT_CONTROL_DESTINATION_JOB_PHASE_H
#define ADIT_CONTROL_DESTINATION_JOB_PHASE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "control/talk.h"

struct job;
struct session;
struct stream;

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
	JOB_SETTLES = 1 << 4,  /* the end is known: nothing that is said or fails changes it */
};

/* A bit of `to`. */
#define JOB_TO(state) (1u << JOB_##state)

/* A cookie that a phase takes. A list of them ends with one that has no function. */
struct job_cookie {
	enum cookie_kind kind;
	void (*take)(struct job *j, const json_t *msg);
};

/* An event of the twin's that a phase takes, likewise. */
struct job_event {
	const char *name;
	void (*take)(struct job *j, const char *name, const json_t *data);
};

/* A time, after which something is done. */
struct job_deadline {
	unsigned ms;	   /* from entering on; 0: there is none then, and `none` says why */
	const char *point; /* its name in tests (base/point.h); NULL: it has none */
	void (*over)(struct job *j); /* also where the phase itself sets one, for a part of it */
	const char *none;
};

struct job_phase {
	const char *name;
	unsigned to; /* JOB_TO of each that it may go to */
	unsigned is; /* traits */
	/* Once it is the phase; may go on to the next one. NULL: nothing is done. */
	void (*enter)(struct job *j);
	/* Ends what is its own; the deadline and the look end by themselves. NULL: nothing. */
	void (*leave)(struct job *j);
	struct job_deadline deadline;
	/* What job_look has asked for. NULL: it never does. */
	void (*look)(struct job *j);
	const struct job_cookie *cookies; /* NULL: it takes none */
	const struct job_event *events;
	/* A stream of the job's own session; what is its name behind "job:ID". NULL: it takes none.
	 */
	void (*stream)(struct job *j, struct session *s, struct stream *stream, const char *what);
	/* Something has failed. NULL: all is undone. Asked in an open phase only: after the
	 * decision a failure is told, and nothing else. */
	void (*fail)(struct job *j, const struct err *e);
	/* The talk has ended, and is gone. (With its session: that is told after it, and nobody
	 * minds.) NULL: that fails an open phase, and is nothing to another one. */
	void (*talk_ended)(struct job *j, const struct err *why);
	/* The twin's monitor can be talked to. NULL: nobody waits for it. */
	void (*qemu_ready)(struct job *j);
	/* The monitor has gone. NULL: its part is done. */
	void (*qemu_ended)(struct job *j, const struct err *why);
	/* The QEMU that was launched here has ended. NULL: a failure, as any. */
	void (*qemu_exited)(struct job *j, const struct err *why);
};

extern const struct job_phase job_phase_waiting, job_phase_preparing, job_phase_ready,
    job_phase_closing, job_phase_closed, job_phase_finishing, job_phase_decided, job_phase_asked,
    job_phase_runs, job_phase_confirmed, job_phase_over;

/* All of them, by state. */
extern const struct job_phase *const job_phases[JOB_STATES];

#endif

/*
 * The phases of the destination's side of a migration. Each is a file, phase_NAME.c, that exports
 * one const struct arrival_phase: what it is called, where it may go, what it does and what it
 * takes. What is not in there is refused in one place, arrival_core.c. docs/phases.md has the
 * picture. What a file wants to know of a phase it asks by a trait, never by where the phase stands
 * in the enum.
 */
#ifndef ADIT_CONTROL_DESTINATION_ARRIVAL_PHASE_H
#define ADIT_CONTROL_DESTINATION_ARRIVAL_PHASE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "control/talk.h"

struct arrival;
struct session;
struct stream;

enum arrival_state {
	ARRIVAL_WAITING,   /* the talk is open, BEGIN has not come */
	ARRIVAL_PREPARING, /* checks, images, twin, monitor; no stream yet */
	ARRIVAL_READY,	   /* PREPARED was said: disk and RAM streams come and flow */
	ARRIVAL_CLOSING,   /* DISKS_DONE came: the exports are being closed */
	ARRIVAL_CLOSED,	   /* DISKS_CLOSED was said: the last of RAM comes */
	ARRIVAL_FINISHING, /* FINISH came: is it whole? */
	ARRIVAL_DECIDED,   /* it is to run here; from now on nothing is undone */
	ARRIVAL_ASKED,	   /* RECOVER came instead of BEGIN: what became of the job? */
	ARRIVAL_RUNS,	   /* FINISHED, or RECOVERED, was said: CONFIRM is awaited */
	ARRIVAL_CONFIRMED, /* CONFIRMED was said: the source VM ends, ENDED is awaited */
	ARRIVAL_OVER,	   /* undone, or settled: waits to be freed */
	ARRIVAL_STATES,
};

/* What may hold in a phase. */
enum arrival_trait {
	ARRIVAL_COPIES = 1 << 0,   /* the exports are open: a disk stream that breaks matters */
	ARRIVAL_RECEIVES = 1 << 1, /* before FINISH */
	ARRIVAL_OPEN = 1 << 2,	   /* not decided: a failure undoes it, and the source runs on */
	ARRIVAL_CLAIMS = 1 << 3,   /* its images are not the VM's yet: nobody else may have them */
	ARRIVAL_SETTLES = 1 << 4,  /* the end is known: nothing that is said or fails changes it */
};

/* A bit of `to`. */
#define ARRIVAL_TO(state) (1u << ARRIVAL_##state)

/* A cookie that a phase takes. A list of them ends with one that has no function. */
struct arrival_cookie {
	enum cookie_kind kind;
	void (*take)(struct arrival *a, const json_t *msg);
};

/* An event of the twin's that a phase takes, likewise. */
struct arrival_event {
	const char *name;
	void (*take)(struct arrival *a, const char *name, const json_t *data);
};

/* A time, after which something is done. */
struct arrival_deadline {
	unsigned ms;	   /* from entering on; 0: there is none then, and `none` says why */
	const char *point; /* its name in tests (base/point.h); NULL: it has none */
	void (*over)(struct arrival *a); /* also of one that the phase sets for a part of it */
	const char *none;
};

struct arrival_phase {
	const char *name;
	unsigned to; /* ARRIVAL_TO of each that it may go to */
	unsigned is; /* traits */
	/* Once it is the phase; may go on to the next one. NULL: nothing is done. */
	void (*enter)(struct arrival *a);
	/* Ends what is its own; the deadline and the look end by themselves. NULL: nothing. */
	void (*leave)(struct arrival *a);
	struct arrival_deadline deadline;
	/* What arrival_look has asked for. NULL: it never does. */
	void (*look)(struct arrival *a);
	const struct arrival_cookie *cookies; /* NULL: it takes none */
	const struct arrival_event *events;
	/* A stream of its own session; what is its name behind "job:ID". NULL: it takes none.
	 */
	void (*stream)(struct arrival *a, struct session *s, struct stream *stream,
		       const char *what);
	/* Something has failed. NULL: all is undone. Asked in an open phase only: after the
	 * decision a failure is told, and nothing else. */
	void (*fail)(struct arrival *a, const struct err *e);
	/* The talk has ended, and is gone. (With its session: that is told after it, and nobody
	 * minds.) NULL: that fails an open phase, and is nothing to another one. */
	void (*talk_ended)(struct arrival *a, const struct err *why);
	/* The twin's monitor can be talked to. NULL: nobody waits for it. */
	void (*qemu_ready)(struct arrival *a);
	/* The monitor has gone. NULL: its part is done. */
	void (*qemu_ended)(struct arrival *a, const struct err *why);
	/* The QEMU that was launched here has ended. NULL: a failure, as any. */
	void (*qemu_exited)(struct arrival *a, const struct err *why);
};

extern const struct arrival_phase arrival_phase_waiting, arrival_phase_preparing,
    arrival_phase_ready, arrival_phase_closing, arrival_phase_closed, arrival_phase_finishing,
    arrival_phase_decided, arrival_phase_asked, arrival_phase_runs, arrival_phase_confirmed,
    arrival_phase_over;

/* All of them, by state. */
extern const struct arrival_phase *const arrival_phases[ARRIVAL_STATES];

#endif

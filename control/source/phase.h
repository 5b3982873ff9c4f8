/*
 * The phases of the source's side of a migration. Each is a file, phase_NAME.c, that exports one
 * const struct phase: what it is called, where it may go, what it does and what it takes. What is
 * not in there is refused in one place, migrate_core.c. docs/phases.md has the picture. What a file
 * wants to know of a phase it asks by a trait, never by where the phase stands in the enum.
 */
#ifndef ADIT_CONTROL_SOURCE_PHASE_H
#define ADIT_CONTROL_SOURCE_PHASE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "control/talk.h"

struct migrate;

enum migrate_state {
	MIGRATE_BEGIN,	    /* the VM is being read; nothing has happened */
	MIGRATE_PREPARE,    /* the destination checks, makes disks and twin; source untouched */
	MIGRATE_DISKS,	    /* mirrors copy; the guest runs */
	MIGRATE_RAM,	    /* RAM goes over, mirrors follow; the guest runs */
	MIGRATE_SWITCHOVER, /* the guest stands still; mirrors end, exports close */
	MIGRATE_DEVICE,	    /* the last of RAM and the devices go over */
	MIGRATE_FINISH,	    /* the destination decides: nothing is undone without its word */
	MIGRATE_ASK,	    /* its word was lost: it is asked for again; the guest stands still */
	/* postcopy: it runs there while the rest of RAM flows; both are needed. It has no limit:
	 * the VM lives there by what is here, and giving up would only end it. */
	MIGRATE_PAGING,
	MIGRATE_CONFIRM, /* it runs there, and is told that we know; our VM could still go on */
	MIGRATE_END,	 /* both know: the source VM ends */
	MIGRATE_UNDO,	 /* failed: the source is put back, the destination told */
	MIGRATE_OVER,	 /* on_end was called, or is about to be */
	MIGRATE_STATES,
};

/* What may hold in a phase. Each but `ask` has one of RETURNS, ASKS and SETTLES (unit.phases). */
enum phase_trait {
	PHASE_EARLY = 1 << 0,	/* before the switchover: the guest's run and the limits are open */
	PHASE_COPIES = 1 << 1,	/* disks and RAM are copied while the guest may run */
	PHASE_MIRRORS = 1 << 2, /* the mirrors are needed: one that breaks is a failure */
	PHASE_PERFORMS = 1 << 3,  /* Perform: QEMU does what we have told it */
	PHASE_RAM_FLOWS = 1 << 4, /* QEMU's migration has begun and is not at its end */
	PHASE_RETURNS = 1 << 5,	  /* the destination cannot run it: a failure goes back by itself */
	PHASE_ASKS =
	    1 << 6, /* the destination may run it: a word that is lost is asked for again */
	PHASE_SETTLES = 1 << 7, /* the end is known: what fails now changes nothing of it */
};

/* A bit of `to`. */
#define PHASE_TO(state) (1u << MIGRATE_##state)

/* A cookie that a phase takes. A list of them ends with one that has no function. */
struct phase_cookie {
	enum cookie_kind kind;
	void (*take)(struct migrate *m, const json_t *msg);
};

/* A QEMU event that a phase takes, likewise. */
struct phase_event {
	const char *name;
	void (*take)(struct migrate *m, const char *name, const json_t *data);
};

/* A time, after which something is done. */
struct phase_deadline {
	unsigned ms;	   /* from entering on; 0: there is none then, and `none` says why */
	const char *point; /* its name in tests (base/point.h); NULL: it has none */
	void (*over)(
	    struct migrate *m); /* also where the phase itself sets one, for a part of it */
	const char *none;
};

struct phase {
	const char *name;
	const char *text; /* the same for people; NULL: there is nothing to be said of it */
	unsigned to; /* PHASE_TO of each that it may go to */
	unsigned is; /* traits */
	/* Once it is the phase; may go on to the next one. NULL: nothing is done. */
	void (*enter)(struct migrate *m);
	/* Ends what is its own; the deadline and the look end by themselves. NULL: nothing. */
	void (*leave)(struct migrate *m);
	struct phase_deadline deadline;
	/* What migrate_look has asked for. NULL: it never does. */
	void (*look)(struct migrate *m);
	const struct phase_cookie *cookies; /* NULL: it takes none */
	const struct phase_event *events;
	/* Something has failed, and the reason is known. NULL: all is undone. Not asked in a phase
	 * that settles. */
	void (*fail)(struct migrate *m, const struct err *e);
	/* What the destination said, or adit was about to do, cannot be: the safe way. Not asked in
	 * a phase that settles. */
	void (*bad_word)(struct migrate *m, const struct err *why);
	/* The talk has ended. NULL: nobody minds. */
	void (*talk_ended)(struct migrate *m, const struct err *why);
	/* The session is there, with nothing in it. NULL: nobody waits for one. */
	void (*session_ready)(struct migrate *m);
	/* It has ended, or never came up. The talk, if there was one, was told before. NULL: that
	 * was enough. */
	void (*session_ended)(struct migrate *m, const struct err *why);
	/* The source QEMU's monitor can be talked to. NULL: nobody waits for it. */
	void (*qemu_ready)(struct migrate *m);
	/* The source QEMU has gone. NULL: its part is done. */
	void (*qemu_ended)(struct migrate *m, const struct err *why);
	/* --timeout is over. NULL: no time limit ends it any more. */
	void (*time_up)(struct migrate *m);
	/* Somebody wants the end: whether the VM will be here. NULL: there is nothing to cancel. */
	bool (*cancel)(struct migrate *m);
};

extern const struct phase phase_begin, phase_prepare, phase_disks, phase_ram, phase_switchover,
    phase_device, phase_finish, phase_ask, phase_paging, phase_confirm, phase_end, phase_undo,
    phase_over;

/* All of them, by state. */
extern const struct phase *const migrate_phases[MIGRATE_STATES];

#endif

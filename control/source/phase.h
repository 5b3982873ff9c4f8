/*
 * The phases of the source's side of a migration, as a table: what each is called, where it may
 * go, and what holds in it. docs/phases.md has the picture. What a file wants to know of a phase
 * it asks by such a word, never by where the phase stands in the enum.
 */
#ifndef ADIT_CONTROL_SOURCE_PHASE_H
#define ADIT_CONTROL_SOURCE_PHASE_H

#include <stdbool.h>

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

/* What may hold in a phase. */
enum phase_trait {
	PHASE_EARLY = 1 << 0,	/* before the switchover: the guest's run and the limits are open */
	PHASE_COPIES = 1 << 1,	/* disks and RAM are copied while the guest may run */
	PHASE_MIRRORS = 1 << 2, /* the mirrors are needed: one that breaks is a failure */
	PHASE_PERFORMS = 1 << 3,  /* Perform: QEMU does what we have told it */
	PHASE_RAM_FLOWS = 1 << 4, /* QEMU's migration has begun and is not at its end */
	PHASE_RETURNS = 1 << 5,	  /* the destination cannot run it: a failure goes back by itself */
	PHASE_HEARS = 1 << 6,	  /* QEMU's events on disks and RAM are of use */
	PHASE_ASKS =
	    1 << 7, /* the destination may run it: a word that is lost is asked for again */
	PHASE_SETTLES = 1 << 8, /* the end is known: what fails now changes nothing of it */
};

/* What a person reads of it; static. */
const char *migrate_state_name(enum migrate_state state);

/* Whether trait holds in it. */
bool phase_is(enum migrate_state state, enum phase_trait trait);

/* Whether there is a way from one to the other. */
bool phase_may(enum migrate_state from, enum migrate_state to);

#endif

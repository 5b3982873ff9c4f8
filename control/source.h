/*
 * source/: a migration as the host steers it that the VM leaves.
 * The phases from Begin to Confirm (migrate.h, docs/phases.md), what it tells (migrate_json.h), and
 * the jobs that were cut off: one after the other (recover.h), or every now and then (caretaker.h).
 * From Finish on it refuses to let the VM run, or to end it, but on the word of the destination that
 * prepared it, or of a person. It promises nothing that is not in the journal first, starts and
 * makes no VM, and knows of destination/ only what comes in a cookie.
 * Called by api/ (a task has one), cli/ (`adit recover`, and adit serve's caretaker) and lib/.
 */
#ifndef ADIT_CONTROL_SOURCE_H
#define ADIT_CONTROL_SOURCE_H

#include "control/source/caretaker.h"
#include "control/source/migrate.h"
#include "control/source/migrate_json.h"
#include "control/source/recover.h"

#endif

/*
 * wish/: what a migration is asked for.
 * The configuration, as a struct, as options of the command line and as JSON, all from one table;
 * the credentials that go with it; and what the two that put it to use, a job and a check, make of
 * it: which disks, and what the destination is told.
 * It refuses words that do not go together, are not known or out of range, each by its name. It
 * holds no secret, only where it lies; begins nothing, and speaks to nobody.
 * Called by cli/ and lib/ (which fill it in), api/ (the body of a request), check/ and source/ (which
 * do what it says).
 */
#ifndef ADIT_CONTROL_WISH_H
#define ADIT_CONTROL_WISH_H

#include "control/wish/auth.h"
#include "control/wish/migrate_config.h"
#include "control/wish/migrate_wish.h"

#endif

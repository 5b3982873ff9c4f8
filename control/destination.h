/*
 * destination/: a migration as the host takes it in that the VM comes to.
 * Part of adit serve: a service that peers open a talk with, an arrival for each (docs/phases.md has the
 * phases), and at its start the records of those that were cut off.
 * It refuses whatever the peer's rights do not name, a VM that would not run here, and one whose
 * name is taken; makes nothing that the guardian does not know of; lets no VM run before its
 * decision is on the disk, and undoes nothing after it. It knows of source/ only what comes in a
 * cookie.
 * Called by cli/ (adit serve), and by peers through proxy/'s router.
 */
#ifndef ADIT_CONTROL_DESTINATION_H
#define ADIT_CONTROL_DESTINATION_H

#include "control/destination/service.h"

#endif

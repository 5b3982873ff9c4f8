/*
 * check/: whether a migration would go well.
 * What the source can see (check_source.h), what the destination can (check_destination.h, with what
 * QEMU there says of itself: check_probe.h), and the run over both that `adit check` is
 * (check_run.h). All that is found is a finding: a line, an object, a mend (docs/checks.md).
 * It refuses to change anything on either side, and decides nothing: what an error forbids is the
 * caller's to leave. A step that fails is a finding, not an end.
 * Called by source/ (in Begin), destination/ (first in every Prepare, and for CHECK) and cli/
 * (`adit check`).
 */
#ifndef ADIT_CONTROL_CHECK_H
#define ADIT_CONTROL_CHECK_H

#include "control/check/check.h"
#include "control/check/check_destination.h"
#include "control/check/check_probe.h"
#include "control/check/check_run.h"
#include "control/check/check_source.h"
#include "control/check/check_types.h"

#endif

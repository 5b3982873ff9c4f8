/*
 * Whether there is room on this host for RAM that is in huge pages, or in files of a folder.
 * Finding: memory.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_PAGES_H
#define ADIT_CONTROL_CHECK_CHECK_PAGES_H

#include "control/check/check.h"
#include "control/twin.h"

void check_pages(struct check *c, const struct twin *t);

#endif

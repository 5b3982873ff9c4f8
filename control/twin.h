/*
 * twin/: the command line of the QEMU that is to take a VM over.
 * Made anew from the source's, option by option: kept, rewritten for this host, left out, or refused
 * by name. Or, where a QEMU waits already, whether it is like the source's (twin_match.h).
 * It refuses what its table does not know, and whatever would read, write, run or listen at a place
 * that the source has named. It makes nothing, starts nothing, and asks no QEMU: what comes out is
 * words, and why not.
 * Called by check/ (would it do?) and destination/ (which then starts it, or takes the one that
 * waits).
 */
#ifndef ADIT_CONTROL_TWIN_H
#define ADIT_CONTROL_TWIN_H

#include "control/twin/twin.h"
#include "control/twin/twin_match.h"

#endif

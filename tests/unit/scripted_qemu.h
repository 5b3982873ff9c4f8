/* A QEMU at the other end of a monitor that answers what a test says. */
#ifndef ADIT_TESTS_UNIT_SCRIPTED_QEMU_H
#define ADIT_TESTS_UNIT_SCRIPTED_QEMU_H

#include <jansson.h>
#include <stdbool.h>

#include "control/qmp/qmp.h"

/* Embedded. answer, ctx and silent are the test's; the rest is set by scripted_qemu_up. */
struct scripted_qemu {
	/* What QEMU says to a command with those arguments (NULL: none): an object with "return" or
	 * "error", which is freed; NULL: nothing at all. */
	json_t *(*answer)(void *ctx, const char *command, const json_t *arguments);
	void *ctx;
	bool silent; /* hears nothing meanwhile */
	struct event_base *base;
	struct qmp *qmp; /* the test's, who frees it */
	int peer;
	bool ready; /* the greeting is over */
};

/* Makes the loop and a client of the monitor, and waits until that is ready. */
void scripted_qemu_up(struct scripted_qemu *q);

/* The loop for 5 ms, then the answers to what was asked. Returns how many. */
unsigned scripted_qemu_turn(struct scripted_qemu *q);

/* Frees the loop; the client and the loop's other events have gone. */
void scripted_qemu_down(struct scripted_qemu *q);

#endif

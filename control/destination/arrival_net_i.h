/* What arrival_net.c has for the other files of the destination's side; see arrival_i.h. */
#ifndef ADIT_CONTROL_DESTINATION_ARRIVAL_NET_I_H
#define ADIT_CONTROL_DESTINATION_ARRIVAL_NET_I_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct arrival;
struct check;
struct qmp_batch;
struct twin;

/* What Open vSwitch says of its bridges (netport_list): len bytes, borrowed; or why nothing. */
struct arrival_switch {
	const char *list;
	size_t len;
	struct err why;
};
/* Whether that is needed for the plan's networks. */
bool arrival_net_asks(const struct twin *plan);
/* Appends to c what may be said of the plan's networks here. */
void arrival_net_check(const struct twin *plan, const struct arrival_switch *there,
		       struct check *c);

/* Makes prepare.inherited, with the taps of the twin's networks, in no bridge yet. */
int arrival_net_open(struct arrival *a, struct err *e);
/* The twin has its own, or none is to be. */
void arrival_net_drop(struct arrival *a);
/* Puts them in their bridges, and up, but for those of scripts; once more does no harm. An error
 * names the network. */
int arrival_net_attach(const struct arrival *a, struct err *e);
/* The same for a VM that goes on whatever fails: each that does is logged. */
void arrival_net_attach_all(const struct arrival *a);

/* The twin is not to announce itself before it runs; and is to, right behind `cont`. */
void arrival_net_quiet(const struct arrival *a, struct qmp_batch *b);
void arrival_net_announce(const struct arrival *a, struct qmp_batch *b);

/* For the record, and for what --persistent keeps. */
json_t *arrival_net_list(const struct arrival *a);

#endif

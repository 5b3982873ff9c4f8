/*
 * What a migration is asked for, put to use in the same way by the job that does it and by the
 * check that only asks.
 */
#ifndef ADIT_CONTROL_WISH_MIGRATE_WISH_H
#define ADIT_CONTROL_WISH_MIGRATE_WISH_H

#include <jansson.h>

#include "control/wish/migrate_config.h"

/* Chooses among the disks (vmdesc_select) as c has it. ERR_USAGE, or ERR_REFUSED for what
 * cannot be copied incrementally. */
int migrate_wish_select(const struct migrate_config *c, json_t *disks, struct err *e);

/* Says of the VM's networks in vm what c asks for (vmdesc_net_select). ERR_USAGE. */
int migrate_wish_networks(const struct migrate_config *c, json_t *vm, struct err *e);

/* Puts what the destination has to know of c into a cookie BEGIN or CHECK. */
void migrate_wish_tell(const struct migrate_config *c, json_t *msg);

#endif

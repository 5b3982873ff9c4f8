/* What the source can say of encrypted images, and of the secrets that they are opened with. */
#ifndef ADIT_CONTROL_CHECK_CHECK_CRYPT_H
#define ADIT_CONTROL_CHECK_CHECK_CRYPT_H

#include "control/check/check.h"
#include "control/vm.h"
#include "control/wish.h"

/* Appends the findings called `encryption`. r's secrets have been described (secret_source.h). */
void check_crypt(struct check *c, const struct vmdesc_report *r,
		 const struct migrate_config *config);

#endif

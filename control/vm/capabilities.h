/* Capabilities of QEMU's migration, as query-migrate-capabilities tells them and
 * migrate-set-capabilities takes them: a list of {"capability": NAME, "state": BOOL}
 * (QEMU, qapi/migration.json). */
#ifndef ADIT_CONTROL_VM_CAPABILITIES_H
#define ADIT_CONTROL_VM_CAPABILITIES_H

#include <jansson.h>
#include <stdbool.h>

/* Whether this QEMU has it. */
bool capabilities_know(const json_t *list, const char *name);

/* Whether it has it, and it is on. */
bool capabilities_are_on(const json_t *list, const char *name);

/* Appends name to list. */
void capabilities_add(json_t *list, const char *name, bool on);

#endif

/* The table of phases: phase.h. */
#include "control/source/phase.h"

#include <string.h>

#include "control/source/migrate.h"

const struct phase *const migrate_phases[MIGRATE_STATES] = {
    [MIGRATE_BEGIN] = &phase_begin,
    [MIGRATE_PREPARE] = &phase_prepare,
    [MIGRATE_DISKS] = &phase_disks,
    [MIGRATE_RAM] = &phase_ram,
    [MIGRATE_SWITCHOVER] = &phase_switchover,
    [MIGRATE_DEVICE] = &phase_device,
    [MIGRATE_FINISH] = &phase_finish,
    [MIGRATE_ASK] = &phase_ask,
    [MIGRATE_PAGING] = &phase_paging,
    [MIGRATE_CONFIRM] = &phase_confirm,
    [MIGRATE_END] = &phase_end,
    [MIGRATE_UNDO] = &phase_undo,
    [MIGRATE_OVER] = &phase_over,
};

const char *migrate_phase_text(const char *name)
{
	for (unsigned s = 0; s < MIGRATE_STATES; s++)
		if (strcmp(migrate_phases[s]->name, name) == 0)
			return migrate_phases[s]->text;
	return NULL;
}

/* The table of phases: phase.h. */
#include "control/source/phase.h"

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

/* The table of phases: arrival_phase.h. */
#include "control/destination/arrival_phase.h"

const struct arrival_phase *const arrival_phases[ARRIVAL_STATES] = {
    [ARRIVAL_WAITING] = &arrival_phase_waiting, [ARRIVAL_PREPARING] = &arrival_phase_preparing,
    [ARRIVAL_READY] = &arrival_phase_ready,	[ARRIVAL_CLOSING] = &arrival_phase_closing,
    [ARRIVAL_CLOSED] = &arrival_phase_closed,	[ARRIVAL_FINISHING] = &arrival_phase_finishing,
    [ARRIVAL_DECIDED] = &arrival_phase_decided, [ARRIVAL_ASKED] = &arrival_phase_asked,
    [ARRIVAL_RUNS] = &arrival_phase_runs,	[ARRIVAL_CONFIRMED] = &arrival_phase_confirmed,
    [ARRIVAL_OVER] = &arrival_phase_over,
};

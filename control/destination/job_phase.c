/* The table of phases: job_phase.h. */
#include "control/destination/job_phase.h"

const struct job_phase *const job_phases[JOB_STATES] = {
    [JOB_WAITING] = &job_phase_waiting, [JOB_PREPARING] = &job_phase_preparing,
    [JOB_READY] = &job_phase_ready,	[JOB_CLOSING] = &job_phase_closing,
    [JOB_CLOSED] = &job_phase_closed,	[JOB_FINISHING] = &job_phase_finishing,
    [JOB_DECIDED] = &job_phase_decided, [JOB_ASKED] = &job_phase_asked,
    [JOB_RUNS] = &job_phase_runs,	[JOB_CONFIRMED] = &job_phase_confirmed,
    [JOB_OVER] = &job_phase_over,
};

/* What the files of the probe share; nobody else includes it. */
#ifndef ADIT_CONTROL_CHECK_CHECK_PROBE_I_H
#define ADIT_CONTROL_CHECK_CHECK_PROBE_I_H

#include "control/check/check_probe.h"

/* In the order in which they are asked. Those from FIRST_OF_WAITING on make sense with a
 * machine only. */
enum question {
	VERSION,
	TARGET,
	KVM,
	MACHINES,
	CPUS,
	CAPABILITIES,
	SCHEMA,
	FIRST_OF_WAITING,
	MACHINE = FIRST_OF_WAITING,
	MEMORY,
	MEMORY_DEVICES,
	CPU_LIST,
	CPU,
	BLOCK,
	NODES,
	GRAPH,
	NAME,
	QUESTIONS,
};

struct check_probe_question {
	const char *command, *path, *property;
};
extern const struct check_probe_question check_probe_questions[QUESTIONS];

/* Puts the answer v to q into out. */
void check_probe_put(json_t *out, enum question q, json_t *v);

#endif

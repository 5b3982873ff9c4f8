/* The CPU of a VM, and what runs it. */
#ifndef ADIT_CONTROL_VM_VMDESC_CPU_H
#define ADIT_CONTROL_VM_VMDESC_CPU_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Sets vm's accel, cpu, cpu_lacks and cpu_flags from the answers to query-kvm, to
 * `qom-get` of the first CPU's type, and to query-cpu-definitions; each may be NULL. */
void vmdesc_read_cpu(json_t *vm, const json_t *kvm, const json_t *type, const json_t *models);

/* Whether the model is whatever the host, or QEMU, can do. */
bool vmdesc_cpu_is_host(const char *model);

/* This host's CPU flags, words with a space between; buf of size bytes. Returns buf, ""
 * when they are not known. */
char *vmdesc_cpu_flags(char *buf, size_t size);

#endif

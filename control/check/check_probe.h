/*
 * What a QEMU on the destination can do, asked of itself: of a binary that would be launched
 * (in a short run without a machine, which opens nothing), or of the one that waits. The
 * answers are an object:
 *
 *   qemu          "7.2.22"
 *   target        query-target
 *   kvm           whether KVM is used (a binary: whether it can be)
 *   machines      {"pc-i440fx-7.2": most CPUs, ...}, aliases too
 *   cpus          {"qemu64": [features that it lacks here], ...}
 *   capabilities  query-migrate-capabilities
 *   compression   ["none", "zlib", ...]: what multifd can be compressed with
 *   spice         whether it has SPICE (of a binary, where that was asked)
 *   types         what it knows of the types that it was asked for (check_types.h)
 *
 * and of one that waits also
 *
 *   status        "inmigrate"
 *   pid           its process
 *   cpu           its first CPU's type
 *   machine, memory, cpu_list, block, nodes, name    as struct twin_answers has them
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_PROBE_H
#define ADIT_CONTROL_CHECK_CHECK_PROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct event_base;
struct check_probe;
struct user;

/* The end, once, never from within the start: answers (borrowed), or NULL and why. The
 * probe is to be freed, also within it. */
typedef void check_probe_done(void *ctx, const json_t *answers, const struct err *why);

/* Runs binary as user (not given: as our own; both borrowed), with KVM if kvm; once more where it
 * is to say whether it has SPICE, and for types, as check_types_of makes them (NULL: none; taken).
 * cache: an object of the caller's (NULL at first), where answers are kept for as long as the
 * binary stays the same, but for what it has not: that may be in a module. NULL with *e. */
struct check_probe *check_probe_binary(struct event_base *base, const char *binary,
				       const struct user *user, bool kvm, bool spice, json_t *types,
				       json_t **cache, check_probe_done *fn, void *ctx,
				       struct err *e);

/* Asks the QEMU behind the monitor at path; questions only. One that does not wait for a
 * VM (status) is asked nothing else. */
struct check_probe *check_probe_monitor(struct event_base *base, const char *path,
					check_probe_done *fn, void *ctx, struct err *e);

void check_probe_free(struct check_probe *p);

/* The answers in what a QEMU wrote to its monitor (JSON objects, a line each): for tests and
 * fuzzers. Owned by the caller; NULL with *e. */
json_t *check_probe_read(const char *text, size_t len, struct err *e);

#endif

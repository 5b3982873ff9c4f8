/*
 * QEMU's secrets on the source: which there are, and what is in them. What is in them is read only
 * when it is about to be handed over; a description and a check hold names alone.
 */
#ifndef ADIT_CONTROL_VM_SECRET_SOURCE_H
#define ADIT_CONTROL_VM_SECRET_SOURCE_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"

struct qmp;

/* Takes the secrets' definitions out of argv, an array of words: "secret,id=ID" stays of each.
 * Appends {"id", "type"} to secrets, which names the objects of type `secret` and its like. */
void secret_scrub(json_t *argv, json_t *secrets);

/* Completes secrets, an array as above, by what QEMU says: `format`, `keyid`, `iv`, and `file`
 * where one is read from a file; adds those that images in disks were opened with and those that
 * others are encrypted with. One that cannot be read has `problem`, a sentence's end. fn comes
 * within the call when there are none; not after qmp_forget. All is borrowed until then. */
typedef void secret_on_described(void *ctx);
void secret_describe(struct qmp *q, json_t *secrets, const json_t *disks, secret_on_described *fn,
		     void *ctx);

/* None of them is handed over over that session when it is not encrypted: each gets a `problem`. */
void secret_keep_from(json_t *secrets, const char *session_peer);

/* Reads what is in each: fn gets the `secrets` of BEGIN (docs/cookies.md), its own, or NULL and e
 * when QEMU has gone. One that cannot be read has `problem` in it. */
typedef void secret_on_fetched(void *ctx, json_t *out, const struct err *e);
void secret_fetch(struct qmp *q, const json_t *secrets, secret_on_fetched *fn, void *ctx);

/* The same without what is in them, for CHECK; owned by the caller. */
json_t *secret_names(const json_t *secrets);

#endif

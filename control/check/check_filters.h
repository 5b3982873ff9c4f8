/*
 * Filters of the source on the VM's taps: rules of nftables (ebtables' and libvirt's too, which are
 * rules of nftables today) that name a tap hold for that tap alone, and the one that the VM gets at
 * the destination has another name. What the legacy ebtables have is not seen.
 */
#ifndef ADIT_CONTROL_CHECK_CHECK_FILTERS_H
#define ADIT_CONTROL_CHECK_CHECK_FILTERS_H

#include <jansson.h>
#include <stddef.h>

#include "control/check/check.h"

struct check_filters;
struct event_base;

/* The rules have been read, or cannot be. Once, from the loop; not after check_filters_free. */
typedef void check_filters_done(void *ctx, struct check_filters *f);

/* Reads this host's rules for the networks of vm (control/vm/vmdesc.h), which is borrowed until it
 * is freed. NULL where there is nothing to be read: no tap in a bridge, no nft. */
struct check_filters *check_filters_start(struct event_base *base, const json_t *vm,
					  check_filters_done *fn, void *ctx);

/* Appends to c what was found. Check: networks. */
void check_filters_put(const struct check_filters *f, struct check *c);

/* NULL is fine. */
void check_filters_free(struct check_filters *f);

/* The first table among rules, len bytes as nft list prints them, that names interface, itself or
 * by a name that ends in "*": into table, "FAMILY NAME". False where none does. */
bool check_filters_find(const char *rules, size_t len, const char *interface, char *table,
			size_t size);

#endif

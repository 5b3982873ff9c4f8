/*
 * The block graph of a QEMU, as query-named-block-nodes and x-debug-query-block-graph tell it:
 * which node has an image's format, below the filters that stand before it (I/O limits,
 * copy-on-read), and what is below that one.
 */
#ifndef ADIT_CONTROL_VM_VMDESC_NODES_H
#define ADIT_CONTROL_VM_VMDESC_NODES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Borrowed answers. graph may be NULL (QEMU's word for it begins with x-): then nodes are told
 * by their files. */
struct vmdesc_nodes {
	const json_t *list;  /* query-named-block-nodes */
	const json_t *graph; /* x-debug-query-block-graph */
};

/* By the name of a block driver. */
bool vmdesc_nodes_is_filter(const char *driver);
bool vmdesc_nodes_is_protocol(const char *driver);

/* The node of that name; NULL. */
const json_t *vmdesc_nodes_find(const struct vmdesc_nodes *n, const char *name);

/* node's child ("file", "backing", "data-file"); NULL when there is none, or it is not known. */
const json_t *vmdesc_nodes_child(const struct vmdesc_nodes *n, const json_t *node,
				 const char *child);

/* A node that stands on the node called name, for which QEMU refuses to copy from that ("Need a
 * root block node"); NULL when there is none, or it is not known. What a block job has put between
 * it and its device does not count: that goes with the block job. */
const json_t *vmdesc_nodes_above(const struct vmdesc_nodes *n, const char *name);
/* Whether node is a block job's own, and nothing is above it: QEMU has kept it beyond that. */
bool vmdesc_nodes_is_lost(const struct vmdesc_nodes *n, const json_t *node);

/* The node below node's filters, node itself where it is none. file is what the image's file is
 * called there. */
const json_t *vmdesc_nodes_image(const struct vmdesc_nodes *n, const json_t *node,
				 const char *file);

/* QEMU names a node that no plain name can stand for by its options, "json:{...}": the
 * name of the file below it, or name itself. format, of size bytes as file, is the driver above
 * that file and below filters, "" when not known. */
void vmdesc_nodes_resolve(const char *name, char *file, char *format, size_t size);

#endif

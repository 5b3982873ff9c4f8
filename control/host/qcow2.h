/*
 * The header of a qcow2 image, as QEMU's docs/interop/qcow2.txt has it: only what adit asks of one,
 * and nothing of it is believed. Read without running anything.
 */
#ifndef ADIT_CONTROL_HOST_QCOW2_H
#define ADIT_CONTROL_HOST_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QCOW2_LUKS = 2 }; /* an encryption method */

struct qcow2 {
	size_t len; /* so much of the header is there; what is not is 0 */
	uint32_t version, backing_len, encryption, header_len;
	uint64_t backing_at; /* 0: it has none */
	uint64_t size;
	bool data_file; /* version 3: its data is in another file */
};

/* Whether what begins so (4 bytes) is qcow2. */
bool qcow2_begins(const void *head);
/* Reads fd's header. false: it is none of qcow2, or not even 16 bytes are there. */
bool qcow2_read(int fd, struct qcow2 *h);
/* The len bytes at p, of which the first weighs most. */
uint64_t qcow2_number(const uint8_t *p, unsigned len);

#endif

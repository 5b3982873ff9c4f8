/* See qcow2.h. */
#include "control/host/qcow2.h"

#include <string.h>
#include <unistd.h>

uint64_t qcow2_number(const uint8_t *p, unsigned len)
{
	uint64_t v = 0;

	while (len--)
		v = v << 8 | *p++;
	return v;
}

bool qcow2_begins(const void *head)
{
	return memcmp(head, "QFI\xfb", 4) == 0;
}

bool qcow2_read(int fd, struct qcow2 *h)
{
	uint8_t head[104] = {0};
	ssize_t n = pread(fd, head, sizeof(head), 0);

	if (n < 16 || !qcow2_begins(head))
		return false;
	*h = (struct qcow2){.len = (size_t)n,
			    .version = (uint32_t)qcow2_number(head + 4, 4),
			    .backing_at = qcow2_number(head + 8, 8),
			    .backing_len = (uint32_t)qcow2_number(head + 16, 4),
			    .size = qcow2_number(head + 24, 8),
			    .encryption = (uint32_t)qcow2_number(head + 32, 4),
			    .header_len = (uint32_t)qcow2_number(head + 100, 4)};
	h->data_file = h->version >= 3 && (head[79] & 4);
	return true;
}

/* virtio-blk over legacy virtio-pci (a transitional device will do), one request at a time, polled.
 * Names follow the order of the PCI slots: vd0, vd1 and so on. Read-only disks are left alone.
 *
 * A legacy driver takes the queue as long as the device has it, 256 entries or 1024 with QEMU, and
 * where the parts of its ring lie follows from that. */
#include "guest.h"

#define MAX_RING 1024u /* QEMU's own limit */
#define SPINS 20000u
#define MAX_SECTIONS 128u /* 8 MiB */

enum {
	REG_FEATURES = 0,
	REG_DRIVER_FEATURES = 4,
	REG_QUEUE_PAGE = 8,
	REG_QUEUE_SIZE = 12,
	REG_QUEUE_SELECT = 14,
	REG_NOTIFY = 16,
	REG_STATUS = 18,
	REG_CAPACITY = 20
};
enum { FEATURE_READ_ONLY = 1u << 5, FEATURE_FLUSH = 1u << 9 };
enum { DESC_NEXT = 1, DESC_WRITE = 2 };
enum { REQUEST_IN = 0, REQUEST_OUT = 1, REQUEST_FLUSH = 4 };

struct desc {
	uint32_t addr, addr_high, len;
	uint16_t flags, next;
};
struct avail {
	uint16_t flags, idx, ring[];
};
struct used {
	uint16_t flags, idx;
	struct {
		uint32_t id, len;
	} ring[];
};
struct header {
	uint32_t type, ioprio, sector, sector_high;
};

#define PAGES_UP(n) (((n) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES)
/* the descriptors and avail (which ends with an event's number), then used on a page of its own */
#define USED_AT(n) PAGES_UP(sizeof(struct desc) * (n) + 6u + 2u * (n))
#define RING_BYTES PAGES_UP(USED_AT(MAX_RING) + 6u + 8u * MAX_RING)

static struct ring {
	uint32_t entries;
	struct desc *desc;
	volatile struct avail *avail;
	volatile struct used *used;
} rings[MAX_DISKS];
static char own[MAX_DISKS][RING_BYTES] __attribute__((aligned(4096)));
static char (*memory)[RING_BYTES] = own;
static struct header header;
static volatile uint8_t result;
static uint32_t ring_count, name_count;

static int request(struct disk *d, uint32_t type, uint32_t lba, const void *buf)
{
	struct ring *r = &rings[d->unit];
	uint32_t sections = type == REQUEST_OUT && d->sections ? d->sections : 1;
	uint16_t last = (uint16_t)(buf ? sections + 1 : 1);
	header = (struct header){type, 0, lba, 0};
	result = 0xff;
	r->desc[0] = (struct desc){(uint32_t)&header, 0, sizeof header, DESC_NEXT, 1};
	for (uint32_t i = 1; i < last; i++)
		r->desc[i] =
		    (struct desc){(uint32_t)buf, 0,
				  type == REQUEST_OUT && d->sections ? SECTION_BYTES : CHUNK_BYTES,
				  (uint16_t)(DESC_NEXT | (type == REQUEST_IN ? DESC_WRITE : 0)),
				  (uint16_t)(i + 1)};
	r->desc[last] = (struct desc){(uint32_t)&result, 0, 1, DESC_WRITE, 0};
	r->avail->flags = 1; /* no interrupts */
	r->avail->ring[r->avail->idx % r->entries] = 0;
	__sync_synchronize();
	r->avail->idx++;
	__sync_synchronize();
	outw(d->port + REG_NOTIFY, 0);
	for (uint32_t n = 0; r->used->idx != r->avail->idx; n++)
		if (n > SPINS) {
			service();
			cpu_idle();
		}
	__sync_synchronize();
	return result ? -1 : 0;
}

static int virtio_read(struct disk *d, uint32_t lba, void *buf)
{
	return request(d, REQUEST_IN, lba, buf);
}
static int virtio_write(struct disk *d, uint32_t lba, const void *buf)
{
	return request(d, REQUEST_OUT, lba, buf);
}
static int virtio_flush(struct disk *d)
{
	return d->can_flush ? request(d, REQUEST_FLUSH, 0, 0) : 0;
}

static uint32_t pci_read(uint32_t slot, uint32_t reg)
{
	outl(0xcf8, 0x80000000u | slot << 11 | reg);
	return inl(0xcfc);
}

static void pci_write(uint32_t slot, uint32_t reg, uint32_t v)
{
	outl(0xcf8, 0x80000000u | slot << 11 | reg);
	outl(0xcfc, v);
}

static void ring_init(struct ring *r, char *at, uint32_t entries)
{
	r->entries = entries;
	r->desc = (struct desc *)(void *)at;
	r->avail = (struct avail *)(void *)(r->desc + entries);
	r->used = (struct used *)(void *)(at + USED_AT(entries));
}

static void probe_slot(uint32_t slot)
{
	char name[] = "vd0";
	name[2] = (char)('0' + name_count++);
	pci_write(slot, 4, pci_read(slot, 4) | 5); /* I/O and bus mastering */
	uint16_t base = (uint16_t)(pci_read(slot, 0x10) & ~3u);
	outb(base + REG_STATUS, 0);
	outb(base + REG_STATUS, 3);
	uint32_t features = inl(base + REG_FEATURES);
	outw(base + REG_QUEUE_SELECT, 0);
	uint32_t entries = inw(base + REG_QUEUE_SIZE);
	if ((features & FEATURE_READ_ONLY) || entries < 4 || entries > MAX_RING ||
	    ring_count == MAX_DISKS)
		return;
	uint32_t sectors = inl(base + REG_CAPACITY + 4) ? UINT32_MAX : inl(base + REG_CAPACITY);
	struct disk *d = disk_add(name, sectors);
	if (!d)
		return;
	outl(base + REG_DRIVER_FEATURES, features & FEATURE_FLUSH);
	d->can_flush = (features & FEATURE_FLUSH) != 0;
	d->unit = (uint8_t)ring_count++;
	d->port = base;
	d->most_sections = entries - 2 < MAX_SECTIONS ? entries - 2 : MAX_SECTIONS;
	d->read = virtio_read;
	d->write = virtio_write;
	d->flush = virtio_flush;
	ring_init(&rings[d->unit], memory[d->unit], entries);
	outl(base + REG_QUEUE_PAGE, (uint32_t)memory[d->unit] / PAGE_BYTES);
	outb(base + REG_STATUS, 7);
}

void virtio_rings_at(uint32_t mib)
{
	memory = (char(*)[RING_BYTES])(mib << 20);
}

void virtio_probe(void)
{
	for (uint32_t slot = 0; slot < 32; slot++)
		if (pci_read(slot, 0) == 0x10011af4u)
			probe_slot(slot);
}

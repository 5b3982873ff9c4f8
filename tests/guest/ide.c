/* IDE disks by programmed I/O on the two legacy channels. No DMA and no interrupts: what a command
 * left half done is in the device's registers, which a migration carries. */
#include "guest.h"

#define BSY 0x80
#define DRQ 0x08
#define ERR 0x01
#define SPINS 2000u

static uint8_t wait_while(struct disk *d, uint8_t busy_bits)
{
	uint8_t st;
	for (uint32_t n = 0; (st = inb(d->port + 7)) & busy_bits; n++)
		if (n > SPINS) {
			service();
			cpu_idle();
		}
	return st;
}

static void command(struct disk *d, uint8_t op, uint32_t lba, uint8_t sectors)
{
	outb(d->port + 6, (uint8_t)(0xe0 | d->unit << 4 | (lba >> 24 & 15)));
	wait_while(d, BSY);
	outb(d->control, 2); /* no interrupts */
	outb(d->port + 2, sectors);
	outb(d->port + 3, (uint8_t)lba);
	outb(d->port + 4, (uint8_t)(lba >> 8));
	outb(d->port + 5, (uint8_t)(lba >> 16));
	outb(d->port + 7, op);
}

static int data_wanted(struct disk *d)
{
	uint8_t st = wait_while(d, BSY);
	return !(st & ERR) && (st & DRQ);
}

static int ide_read(struct disk *d, uint32_t lba, void *buf)
{
	command(d, 0x20, lba, CHUNK_SECTORS);
	for (uint32_t s = 0; s < CHUNK_SECTORS; s++) {
		if (!data_wanted(d))
			return -1;
		void *p = (char *)buf + s * SECTOR_BYTES;
		uint32_t n = SECTOR_BYTES / 4;
		__asm__ volatile("rep insl" : "+D"(p), "+c"(n) : "d"(d->port) : "memory");
	}
	return 0;
}

static int ide_write(struct disk *d, uint32_t lba, const void *buf)
{
	command(d, 0x30, lba, CHUNK_SECTORS);
	for (uint32_t s = 0; s < CHUNK_SECTORS; s++) {
		if (!data_wanted(d))
			return -1;
		const void *p = (const char *)buf + s * SECTOR_BYTES;
		uint32_t n = SECTOR_BYTES / 4;
		__asm__ volatile("rep outsl" : "+S"(p), "+c"(n) : "d"(d->port) : "memory");
	}
	return wait_while(d, BSY) & ERR ? -1 : 0;
}

static int ide_flush(struct disk *d)
{
	command(d, 0xe7, 0, 0);
	return wait_while(d, BSY) & ERR ? -1 : 0;
}

static void probe_one(const char *name, uint16_t port, uint16_t control, uint8_t unit)
{
	struct disk probe = {.port = port, .control = control, .unit = unit};
	static uint16_t id[256];
	outb(port + 6, (uint8_t)(0xe0 | unit << 4));
	if (inb(port + 7) == 0xff || inb(port + 7) == 0)
		return; /* nothing there */
	command(&probe, 0xec, 0, 0);
	if (!data_wanted(&probe))
		return; /* not a hard disk: a CD drive refuses IDENTIFY DEVICE */
	for (int i = 0; i < 256; i++)
		id[i] = inw(port);
	struct disk *d = disk_add(name, id[60] | (uint32_t)id[61] << 16);
	if (!d)
		return;
	d->port = port;
	d->control = control;
	d->unit = unit;
	d->read = ide_read;
	d->write = ide_write;
	d->flush = ide_flush;
}

void ide_probe(void)
{
	probe_one("ide0m", 0x1f0, 0x3f6, 0);
	probe_one("ide0s", 0x1f0, 0x3f6, 1);
	probe_one("ide1m", 0x170, 0x376, 0);
	probe_one("ide1s", 0x170, 0x376, 1);
}

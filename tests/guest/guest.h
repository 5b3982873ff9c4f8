/* The bare-metal guest: what its parts share. See main.c for what it does. */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

#define RAM_START 0x200000u
#define PAGE_BYTES 4096u
#define SECTOR_BYTES 512u
#define CHUNK_SECTORS 8u
#define CHUNK_BYTES (CHUNK_SECTORS * SECTOR_BYTES)
#define SECTION_BYTES 65536u /* of a big write (bulk=): the same chunk, again and again */
#define SECTION_SECTORS (SECTION_BYTES / SECTOR_BYTES)
#define MAX_DISKS 8
#define HZ 100u

/* ports */
static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint16_t inw(uint16_t port)
{
	uint16_t v;
	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

void cpu_init(void);
uint32_t cpu_ticks(void); /* timer ticks since the start, HZ a second */
void cpu_idle(void);	  /* sleep until the next interrupt */
void cpu_suspend(void);	  /* to RAM (S3), which nothing but the host wakes it from */
void cpu_flush_tlb(void); /* before memory that a migration watches is written: see cpu.c */

/* serial.c; text.c: sentences built in a buffer, and options */
struct text {
	char s[240];
	uint32_t len;
};
void serial_init(void);
void serial_puts(const char *s);
int serial_getc(void); /* a character, or -1 */
void text_str(struct text *t, const char *s);
void text_num(struct text *t, uint32_t v);
void text_hex(struct text *t, uint32_t v);
const char *option_find(const char *cmdline, const char *key); /* what follows " key=", or NULL */
uint32_t option_num(const char *cmdline, const char *key,
		    uint32_t fallback); /* "max" is UINT32_MAX */
int option_lists(const char *value,
		 const char *word); /* is WORD in a comma list, or is it "all"? */

/* main.c: the first thing found wrong, kept for ever */
void report_bad(const struct text *t);
void guest_run(const char *options, void *ram, uint32_t room_mib); /* does not come back */
void service(void); /* heartbeat and serial input; called wherever the guest may have to wait */

/* tpm.c: each says "TPM sealed 0", "TPM unsealed 0" when it is well */
void tpm_seal(void);
void tpm_unseal(void);

/* ram.c */
void ram_init(void *memory, uint32_t pages);
void ram_step(void);	   /* check the next page, then write its next generation */
uint32_t ram_verify(void); /* checks every page written so far; the number of pages checked */
uint32_t ram_pages(void);
uint32_t ram_writes(void);
uint32_t ram_passes(void);

/* disk.c over ide.c and virtio.c */
struct disk {
	char name[8];
	uint32_t index, sectors; /* its size, as far as 32 bits of sectors go */
	uint32_t chunks, stride; /* chunk i lies at sector i * stride */
	uint32_t writes;	 /* chunks written in all */
	uint32_t most_sections;	 /* that its driver can write at once; 0: a chunk */
	uint32_t sections;	 /* of a write; 0: it is one chunk */
	uint32_t budget;
	int (*read)(struct disk *d, uint32_t lba, void *buf); /* one chunk; 0 or -1 */
	int (*write)(struct disk *d, uint32_t lba, const void *buf); /* or all its sections */
	int (*flush)(struct disk *d);
	uint16_t port, control; /* IDE: register blocks; virtio: I/O base */
	uint8_t unit;		/* IDE: 0 master, 1 slave; virtio: which ring */
	uint8_t can_flush;
};
extern struct disk disks[MAX_DISKS];
extern uint32_t disk_count;
struct disk *disk_add(const char *name,
		      uint32_t sectors); /* NULL: not wanted by the command line */
void disk_init(const char *wanted, uint32_t sectors, int spread, uint32_t bulk_kib);
uint32_t disk_length(const struct disk *d); /* of a write, sectors */
void disk_step(struct disk *d);
uint32_t disk_verify(struct disk *d);
uint32_t disk_written_sectors(const struct disk *d);
void ide_probe(void);
void virtio_probe(void);
void virtio_rings_at(uint32_t mib); /* before that: not among the guest's own data */

#endif

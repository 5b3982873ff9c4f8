/* The disks' work, whatever they hang on: chunks of eight numbered sectors, written in turn over
 * the disk, each read and checked before it is written anew. As with RAM, one count says what every
 * sector must hold. A big write (bulk=) is many sections with the same chunk all over; of each
 * section the first chunk is looked at. */
#include "guest.h"

#define WORDS (SECTOR_BYTES / 4)
#define MAGIC 0x54494441u /* "ADIT" */

struct disk disks[MAX_DISKS];
uint32_t disk_count;

static const char *wanted_disks;
static uint32_t buffer[SECTION_BYTES / 4] __attribute__((aligned(4096)));

struct disk *disk_add(const char *name, uint32_t sectors)
{
	if (disk_count == MAX_DISKS || sectors < CHUNK_SECTORS || !option_lists(wanted_disks, name))
		return 0;
	struct disk *d = &disks[disk_count];
	d->index = disk_count++;
	d->sectors = sectors;
	for (int i = 0; i < 7 && name[i]; i++)
		d->name[i] = name[i];
	return d;
}

uint32_t disk_length(const struct disk *d)
{
	return d->sections ? d->sections * SECTION_SECTORS : CHUNK_SECTORS;
}

void disk_init(const char *wanted, uint32_t sectors, int spread, uint32_t bulk_kib)
{
	wanted_disks = wanted;
	ide_probe();
	virtio_probe();
	for (uint32_t i = 0; i < disk_count; i++) {
		struct disk *d = &disks[i];
		uint32_t most = d->most_sections, want = bulk_kib / (SECTION_BYTES / 1024);
		d->sections = want < most ? want : most;
		uint32_t length = disk_length(d), room = d->sectors / length;
		d->chunks = sectors / length;
		if (d->chunks > room)
			d->chunks = room;
		if (!d->chunks)
			d->chunks = 1;
		d->stride = spread ? room / d->chunks * length : length;
	}
}

static uint32_t word_at(const struct disk *d, uint32_t lba, uint32_t generation, uint32_t i)
{
	switch (i) {
	case 0:
		return MAGIC;
	case 1:
		return d->index;
	case 2:
		return lba;
	case 3:
		return generation;
	default:
		return ((lba * 0x9e3779b1u) ^ (generation * 0x85ebca6bu) ^ d->index) +
		       i * 0xc2b2ae35u;
	}
}

static void found_bad(const struct disk *d, uint32_t lba, const char *what, uint32_t want,
		      uint32_t got)
{
	struct text t = {.len = 0};
	text_str(&t, "BAD disk=");
	text_num(&t, d->index);
	text_str(&t, " lba=");
	text_num(&t, lba);
	text_str(&t, " ");
	text_str(&t, what);
	text_str(&t, " want=");
	text_hex(&t, want);
	text_str(&t, " got=");
	text_hex(&t, got);
	report_bad(&t);
}

static void check_section(struct disk *d, uint32_t lba, uint32_t at, uint32_t generation)
{
	static const char *const word_names[] = {"magic", "disk", "number", "generation"};
	cpu_flush_tlb();
	if (d->read(d, lba + at, buffer))
		return found_bad(d, lba + at, "read error", 0, 0);
	for (uint32_t s = 0; s < CHUNK_SECTORS; s++)
		for (uint32_t i = 0; i < WORDS; i++) {
			uint32_t want = word_at(d, lba + s, generation, i),
				 got = buffer[s * WORDS + i];
			if (got != want)
				return found_bad(d, lba + at + s, i < 4 ? word_names[i] : "data",
						 want, got);
		}
}

static void check(struct disk *d, uint32_t chunk, uint32_t generation)
{
	for (uint32_t at = 0; at < disk_length(d); at += SECTION_SECTORS)
		check_section(d, chunk * d->stride, at, generation);
}

void disk_step(struct disk *d)
{
	uint32_t chunk = d->writes % d->chunks, pass = d->writes / d->chunks,
		 lba = chunk * d->stride;
	if (pass) /* the rest of a big one at the end: it is to be fast */
		check_section(d, chunk * d->stride, 0, pass);
	cpu_flush_tlb();
	for (uint32_t s = 0; s < CHUNK_SECTORS; s++)
		for (uint32_t i = 0; i < WORDS; i++)
			buffer[s * WORDS + i] = word_at(d, lba + s, pass + 1, i);
	for (uint32_t i = CHUNK_BYTES / 4; d->sections && i < SECTION_BYTES / 4; i++)
		buffer[i] = buffer[i - CHUNK_BYTES / 4];
	if (d->write(d, lba, buffer))
		found_bad(d, lba, "write error", 0, 0);
	d->writes++;
}

uint32_t disk_verify(struct disk *d)
{
	uint32_t pass = d->writes / d->chunks, next = d->writes % d->chunks,
		 n = pass ? d->chunks : next;
	for (uint32_t i = 0; i < n; i++) {
		check(d, i, i < next ? pass + 1 : pass);
		service();
	}
	return n * disk_length(d);
}

uint32_t disk_written_sectors(const struct disk *d)
{
	return d->writes * disk_length(d);
}

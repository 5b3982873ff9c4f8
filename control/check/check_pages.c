/* See check_pages.h. */
#include "control/check/check_pages.h"

#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/size.h"

/* A number in a file of the kernel's; -1: there is none. */
static long long number_in(uint64_t page, const char *name)
{
	char path[160];
	long long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s",
		 page >> 10, name);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fscanf(f, "%lld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

static uint64_t default_page(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Hugepagesize: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

static void check_huge(struct check *c, uint64_t page, uint64_t bytes)
{
	const long long have = number_in(page, "free_hugepages");
	const long long promised = number_in(page, "resv_hugepages");
	const long long more = number_in(page, "nr_overcommit_hugepages");
	const long long left = have - (promised > 0 ? promised : 0);
	const uint64_t need = page ? (bytes + page - 1) / page : 0;
	char text[24];

	if (page == 0 || have < 0)
		check_add(c, CHECK_ERROR, "memory", "let its RAM be in other memory",
			  "the VM's RAM is in huge pages of %s, which the destination's kernel has "
			  "not",
			  size_format(page, text, sizeof(text)));
	else if (more <= 0 && (uint64_t)(left > 0 ? left : 0) < need)
		check_add(c, CHECK_ERROR, "memory",
			  "set more of them aside there (sysctl -w vm.nr_hugepages=N)",
			  "the VM's RAM is in %" PRIu64
			  " huge pages of %s, and the destination has %lld "
			  "free",
			  need, size_format(page, text, sizeof(text)), left > 0 ? left : 0);
	else
		check_add(c, CHECK_OK, "memory", NULL, "%" PRIu64 " huge pages of %s are there",
			  need, size_format(page, text, sizeof(text)));
}

static void check_folder(struct check *c, const char *dir, uint64_t bytes)
{
	char want[24], have[24];
	struct statfs fs;

	if (statfs(dir, &fs) < 0) {
		check_add(c, CHECK_ERROR, "memory", NULL, "%s cannot be looked at there", dir);
		return;
	}
	if (fs.f_type == HUGETLBFS_MAGIC) {
		check_huge(c, (uint64_t)fs.f_bsize, bytes);
		return;
	}
	size_format(bytes, want, sizeof(want));
	size_format((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize, have, sizeof(have));
	if ((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < bytes)
		check_add(c, CHECK_ERROR, "memory", "make room there",
			  "the VM's RAM is in files, and %s has %s free of %s that are needed", dir,
			  have, want);
	else
		check_add(c, CHECK_OK, "memory", NULL, "%s has room for %s of RAM", dir, want);
}

/* Those of one folder, or of one size of pages, together. */
void check_pages(struct check *c, const struct twin *t)
{
	for (size_t i = 0; i < t->ram_count; i++) {
		const struct twin_ram *r = &t->ram[i];
		uint64_t bytes = 0;
		bool first = true;

		for (size_t k = 0; k < t->ram_count; k++) {
			if (t->ram[k].dir != r->dir || t->ram[k].page != r->page)
				continue;
			first = first && k >= i;
			bytes += t->ram[k].bytes;
		}
		if (!first)
			continue;
		if (r->dir)
			check_folder(c, r->dir, bytes);
		else
			check_huge(c, r->page ? r->page : default_page(), bytes);
	}
}

/* The RAM that is dirtied. Pages are written in turn, so what each must hold follows from one
 * number, how many writes there were: a page that is stale shows as surely as one that is corrupt,
 * with no table that could be stale with it. */
#include "guest.h"

#define WORDS (PAGE_BYTES / 4)

static char *base;
static uint32_t pages, writes, next_page, passes;

static uint32_t *page_at(uint32_t page)
{
	return (uint32_t *)(void *)(base + page * PAGE_BYTES);
}

static uint32_t seed(uint32_t page, uint32_t generation)
{
	return (page * 0x9e3779b1u) ^ (generation * 0x85ebca6bu) ^ 0xad17ad17u;
}

void ram_init(void *memory, uint32_t n)
{
	base = memory;
	pages = n;
}

static void fill(uint32_t page, uint32_t generation)
{
	uint32_t *w = page_at(page), v = seed(page, generation);
	cpu_flush_tlb();
	w[0] = page;
	w[1] = generation;
	for (uint32_t i = 2; i < WORDS; i++, v += 0xc2b2ae35u)
		w[i] = v;
}

static void found_bad(uint32_t page, uint32_t word, uint32_t generation, uint32_t want)
{
	const uint32_t *w = page_at(page);
	struct text t = {.len = 0};
	text_str(&t, "BAD page=");
	text_num(&t, page);
	text_str(&t, " word=");
	text_num(&t, word);
	text_str(&t, " want=");
	text_hex(&t, want);
	text_str(&t, " got=");
	text_hex(&t, w[word]);
	text_str(&t, " generation=");
	text_num(&t, generation);
	text_str(&t, " found=");
	text_num(&t, w[1]);
	report_bad(&t);
}

static void check(uint32_t page, uint32_t generation)
{
	const uint32_t *w = page_at(page);
	uint32_t v = seed(page, generation);
	if (w[0] != page)
		return found_bad(page, 0, generation, page);
	if (w[1] != generation)
		return found_bad(page, 1, generation, generation);
	for (uint32_t i = 2; i < WORDS; i++, v += 0xc2b2ae35u)
		if (w[i] != v)
			return found_bad(page, i, generation, v);
}

void ram_step(void)
{
	if (passes)
		check(next_page, passes);
	fill(next_page, passes + 1);
	writes++;
	if (++next_page == pages) {
		next_page = 0;
		passes++;
	}
}

uint32_t ram_verify(void)
{
	uint32_t n = passes ? pages : next_page;
	for (uint32_t i = 0; i < n; i++) {
		check(i, i < next_page ? passes + 1 : passes);
		if (i % 256 == 0)
			service();
	}
	return n;
}

uint32_t ram_pages(void)
{
	return pages;
}
uint32_t ram_writes(void)
{
	return writes;
}
uint32_t ram_passes(void)
{
	return passes;
}

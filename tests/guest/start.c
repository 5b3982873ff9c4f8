/* Where the loader left off: the bare-metal guest's options and memory, then the work of main.c. */
#include "guest.h"

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
};

void guest_main(uint32_t magic, const struct multiboot_info *mb);
void guest_main(uint32_t magic, const struct multiboot_info *mb)
{
	static char
	    options[512]; /* the loader's copy may lie in the RAM that is about to be dirtied */
	serial_init();
	if (magic != 0x2badb002u) {
		serial_puts("BAD not started by a multiboot loader\n");
		return;
	}
	const char *cmdline = mb->flags & 4 ? (const char *)mb->cmdline : "";
	for (uint32_t i = 0; i < sizeof options - 1 && cmdline[i]; i++)
		options[i] = cmdline[i];
	cpu_init();
	if (option_num(options, "rings", 0))
		virtio_rings_at(option_num(options, "rings", 0));
	guest_run(options, (void *)RAM_START,
		  (0x100000u + mb->mem_upper * 1024u - RAM_START) >> 20);
}

/* gcc may call these of its own accord */
void *memcpy(void *to, const void *from, uint32_t n);
void *memcpy(void *to, const void *from, uint32_t n)
{
	void *d = to;
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
	return to;
}
void *memset(void *to, int c, uint32_t n);
void *memset(void *to, int c, uint32_t n)
{
	void *d = to;
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return to;
}

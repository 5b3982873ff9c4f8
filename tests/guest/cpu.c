/* Interrupts, the clock, and sleeping. Only the timer's interrupt is on: the devices are polled,
 * which leaves nothing of theirs to get lost when the machine is moved. */
#include "guest.h"

struct gate {
	uint16_t low, selector, flags, high;
} __attribute__((packed));
struct frame {
	uint32_t ip, cs, flags;
};

static struct gate idt[48];
static volatile uint32_t ticks;

/* QEMU 7.2 without KVM loses writes in a live migration when a page stays in the emulated TLB over
 * several dirty passes. Turning CR4.PGE over empties that TLB, so a bad page that this guest
 * reports is never that defect. */
void cpu_flush_tlb(void)
{
	uint32_t cr4;
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 ^ 0x80u) : "memory");
}

__attribute__((interrupt)) static void on_timer(struct frame *f)
{
	(void)f;
	cpu_flush_tlb();
	ticks++;
	outb(0x20, 0x20);
}

__attribute__((interrupt)) static void on_exception(struct frame *f)
{
	struct text t = {.len = 0};
	text_str(&t, "BAD exception at ");
	text_hex(&t, f->ip);
	text_str(&t, "\n");
	serial_puts(t.s);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void set_gate(uint32_t vector, uint32_t handler)
{
	idt[vector] = (struct gate){(uint16_t)handler, 0x08, 0x8e00, (uint16_t)(handler >> 16)};
}

void cpu_init(void)
{
	for (uint32_t i = 0; i < 32; i++)
		set_gate(i, (uint32_t)on_exception);
	set_gate(32, (uint32_t)on_timer);
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = {sizeof idt - 1, (uint32_t)idt};
	__asm__ volatile("lidt %0" : : "m"(pointer));
	/* both interrupt controllers to vectors 32 and 40; all but the timer masked */
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 32);
	outb(0xa1, 40);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, 0xfe);
	outb(0xa1, 0xff);
	uint32_t divisor = 1193182u / HZ;
	outb(0x43, 0x34);
	outb(0x40, (uint8_t)divisor);
	outb(0x40, (uint8_t)(divisor >> 8));
	__asm__ volatile("sti");
}

uint32_t cpu_ticks(void)
{
	return ticks;
}

void cpu_idle(void)
{
	__asm__ volatile("sti; hlt");
	cpu_flush_tlb();
}

/* SLP_TYP 1 and SLP_EN in PM1a_CNT, where SeaBIOS has put it. */
void cpu_suspend(void)
{
	outw(0x604, 1u << 10 | 1u << 13);
}

/* A guest that knows whether it is whole.
 *
 * It dirties RAM with pages that carry their number and generation, writes numbered sectors to
 * every disk that it finds, and checks each page and sector before it writes it anew. It speaks on
 * the first serial port:
 *
 *   READY ram=4096 rate=1000 disks=2 disk0=ide0m:131072:4096:32 ...
 *       up; how many disks it works on, and of each its name, its sectors, the chunks that are
 *       written in turn, the distance of two chunks in sectors, and with bulk= the length of one
 *   HB 17 t=212 pass=3 pages=14000 disk0=960 ... ok
 *       a few times a second; a count, ticks of 10 ms, RAM passes, pages and sectors written; then
 *       "ok", or the first bad thing found, which stays there for ever
 *   pass 3 ok
 *       every page was found right in a whole pass
 *   BAD page=7 ... / BAD disk=0 lba=64 ...
 *       once, when it is found
 *
 * and listens there, one character a command:
 *
 *   q  write no more to the disks, flush them:  QUIET disk0=960 ...
 *   s  dirty no more RAM:                       STILL pages=14000
 *   r  go on with both:                         RUNNING
 *   v  check all RAM and all sectors written:   VERIFY ok ram=4096 disks=2 disk0=512 ...
 *                                               or VERIFY BAD ...
 *   t  (bare-metal) seal a secret in the TPM:   TPM sealed 0x00000000
 *   u  unseal it:                               TPM unsealed 0x00000000
 *   z  (bare-metal) suspend to RAM
 *
 * Options of the command line: ram=MiB dirtied (16), rate=pages a second or max (1000), disks=all,
 * none or names such as ide0m,ide1s,vd0 (all), sectors=on each disk (4096), spread=0|1 over the
 * disk or at its beginning (1), diskrate=chunks of eight sectors a second on each disk or max (20),
 * bulk=KiB in place of a chunk, up to 8192 (virtio only),
 * hb=heartbeats a second (8), beat=0|1 an empty line at each tick that has no heartbeat, so that the
 * host can see to 10 ms whether it runs (1). The bare-metal one also has rings=MiB at which the
 * virtio disks' rings lie, above the RAM that is dirtied: what postcopy sends last. */
#include "guest.h"

static struct text first_bad;
static uint32_t heartbeat_ticks, last_heartbeat, heartbeats, announced_passes;
static uint32_t beat, last_beat;
static int disks_quiet, ram_still, verify_asked, quiet_asked;

void report_bad(const struct text *t)
{
	if (first_bad.len)
		return;
	first_bad = *t;
	serial_puts(t->s);
	serial_puts("\n");
}

static void list_disks(struct text *t)
{
	for (uint32_t i = 0; i < disk_count; i++) {
		text_str(t, " disk");
		text_num(t, i);
		text_str(t, "=");
		text_num(t, disk_written_sectors(&disks[i]));
	}
}

static void heartbeat(void)
{
	struct text t = {.len = 0};
	text_str(&t, "HB ");
	text_num(&t, ++heartbeats);
	text_str(&t, " t=");
	text_num(&t, cpu_ticks());
	text_str(&t, " pass=");
	text_num(&t, ram_passes());
	text_str(&t, " pages=");
	text_num(&t, ram_writes());
	list_disks(&t);
	text_str(&t, " ");
	text_str(&t, first_bad.len ? first_bad.s : "ok");
	text_str(&t, "\n");
	serial_puts(t.s);
	if (ram_passes() > announced_passes + 1 && !first_bad.len) {
		/* pass N is known to be right when pass N + 1 has read it all */
		announced_passes = ram_passes() - 1;
		t.len = 0;
		text_str(&t, "pass ");
		text_num(&t, announced_passes);
		text_str(&t, " ok\n");
		serial_puts(t.s);
	}
}

void service(void)
{
	int c;
	while ((c = serial_getc()) >= 0) {
		switch (c) {
		case 'q':
			quiet_asked = 1;
			break;
		case 's':
			ram_still = 1;
			struct text t = {.len = 0};
			text_str(&t, "STILL pages=");
			text_num(&t, ram_writes());
			text_str(&t, "\n");
			serial_puts(t.s);
			break;
		case 'r':
			disks_quiet = ram_still = 0;
			serial_puts("RUNNING\n");
			break;
		case 'v':
			verify_asked = 1;
			break;
		case 't':
			tpm_seal();
			break;
		case 'u':
			tpm_unseal();
			break;
		case 'z':
			cpu_suspend();
			break;
		default:
			break;
		}
	}
	if (cpu_ticks() - last_heartbeat >= heartbeat_ticks) {
		last_heartbeat = last_beat = cpu_ticks();
		heartbeat();
	} else if (beat && cpu_ticks() != last_beat) {
		last_beat = cpu_ticks();
		serial_puts("\n");
	}
}

static void quiet(void)
{
	struct text t = {.len = 0};
	quiet_asked = 0;
	disks_quiet = 1;
	text_str(&t, "QUIET");
	for (uint32_t i = 0; i < disk_count; i++)
		if (disks[i].flush(&disks[i]))
			text_str(&t, " flush failed");
	list_disks(&t);
	text_str(&t, "\n");
	serial_puts(t.s);
}

static void verify(void)
{
	struct text t = {.len = 0};
	verify_asked = 0;
	uint32_t pages = ram_verify(), sectors[MAX_DISKS];
	for (uint32_t i = 0; i < disk_count; i++)
		sectors[i] = disk_verify(&disks[i]);
	text_str(&t, "VERIFY ");
	text_str(&t, first_bad.len ? first_bad.s : "ok");
	text_str(&t, " ram=");
	text_num(&t, pages);
	text_str(&t, " disks=");
	text_num(&t, disk_count);
	for (uint32_t i = 0; i < disk_count; i++) {
		text_str(&t, " disk");
		text_num(&t, i);
		text_str(&t, "=");
		text_num(&t, sectors[i]);
	}
	text_str(&t, "\n");
	serial_puts(t.s);
}

static void announce(uint32_t rate)
{
	struct text t = {.len = 0};
	text_str(&t, "READY ram=");
	text_num(&t, ram_pages());
	text_str(&t, " rate=");
	text_num(&t, rate);
	text_str(&t, " disks=");
	text_num(&t, disk_count);
	for (uint32_t i = 0; i < disk_count; i++) {
		text_str(&t, " disk");
		text_num(&t, i);
		text_str(&t, "=");
		text_str(&t, disks[i].name);
		text_str(&t, ":");
		text_num(&t, disks[i].sectors);
		text_str(&t, ":");
		text_num(&t, disks[i].chunks);
		text_str(&t, ":");
		text_num(&t, disks[i].stride);
		if (disks[i].sections) {
			text_str(&t, ":");
			text_num(&t, disk_length(&disks[i]));
		}
	}
	text_str(&t, "\n");
	serial_puts(t.s);
}

/* What may be done up to this tick of something that is done RATE times a second; never more than a
 * tenth of a second's worth saved up, so that a pause is not followed by a storm. */
static uint32_t earned(uint32_t budget, uint32_t *rest, uint32_t rate, uint32_t ticks)
{
	*rest += rate * ticks;
	budget += *rest / HZ;
	*rest %= HZ;
	uint32_t most = rate / 10 + 1;
	return budget > most ? most : budget;
}

static void work(uint32_t rate, uint32_t disk_rate)
{
	uint32_t seen = cpu_ticks(), ram_budget = 0, ram_rest = 0, disk_rest[MAX_DISKS] = {0};
	for (;;) {
		uint32_t now = cpu_ticks(), passed = now - seen > HZ ? HZ : now - seen;
		int idle = 1;
		seen = now;
		ram_budget = rate == UINT32_MAX ? 64 : earned(ram_budget, &ram_rest, rate, passed);
		for (uint32_t n = 0; n < 64 && ram_budget && !ram_still && ram_pages();
		     n++, ram_budget--) {
			ram_step();
			idle = 0;
		}
		for (uint32_t i = 0; i < disk_count; i++) {
			struct disk *d = &disks[i];
			d->budget = disk_rate == UINT32_MAX
					? 1
					: earned(d->budget, &disk_rest[i], disk_rate, passed);
			if (!disks_quiet && d->budget) {
				d->budget--;
				disk_step(d);
				idle = 0;
			}
		}
		service();
		if (quiet_asked)
			quiet();
		if (verify_asked)
			verify();
		if (idle)
			cpu_idle();
	}
}

void guest_run(const char *options, void *ram, uint32_t room_mib)
{
	uint32_t ram_mib = option_num(options, "ram", 16), rate = option_num(options, "rate", 1000);
	if (ram_mib > room_mib) {
		serial_puts("BAD ram= is more than there is room for\n");
		return;
	}
	ram_init(ram, ram_mib << 8);
	disk_init(option_find(options, "disks"), option_num(options, "sectors", 4096),
		  option_num(options, "spread", 1) != 0, option_num(options, "bulk", 0));
	uint32_t hb = option_num(options, "hb", 8);
	beat = option_num(options, "beat", 1);
	heartbeat_ticks = hb && hb < HZ ? HZ / hb : 1;
	announce(rate);
	work(rate, option_num(options, "diskrate", 20));
}

/* The same work as the bare-metal guest's, as the first and only process of a Linux: what talks to
 * the machine there goes through the kernel here. Its disks are the virtio disks, vd0 being
 * /dev/vda and so on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../guest.h"

static int tty = -1;
static int disk_fd[MAX_DISKS];

void serial_puts(const char *s)
{
	for (size_t n = strlen(s); n;) {
		ssize_t w = write(tty, s, n);
		if (w < 0 && errno != EINTR)
			return;
		if (w > 0) {
			s += w;
			n -= (size_t)w;
		}
	}
}

int serial_getc(void)
{
	unsigned char c;
	return read(tty, &c, 1) == 1 ? c : -1;
}

uint32_t cpu_ticks(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)t.tv_sec * HZ + (uint32_t)t.tv_nsec / (1000000000u / HZ);
}

void cpu_idle(void)
{
	nanosleep(&(struct timespec){0, 1000000000 / HZ}, NULL);
}

void cpu_flush_tlb(void)
{
}

/* (the bare-metal guest does that) */
void tpm_seal(void)
{
}

void tpm_unseal(void)
{
}

void cpu_suspend(void)
{
}

static int linux_read(struct disk *d, uint32_t lba, void *buf)
{
	return pread(disk_fd[d->unit], buf, CHUNK_BYTES, (off_t)lba * SECTOR_BYTES) == CHUNK_BYTES
		   ? 0
		   : -1;
}

static int linux_write(struct disk *d, uint32_t lba, const void *buf)
{
	return pwrite(disk_fd[d->unit], buf, CHUNK_BYTES, (off_t)lba * SECTOR_BYTES) == CHUNK_BYTES
		   ? 0
		   : -1;
}

static int linux_flush(struct disk *d)
{
	return fsync(disk_fd[d->unit]);
}

void ide_probe(void)
{
}

void virtio_probe(void)
{
	char path[] = "/dev/vda", name[] = "vd0";
	for (uint8_t i = 0; i < MAX_DISKS; i++, path[7]++, name[2]++) {
		unsigned long long bytes;
		int fd = open(path, O_RDWR | O_DIRECT);
		if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
			continue;
		struct disk *d = disk_add(name, (uint32_t)(bytes / SECTOR_BYTES));
		if (!d)
			continue;
		disk_fd[i] = fd;
		d->unit = i;
		d->read = linux_read;
		d->write = linux_write;
		d->flush = linux_flush;
	}
}

static void load_modules(void)
{
	static const char *const names[] = {
	    "virtio_ring",	     "virtio",	   "virtio_pci_legacy_dev",
	    "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "virtio_mem",
	    "failover",		     "net_failover", "dimlib",	   "virtio_net"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[64];
		snprintf(path, sizeof path, "/%s.ko", names[i]);
		int fd = open(path, O_RDONLY);
		if (fd >= 0) /* one that is built into the kernel has no file */
			syscall(SYS_finit_module, fd, "", 0);
		close(fd);
	}
}

/* The K-th NIC is 10.66.K.2; the kernel answers pings. */
static void network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (int k = 0; k < 4; k++) {
		struct ifreq r = {0};
		struct sockaddr_in *a = (struct sockaddr_in *)&r.ifr_addr;

		snprintf(r.ifr_name, sizeof r.ifr_name, "eth%d", k);
		a->sin_family = AF_INET;
		a->sin_addr.s_addr = htonl(0x0a420002u + ((unsigned)k << 8));
		if (ioctl(fd, SIOCSIFADDR, &r) < 0)
			break;
		a->sin_addr.s_addr = htonl(0xffffff00u);
		ioctl(fd, SIOCSIFNETMASK, &r);
		ioctl(fd, SIOCGIFFLAGS, &r);
		r.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &r);
	}
	close(fd);
}

/* Says back, on TCP port 7, all that it hears; a process of its own. */
static void echo(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	char buf[4096];
	ssize_t n;

	if (fork() != 0)
		return;
	signal(SIGCHLD, SIG_IGN);
	bind(s, (struct sockaddr *)&any, sizeof any);
	listen(s, 8);
	for (;;) {
		int c = accept(s, NULL, NULL);

		if (c < 0 || fork() != 0) {
			close(c);
			continue;
		}
		while ((n = read(c, buf, sizeof buf)) > 0)
			if (write(c, buf, (size_t)n) != n)
				break;
		_exit(0);
	}
}

/* Of an HTTP request on port 80 the answer is 1, 2, 3 and so on, a line each, in chunks, until
 * somebody asks for /end: then all of these answers end. */
static void http_answer(int c, volatile int *end)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
				   "Connection: close\r\n\r\n";
	char request[1024] = "", lines[4096], size[16];
	unsigned long n = 0;

	if (read(c, request, sizeof request - 1) <= 0 ||
	    write(c, head, sizeof head - 1) != sizeof head - 1)
		return;
	if (strncmp(request, "GET /end ", 9) == 0)
		*end = 1;
	while (!*end) {
		int len = 0, m;

		while (len < (int)sizeof lines - 32)
			len += snprintf(lines + len, sizeof lines - (size_t)len, "%lu\n", ++n);
		m = snprintf(size, sizeof size, "%x\r\n", (unsigned)len);
		memcpy(lines + len, "\r\n", 2);
		len += 2;
		if (write(c, size, (size_t)m) != m || write(c, lines, (size_t)len) != len)
			return;
	}
	if (write(c, "0\r\n\r\n", 5) == 5)
		shutdown(c, SHUT_WR);
}

static void http(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(80)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	int *end =
	    mmap(NULL, sizeof *end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (end == MAP_FAILED || fork() != 0)
		return;
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	bind(s, (struct sockaddr *)&any, sizeof any);
	listen(s, 8);
	for (;;) {
		int c = accept(s, NULL, NULL);

		if (c < 0 || fork() != 0) {
			close(c);
			continue;
		}
		http_answer(c, end);
		close(c);
		_exit(0);
	}
}

int main(void)
{
	static char options[2048] = " ";
	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	tty = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	struct termios t;
	tcgetattr(tty, &t);
	cfmakeraw(&t);
	t.c_cc[VMIN] = 0; /* a read never waits */
	t.c_cc[VTIME] = 0;
	tcsetattr(tty, TCSANOW, &t);
	int fd = open("/proc/cmdline", O_RDONLY);
	if (read(fd, options + 1, sizeof options - 2) < 0)
		serial_puts("BAD no command line\n");
	load_modules();
	usleep(200000); /* the disks' nodes come a little after the driver */
	if (strstr(options, " net=on")) {
		network();
		echo();
		http();
	}
	uint32_t mib = option_num(options, "ram", 16);
	void *ram = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram != MAP_FAILED)
		guest_run(options, ram, mib);
	serial_puts("BAD the guest's work ended\n");
	reboot(RB_POWER_OFF);
	return 1;
}

/* line: a long line between two network namespaces, where the kernel has no netem.
 *
 *     line MS PID-A ADDRESS-A PID-B ADDRESS-B
 *
 * Makes a TUN device "eth0" in the namespace of each process, with that address (a.b.c.d/len), and
 * carries packets from one to the other, each MS milliseconds later. TCP sees the round trip
 * itself: its windows and its congestion control are in what is tested. Prints "up" when packets
 * can pass; runs until it is killed. A rate is for tc, on the devices. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKETS = 8192, PACKET_MAX = 65536 + 64 };

/* what is on its way in one direction, a ring */
struct way {
	int from, to;
	struct packet {
		long long due_us;
		size_t len;
		char *data;
	} ring[PACKETS];
	size_t first, count;
};

static struct way ways[2];
static long long delay_us;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long long now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int tun_in(const char *pid, const char *address)
{
	struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	char text[256];
	int ns, fd;

	snprintf(text, sizeof text, "/proc/%s/ns/net", pid);
	if ((ns = open(text, O_RDONLY | O_CLOEXEC)) < 0 || setns(ns, CLONE_NEWNET) < 0)
		die(text);
	close(ns);
	if ((fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
		die("/dev/net/tun");
	strcpy(r.ifr_name, "eth0");
	if (ioctl(fd, TUNSETIFF, &r) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		die("TUNSETIFF");
	snprintf(text, sizeof text,
		 "ip addr add %s dev eth0 && ip link set eth0 txqueuelen 10000 up", address);
	if (system(text) != 0)
		exit(1);
	return fd;
}

static void take(struct way *w)
{
	static char buf[PACKET_MAX];
	for (int i = 0; i < 64 && w->count < PACKETS; i++) {
		ssize_t n = read(w->from, buf, sizeof buf);
		struct packet *p = &w->ring[(w->first + w->count) % PACKETS];
		if (n <= 0)
			return;
		if (!(p->data = malloc((size_t)n)))
			die("malloc");
		memcpy(p->data, buf, (size_t)n);
		p->len = (size_t)n;
		p->due_us = now_us() + delay_us;
		w->count++;
	}
}

/* Until the next one is due, in microseconds; -1: nothing is on its way. */
static long long give(struct way *w)
{
	while (w->count) {
		struct packet *p = &w->ring[w->first];
		long long left = p->due_us - now_us();
		if (left > 0)
			return left;
		/* (one that the other side has no room for is lost, as on any line) */
		if (write(w->to, p->data, p->len) < 0 && errno != EAGAIN && errno != EIO)
			die("write");
		free(p->data);
		w->first = (w->first + 1) % PACKETS;
		w->count--;
	}
	return -1;
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	delay_us = (long long)(atof(argv[1]) * 1000);
	ways[0].from = ways[1].to = tun_in(argv[2], argv[3]);
	ways[1].from = ways[0].to = tun_in(argv[4], argv[5]);
	puts("up");
	fflush(stdout);
	for (;;) {
		struct pollfd p[2] = {{.fd = ways[0].from, .events = POLLIN},
				      {.fd = ways[1].from, .events = POLLIN}};
		long long a = give(&ways[0]), b = give(&ways[1]),
			  us = a < 0		? b
			       : b < 0 || a < b ? a
						: b;
		struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

		if (ppoll(p, 2, us < 0 ? NULL : &t, NULL) < 0)
			die("poll");
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				take(&ways[i]);
	}
}

/* Pings an address, with ping(8)'s packets, and prints when each answer came:
 *
 *     pings ADDRESS EVERY_MS      a line "SEQUENCE MILLISECONDS" an answer, until SIGTERM
 *     pings ADDRESS               one; 0 when it is answered within two seconds
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "until_term.h"

static void ask(int fd, const struct sockaddr_in *to, unsigned sequence)
{
	struct icmphdr h = {.type = ICMP_ECHO};
	unsigned short words[sizeof h / 2];
	unsigned sum = 0;

	h.un.echo.id = htons((unsigned short)getpid());
	h.un.echo.sequence = htons((unsigned short)sequence);
	memcpy(words, &h, sizeof h);
	for (size_t i = 0; i < sizeof h / 2; i++)
		sum += words[i];
	h.checksum = (unsigned short)~((sum & 0xffff) + (sum >> 16));
	sendto(fd, &h, sizeof h, 0, (const struct sockaddr *)to, sizeof *to);
}

/* The sequence number of an answer to us; -1: it is something else. */
static int heard(int fd)
{
	unsigned char buf[256];
	ssize_t n = recv(fd, buf, sizeof buf, 0);
	const struct iphdr *ip = (const void *)buf;
	struct icmphdr h;

	if (n < (ssize_t)sizeof *ip || n < (ssize_t)(ip->ihl * 4u + sizeof h))
		return -1;
	memcpy(&h, buf + ip->ihl * 4, sizeof h);
	if (h.type != ICMP_ECHOREPLY || ntohs(h.un.echo.id) != (unsigned short)getpid())
		return -1;
	return ntohs(h.un.echo.sequence);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int every = argc > 2 ? atoi(argv[2]) : 0, fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	long long begin = now_us() / 1000, next = begin;
	unsigned sequence = 0;

	if (argc < 2 || fd < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "pings ADDRESS [EVERY_MS]\n");
		return 2;
	}
	until_term();
	while (!over) {
		struct pollfd p = {fd, POLLIN, 0};
		int n, left = (int)(next - now_us() / 1000);

		if (!every && now_us() / 1000 - begin > 2000)
			return 1;
		if (left <= 0) {
			ask(fd, &to, sequence++);
			next += every ? every : 250;
			continue;
		}
		if (poll(&p, 1, left) <= 0 || (n = heard(fd)) < 0)
			continue;
		if (!every)
			return 0;
		printf("%d %lld\n", n, now_us() / 1000);
	}
	return 0;
}

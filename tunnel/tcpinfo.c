/* See tcpinfo.h. */
#include "tunnel/tcpinfo.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

uint32_t tcpinfo_min_rtt_us(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	info.tcpi_min_rtt = 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    len < offsetof(struct tcp_info, tcpi_min_rtt) + sizeof(info.tcpi_min_rtt))
		return 0;
	/* The kernel says "unknown" with all bits set. */
	return info.tcpi_min_rtt == UINT32_MAX ? 0 : info.tcpi_min_rtt;
}

int tcpinfo_end_arrived(int fd)
{
	enum {
		FIN_WAIT2 = 5,
		TIME_WAIT = 6,
		CLOSED = 7
	}; /* the kernel's numbers, RFC 793's names */
	struct tcp_info info;
	socklen_t len = sizeof(info);

	info.tcpi_state = 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_state == FIN_WAIT2 || info.tcpi_state == TIME_WAIT ||
	       info.tcpi_state == CLOSED;
}

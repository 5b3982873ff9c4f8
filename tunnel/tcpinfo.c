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

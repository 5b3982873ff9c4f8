/* See tcpinfo.h. */
#include "tunnel/tcpinfo.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int get(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info)); /* what an older kernel does not know stays 0 */
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len);
}

uint32_t tcpinfo_min_rtt_us(int fd)
{
	struct tcp_info info;

	if (get(fd, &info) < 0)
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

	if (get(fd, &info) < 0)
		return 0;
	return info.tcpi_state == FIN_WAIT2 || info.tcpi_state == TIME_WAIT ||
	       info.tcpi_state == CLOSED;
}

/* Smaller packets pass everywhere (RFC 791), and what hosts say before their first large words is
 * smaller: a banner, a TLS hello. */
enum { LARGE = 512 };

const char *tcpinfo_large_unheard(int fd)
{
	struct tcp_info info;
	int queued = 0;

	if (get(fd, &info) < 0 || !info.tcpi_unacked || !info.tcpi_total_retrans ||
	    ioctl(fd, SIOCOUTQ, &queued) < 0 || queued <= LARGE)
		return NULL;
	return "small packets get through, but large ones of this host are not acknowledged: is "
	       "the path's MTU smaller than this host's?";
}

const char *tcpinfo_large_lost(int fd)
{
	struct tcp_info info;
	const char *ours = tcpinfo_large_unheard(fd);

	/* The last one of several is smaller, and waits for those before it. */
	if (ours || get(fd, &info) < 0 || !info.tcpi_rcv_ooopack)
		return ours;
	return "small packets get through, but large ones of the far host do not arrive: is the "
	       "path's MTU smaller than that host's?";
}

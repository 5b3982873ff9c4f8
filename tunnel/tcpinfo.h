/* What the kernel knows of a TCP connection. A file of its own: <linux/tcp.h>, which
 * has the fields that glibc's header lacks, cannot stand beside <netinet/tcp.h>. */
#ifndef ADIT_TUNNEL_TCPINFO_H
#define ADIT_TUNNEL_TCPINFO_H

#include <stdint.h>

/* The least round trip that the kernel saw of late, in microseconds; 0 when fd is
 * not TCP or nothing is known. */
uint32_t tcpinfo_min_rtt_us(int fd);

/* For a connection on which nothing moves: words for it where large packets, of this side or the
 * other, seem to be lost on the way while small ones get through, as where the path's MTU is
 * smaller than the hosts know; NULL: that does not show. */
const char *tcpinfo_large_lost(int fd);

/* The same where it is packets of this side, also once the other has closed the connection. */
const char *tcpinfo_large_unheard(int fd);

/* Whether the peer's host has all that was sent, the end (shutdown) with it. 0 also when fd is not
 * TCP. */
int tcpinfo_end_arrived(int fd);

#endif

/* What the transports over a TCP socket share: its options and its end. */
#include "tunnel/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum { LINGER_READS = 64, LINGER_CHUNK = 16 * 1024 };

int transport_socket_init(int fd, struct err *e)
{
	int one = 1, lowat = TRANSPORT_NOTSENT_LOWAT;

	if (fd_set_nonblock(fd) < 0)
		return err_set_sys(e, errno, "Cannot make the connection's socket non-blocking");
	/* Of use on TCP only; elsewhere (a unix socket in a test) there is nothing to set. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
	return 0;
}

void transport_socket_close(int fd, int linger)
{
	char chunk[LINGER_CHUNK];

	if (fd < 0)
		return;
	if (linger) {
		/* A socket closed with unread bytes is reset, and the peer's kernel then
		 * drops the alert or CLOSE that was just sent to say why. */
		shutdown(fd, SHUT_WR);
		for (int i = 0; i < LINGER_READS; i++)
			if (recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT) <= 0)
				break;
	}
	close(fd);
}

/* What the transports over a TCP socket share: its options and its end. */
#include "tunnel/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tunnel/tcpinfo.h"

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

ssize_t transport_socket_forget(int fd, uint8_t *buf, size_t size)
{
	ssize_t n;

	do
		n = recv(fd, buf, size, MSG_DONTWAIT | MSG_TRUNC); /* TCP copies nothing then */
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return TRANSPORT_WANT_READ;
	return n > 0 ? n : n == 0 ? TRANSPORT_EOF : TRANSPORT_FAILED;
}

void transport_socket_close(int fd, int linger)
{
	char chunk[LINGER_CHUNK];

	if (fd < 0)
		return;
	if (linger && !tcpinfo_end_arrived(fd)) {
		/* A socket closed with unread bytes is reset, and the alert or CLOSE that was just
		 * sent to say why is dropped, unless the peer's kernel has it. */
		shutdown(fd, SHUT_WR);
		for (int i = 0; i < LINGER_READS; i++)
			if (recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT) <= 0)
				break;
	}
	close(fd);
}

/* crowd: very many TCP connections that say nothing.
 *
 *     crowd HOST PORT COUNT
 *
 * Opens COUNT connections, a few hundred at a time, and holds those that the other side does not
 * close. Prints "connected N" when the last one has been made, and then lives until it is killed.
 * Ends with 1 when not all could be made within a minute. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PENDING_MAX = 256 };

static int begin_connect(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)) {
		perror("crowd");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct pollfd pending[PENDING_MAX];
	int count, made = 0, begun = 0, n = 0, refused = 0;
	time_t end = time(NULL) + 60;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: crowd HOST PORT COUNT\n");
		return 2;
	}
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	count = atoi(argv[3]);
	struct rlimit files = {(rlim_t)count + 100, (rlim_t)count + 100};
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		perror("crowd: more descriptors");
	while (made < count && time(NULL) < end) {
		for (; n < PENDING_MAX && begun < count; n++, begun++)
			pending[n] = (struct pollfd){.fd = begin_connect(&to), .events = POLLOUT};
		poll(pending, (nfds_t)n, 1000);
		for (int i = 0; i < n;) {
			int error = 0;
			socklen_t len = sizeof(error);
			if (!pending[i].revents) {
				i++;
				continue;
			}
			getsockopt(pending[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
			if (error) {
				refused++;
				close(pending[i].fd);
			}
			made++;
			pending[i] = pending[--n];
		}
	}
	printf("connected %d\n", made - refused);
	fflush(stdout);
	if (made - refused < count)
		return 1;
	pause();
	return 0;
}

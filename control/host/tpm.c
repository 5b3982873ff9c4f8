/* See tpm.h. */
#include "control/host/tpm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/user.h"

int tpm_listen(const char *path, const struct user *u, struct err *e)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
	} else if (fd >= 0) {
		strcpy(to.sun_path, path);
		if (bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && listen(fd, 1) == 0 &&
		    (!user_is_given(u) || lchown(path, u->uid, u->gid) == 0))
			return fd;
	}
	err_set_sys(e, errno, "%s", path);
	fd_close(&fd);
	return -1;
}

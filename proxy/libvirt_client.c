/*
 * adit run --libvirt, the near end: see libvirt_client.h. Owned by its caller; owns its
 * listeners and the stream by which the destination holds its side.
 *
 * QEMU connects to the migration's sockets by itself for disks and with several channels, and
 * libvirt's daemon does so for it else. libvirt gives them to the user of the VM's QEMU
 * first, unless it was told not to (dynamic_ownership = 0): so they belong to that user from
 * the start. Its AppArmor driver adds the path to the VM's profile. With SELinux it is the
 * label of the process' socket that counts, and that is chosen before it is made.
 */
#include "proxy/libvirt_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/forward.h"
#include "proxy/libvirt_path.h"
#include "tunnel/session.h"

enum { ANSWER_MAX = 160, LISTENERS = 1 + LIBVIRT_PATH_KINDS };

/* What libvirt's documentation names for a socket that a confined QEMU may connect to. */
#define SELINUX_SOCKET "system_u:system_r:svirt_socket_t:s0"

struct libvirt_client {
	struct event_base *base;
	struct addr at[LISTENERS]; /* the migration's, by kind, then the daemon's */
	struct forward *forwards[LISTENERS];
	char dir[ADDR_UNIX_MAX + 1];
	char id[LIBVIRT_PATH_ID_MAX];
	int lock; /* libvirt_path_claim's */
	char uris[LISTENERS][ADDR_UNIX_MAX + 40];
	struct stream *hold;
	libvirt_client_ready *fn; /* NULL once it was called */
	void *ctx;
	char answer[ANSWER_MAX];
	size_t len;
};

enum { DAEMON = LIBVIRT_PATH_KINDS }; /* its place in those tables */

/* An ID whose paths nobody has. (They are not connected to, to find out: QEMU takes who comes
 * first for the migration's main channel.) */
static int choose(struct libvirt_client *c, struct err *e)
{
	for (int i = 0; i < 16; i++) {
		unsigned number;
		struct stat st;
		int taken = 0;

		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return err_set_sys(e, errno, "no random number");
		snprintf(c->id, sizeof(c->id), "%08x", number);
		for (int kind = 0; kind < LIBVIRT_PATH_KINDS; kind++) {
			libvirt_path_format(&c->at[kind], c->dir, c->id, kind);
			taken = taken || lstat(c->at[kind].path, &st) == 0;
		}
		if (!taken)
			return 0;
	}
	return err_set(e, ERR_INTERNAL, "no free name for a socket in %s", c->dir);
}

struct libvirt_client *libvirt_client_new(struct event_base *base, const char *dir,
					  const char *private_dir, struct err *e)
{
	struct libvirt_client *c;
	struct stat st;
	int n;

	if (libvirt_path_check_dir(dir, e) < 0)
		return NULL;
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
		err_set(e, ERR_CONFIG,
			"there is no folder %s here: is libvirt's QEMU driver installed?", dir);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		err_set(e, ERR_SPACE, "no memory for sockets");
		return NULL;
	}
	c->base = base;
	c->lock = -1;
	snprintf(c->dir, sizeof(c->dir), "%s", dir);
	if (choose(c, e) < 0)
		goto fail;
	c->at[DAEMON].kind = ADDR_UNIX;
	n = snprintf(c->at[DAEMON].path, sizeof(c->at[DAEMON].path), "%s/libvirt", private_dir);
	if (n >= (int)sizeof(c->at[DAEMON].path)) {
		err_set(e, ERR_CONFIG, "%s: too long for a socket's path", private_dir);
		goto fail;
	}
	for (int i = 0; i < LISTENERS; i++) {
		const struct addr at = c->at[i];

		snprintf(c->uris[i], sizeof(c->uris[i]), "%s%s",
			 i == DAEMON ? "qemu+unix:///system?socket=" : "unix://", at.path);
	}
	return c;
fail:
	free(c);
	return NULL;
}

const char *libvirt_client_daemon_uri(const struct libvirt_client *c)
{
	return c->uris[DAEMON];
}

const char *libvirt_client_migrate_uri(const struct libvirt_client *c)
{
	return c->uris[LIBVIRT_PATH_RAM];
}

const char *libvirt_client_disks_uri(const struct libvirt_client *c)
{
	return c->uris[LIBVIRT_PATH_DISKS];
}

/* Sockets that this thread makes have that label from now on; NULL: as by default. Nothing where
 * SELinux is not in force. */
static void label_sockets(const char *label)
{
	int fd;

	if (access("/sys/fs/selinux/enforce", F_OK) < 0)
		return;
	fd = open("/proc/thread-self/attr/sockcreate", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, label ? label : "", label ? strlen(label) + 1 : 0) < 0)
		log_warn(NULL, "SELinux: sockets for QEMU cannot be labelled %s: %s",
			 label ? label : "as by default", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Gives the socket to the folder's owner, which is whom libvirt runs QEMU as. Through a
 * descriptor: that user may write there, and could put a link in its place. */
static int give_away(const struct libvirt_client *c, const char *path, struct err *e)
{
	struct stat dir, st;
	int fd, rc = 0;

	if (geteuid() != 0)
		return 0;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) || stat(c->dir, &dir) < 0 ||
	    fchownat(fd, "", dir.st_uid, dir.st_gid, AT_EMPTY_PATH) < 0)
		rc = err_set_sys(e, errno, "%s cannot be given to the owner of %s", path, c->dir);
	if (fd >= 0)
		close(fd);
	return rc;
}

int libvirt_client_listen(struct libvirt_client *c, struct err *e)
{
	c->lock = libvirt_path_claim(c->dir, c->id, e);
	if (c->lock < 0)
		return e->code;
	for (int i = 0; i < LISTENERS; i++) {
		char target[64] = "libvirt";

		if (i != DAEMON) {
			snprintf(target, sizeof(target), "libvirt/%s/%s", libvirt_path_kind_name(i),
				 c->id);
			label_sockets(SELINUX_SOCKET);
		}
		c->forwards[i] = forward_new_service(c->base, &c->at[i], target,
						     i == LIBVIRT_PATH_RAM     ? STREAM_RAM
						     : i == LIBVIRT_PATH_DISKS ? STREAM_DISK
									       : STREAM_CONTROL,
						     e);
		if (i != DAEMON)
			label_sockets(NULL);
		if (!c->forwards[i])
			return e->code;
		if (i != DAEMON && give_away(c, c->at[i].path, e) < 0)
			return e->code;
	}
	return 0;
}

static void done(struct libvirt_client *c, const struct err *why)
{
	libvirt_client_ready *fn = c->fn;

	if (!fn)
		return;
	c->fn = NULL;
	fn(c->ctx, why);
}

static size_t on_push(void *ctx, struct stream *s, const uint8_t *data, size_t len)
{
	struct libvirt_client *c = ctx;
	struct err e = ERR_INIT;

	(void)s;
	for (size_t i = 0; i < len && c->fn; i++) {
		if (data[i] != '\n') {
			if (c->len < sizeof(c->answer) - 1)
				c->answer[c->len++] = (char)data[i];
			continue;
		}
		c->answer[c->len] = '\0';
		if (strncmp(c->answer, "ok ", 3) == 0)
			log_info(NULL, "the libvirt daemon at the destination: %s", c->answer + 3);
		else
			err_set(&e, ERR_PROTOCOL,
				"the destination's word about its libvirt is not understood: %.80s",
				c->answer);
		done(c, &e);
	}
	return len;
}

static void on_reset(void *ctx, struct stream *s, enum code code, const char *reason)
{
	struct libvirt_client *c = ctx;
	struct err e = ERR_INIT;

	(void)s;
	if (code == CODE_SESSION)
		return; /* the session's owner tells why */
	err_set(&e, code == CODE_REFUSED ? ERR_REFUSED : ERR_ADDRESS,
		"libvirt at the destination: %s", reason && *reason ? reason : code_name(code));
	if (!c->fn)
		log_error(NULL, "%s", e.text);
	done(c, &e);
}

static void on_eof(void *ctx, struct stream *s)
{
	on_reset(ctx, s, CODE_CANCELLED, "it has let go of the migration");
}

static const struct stream_ops hold_ops = {.push = on_push, .on_eof = on_eof, .on_reset = on_reset};

int libvirt_client_start(struct libvirt_client *c, struct session *s, libvirt_client_ready *fn,
			 void *ctx, struct err *e)
{
	char target[64 + ADDR_UNIX_MAX];

	c->fn = fn;
	c->ctx = ctx;
	snprintf(target, sizeof(target), "libvirt/hold/%s%s", c->id, c->dir);
	c->hold = session_open(s, STREAM_CONTROL, target, &hold_ops, c, e);
	if (!c->hold)
		return e->code;
	for (int i = 0; i < LISTENERS; i++)
		forward_start(c->forwards[i], s);
	return 0;
}

int libvirt_client_is_leaving(const struct libvirt_client *c)
{
	for (int i = 0; i < LISTENERS; i++)
		if (c->forwards[i] && forward_is_leaving(c->forwards[i]))
			return 1;
	return 0;
}

void libvirt_client_free(struct libvirt_client *c)
{
	if (!c)
		return;
	for (int i = 0; i < LISTENERS; i++)
		forward_free(c->forwards[i]);
	libvirt_path_release(c->dir, c->id, &c->lock);
	stream_free(c->hold);
	free(c);
}

/*
 * The secrets of a VM that comes: QEMU's, which its encrypted images are opened with. They are in
 * BEGIN, and from there go into memory files that qemu-img and the twin inherit; no file, no
 * argument list and no log has them. The twin keeps its own, which is where adit reads them when
 * the VM moves on.
 */
#include "control/destination/arrival_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Puts the bytes that hex stands for into fd. */
static int write_hex(int fd, const char *hex, size_t len, struct err *e)
{
	unsigned char byte;

	if (len % 2)
		return err_set(e, ERR_PROTOCOL, "a secret is not in hexadecimal");
	for (size_t i = 0; i < len; i += 2) {
		int high = digit(hex[i]), low = digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return err_set(e, ERR_PROTOCOL, "a secret is not in hexadecimal");
		byte = (unsigned char)(high << 4 | low);
		if (write(fd, &byte, 1) != 1)
			return err_set_sys(e, errno, "a secret of the VM");
	}
	explicit_bzero(&byte, sizeof(byte));
	return 0;
}

/* A memory file that nobody changes any more. */
static int make(struct arrival *a, const char *hex, size_t len, struct err *e)
{
	int fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_set_sys(e, errno, "a secret of the VM");
	a->prepare.secrets[a->prepare.secret_count++] = fd;
	if (write_hex(fd, hex, len, e) < 0)
		return e->code;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_set_sys(e, errno, "a secret of the VM");
	return 0;
}

/* What is in them has no business in a message that is kept. */
static void wipe(json_t *secrets)
{
	json_t *o;
	size_t i;

	json_array_foreach(secrets, i, o)
	{
		const json_t *data = json_object_get(o, "data");

		if (json_is_string(data))
			explicit_bzero((char *)json_string_value(data), json_string_length(data));
		json_object_del(o, "data");
	}
}

static int take(struct arrival *a, const json_t *secrets, struct err *e)
{
	size_t count = json_array_size(secrets), i;
	const json_t *o;

	json_array_foreach(secrets, i, o)
	{
		if (json_object_get(o, "data") && strncmp(a->peer, "tcp:", 4) == 0)
			return err_set(e, ERR_REFUSED,
				       "the VM has secrets (of encrypted images, perhaps), and "
				       "they are not taken over tcp://: use tls:// or ssh://");
	}
	if (!a->wish.launched)
		return 0;
	if (a->wish.persistent)
		return err_set(e, ERR_REFUSED,
			       "--persistent: the VM has secrets (%s), which the destination does "
			       "not keep: leave --persistent out",
			       a->desc.secrets[0].id);
	a->prepare.secrets = calloc(count, sizeof(*a->prepare.secrets));
	if (!a->prepare.secrets)
		return err_set(e, ERR_SPACE, "no memory for the VM's secrets");
	json_array_foreach(secrets, i, o)
	{
		const json_t *data = json_object_get(o, "data");

		if (*a->desc.secrets[i].problem)
			continue; /* refused by arrival_secrets_check */
		if (!data)
			return err_set(e, ERR_REFUSED, "the source has not handed secret %s over",
				       a->desc.secrets[i].id);
		if (make(a, json_string_value(data), json_string_length(data), e) < 0)
			return e->code;
	}
	return 0;
}

int arrival_secrets_take(struct arrival *a, json_t *msg, struct err *e)
{
	json_t *secrets = json_object_get(msg, "secrets");
	int r = 0;

	if (json_array_size(secrets) && !a->wish.only_check)
		r = take(a, secrets, e);
	wipe(secrets);
	return r;
}

void arrival_secrets_check(const struct arrival *a, struct check *c)
{
	size_t bad = 0, count = a->desc.secret_count;

	for (size_t i = 0; i < count; i++) {
		const struct vmdesc_secret *s = &a->desc.secrets[i];

		if (!*s->problem)
			continue;
		bad++;
		check_add(c, a->wish.launched ? CHECK_ERROR : CHECK_WARNING, "encryption",
			  a->wish.launched ? NULL : "see that the launch hook has it",
			  "the VM's secret %s %s", s->id, s->problem);
	}
	if (count && !bad)
		check_add(c, CHECK_OK, "encryption", NULL,
			  "%zu secret%s of QEMU's can be handed over to the destination's", count,
			  count == 1 ? "" : "s");
}

void arrival_secrets_drop(struct arrival *a)
{
	for (size_t i = 0; i < a->prepare.secret_count; i++)
		fd_close(&a->prepare.secrets[i]);
	free(a->prepare.secrets);
	a->prepare.secrets = NULL;
	a->prepare.secret_count = 0;
}

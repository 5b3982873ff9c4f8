/* What all files of the twin say with: options that are taken, refused, or name a file. */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <string.h>

void twin_add(struct twin_plan *p, const char *option, const char *value)
{
	strvec_pushf(&p->t->argv, "-%s", option);
	if (value)
		strvec_push(&p->t->argv, value);
}

/* Whether an option's value may hold what is not to be shown. */
static bool may_be_secret(const char *value)
{
	static const char *const words[] = {"passw", "secret", "ticket", "token", "cookie", "@"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasestr(value, words[i]))
			return true;
	return false;
}

int twin_refuse(struct twin_plan *p, const char *option, const char *value, const char *why)
{
	if (!value || may_be_secret(value))
		value = "";
	return err_set(p->e, ERR_REFUSED,
		       "the VM cannot be launched on the destination: -%s%s%.120s: %s", option,
		       *value ? " " : "", value, why);
}

const char *twin_base_name(struct twin_plan *p, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > 200 ||
	    strpbrk(name, "\n\r")) {
		err_set(p->e, ERR_REFUSED, "\"%.120s\" is not the path of a file", path);
		return NULL;
	}
	return name;
}

void twin_private_path(struct twin_plan *p, const char *name, char *buf, size_t size)
{
	const char *dot = strrchr(name, '.');
	size_t stem = dot && dot != name ? (size_t)(dot - name) : strlen(name);
	char unique[256];

	snprintf(unique, sizeof(unique), "%s", name);
	for (unsigned n = 2; strvec_has(&p->used, unique); n++)
		snprintf(unique, sizeof(unique), "%.*s-%u%s", (int)stem, name, n, name + stem);
	strvec_push(&p->used, unique);
	snprintf(buf, size, "%s/%s", p->t->dir, unique);
}

bool twin_is_host_path(const char *value)
{
	return *value == '/' || strstr(value, "../");
}

bool twin_is_firmware(const char *path)
{
	static const char *const folders[] = {"/usr/share/qemu/",
					      "/usr/share/seabios/",
					      "/usr/share/OVMF/",
					      "/usr/share/AAVMF/",
					      "/usr/share/edk2/",
					      "/usr/share/edk2-ovmf/",
					      "/usr/share/ovmf/",
					      "/usr/share/qemu-efi-aarch64/",
					      "/usr/lib/ipxe/qemu/",
					      "/usr/share/kvm/",
					      "/usr/share/pve-edk2-firmware/"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (strncmp(path, folders[i], strlen(folders[i])) == 0 && !strstr(path, "/.."))
			return true;
	return false;
}

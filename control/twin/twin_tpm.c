/*
 * A TPM that is emulated (swtpm): the twin gets one of its own, which adit serve starts before it,
 * and whose state QEMU brings along with the VM's devices. It is kept beside the images, in a
 * folder of that job's. Which program it is, and whether there may be one, is this host's to say.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The program for it, NULL when there is to be none. */
static const char *program(const struct rights *r)
{
	const char *is = r->swtpm ? r->swtpm : RIGHTS_SWTPM;

	return strcmp(is, "none") == 0 ? NULL : is;
}

int twin_tpm_chardev(struct twin_plan *p, const char *id)
{
	struct qopts o = {0};
	char *text = NULL;
	int r = 0;

	if (qopts_set(&o, "backend", "socket") < 0 || qopts_set(&o, "id", id) < 0 ||
	    qopts_set(&o, "path", p->t->tpm.socket) < 0 || !(text = qopts_text(&o)))
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	else
		twin_add(p, "chardev", text);
	free(text);
	qopts_fini(&o);
	return r;
}

int twin_tpm_plan(struct twin_plan *p)
{
	const char *slash = strrchr(p->t->dir, '/'), *is = program(p->rights);

	if (!twin_tpm_has(p, NULL))
		return 0;
	if (!is)
		return err_set(p->e, ERR_REFUSED,
			       "the VM has a TPM, and the destination lets it have none: "
			       "swtpm = none in its adit.conf (--swtpm)");
	if (access(is, X_OK) < 0)
		return err_set(p->e, ERR_REFUSED,
			       "the VM has a TPM, and %s is not on the destination: install swtpm "
			       "there, or name it with swtpm = in adit.conf (--swtpm)",
			       is);
	if (!p->rights->images || !p->rights->images[0])
		return err_set(
		    p->e, ERR_REFUSED,
		    "there is no folder for the state of the VM's TPM: start the "
		    "destination's adit serve with --images DIR (images = in adit.conf)");
	p->t->tpm.program = is;
	p->t->tpm.v12 = p->d->tpm12;
	snprintf(p->t->tpm.dir, sizeof(p->t->tpm.dir), "%.3000s%.200s.tpm", p->rights->images[0],
		 slash ? slash : "/vm");
	twin_private_path(p, "swtpm.sock", p->t->tpm.socket, sizeof(p->t->tpm.socket));
	if (strpbrk(p->t->tpm.dir, ",\n"))
		return err_set(p->e, ERR_CONFIG,
			       "a folder with a ',' in its name cannot be written in swtpm's "
			       "options: choose another --images than %s",
			       p->rights->images[0]);
	return 0;
}

int twin_tpmdev(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	const char *type;
	int r = 0;

	if (qopts_parse(&o, value, "type") < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	type = qopts_get(&o, "type");
	if (!type || strcmp(type, "emulator") != 0)
		r = twin_refuse(p, "tpmdev", value,
				"its state is in a chip of the source host: only one that swtpm "
				"emulates (-tpmdev emulator) moves; " TWIN_ATTACH);
	else
		r = twin_add_options(p, "tpmdev", &o);
	qopts_fini(&o);
	return r;
}

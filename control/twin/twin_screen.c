/*
 * The twin's screens: a VNC or SPICE server listens on a socket in its private folder, whatever the
 * source's listened on. A password that was set in the monitor cannot be read back: where one is
 * asked for, nobody comes in before one is set there too. One that stands in the command line
 * is not taken along.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNSET "asks for a password, and none is set there before somebody sets one in its monitor"

static int no_memory(struct twin_plan *p)
{
	return err_set(p->e, ERR_SPACE, "no memory for the command line");
}

/* -display, of which nothing but VNC has anybody to look at it there. */
int twin_display(struct twin_plan *p, const char *value)
{
	p->has_display = true;
	if (strcmp(value, "none") == 0) {
		twin_add(p, "display", value);
		return 0;
	}
	if (strncmp(value, "vnc=", 4) == 0)
		return twin_vnc(p, value + 4);
	twin_add(p, "display", "none");
	strvec_pushf(&p->t->notes, "-display %.40s: there is no screen there", value);
	return 0;
}

static bool vnc_kept(const char *key)
{
	static const char *const keys[] = {"vnc",	   "password",	   "password-secret",
					   "share",	   "display",	   "head",
					   "audiodev",	   "lossy",	   "id",
					   "non-adaptive", "key-delay-ms", "power-control"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

int twin_vnc(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	char path[256], text[300], *rest = NULL;
	const char *to;
	int r = 0;

	p->has_display = true;
	if (strcmp(value, "none") == 0) {
		twin_add(p, "vnc", value);
		return 0;
	}
	if (qopts_parse(&o, value, "vnc") < 0)
		return no_memory(p);
	to = qopts_get(&o, "vnc");
	twin_private_path(p, "vnc.sock", path, sizeof(path));
	snprintf(text, sizeof(text), "unix:%s", path);
	if (!to || strncmp(to, "unix:", 5) != 0)
		strvec_pushf(&p->t->notes,
			     "VNC listens on a socket there (%s in the VM's folder), "
			     "instead of a port",
			     strrchr(path, '/') + 1);
	if (qopts_is_on(&o, "password"))
		strvec_push(&p->t->notes, "VNC " UNSET);
	qopts_keep(&o, vnc_kept);
	if (qopts_is_on(&o, "password") && qopts_set(&o, "password", "on") < 0)
		r = no_memory(p);
	if (r == 0 && (qopts_set(&o, "vnc", text) < 0 || !(rest = qopts_text(&o))))
		r = no_memory(p);
	if (r == 0)
		twin_add(p, "vnc", rest);
	free(rest);
	qopts_fini(&o);
	return r;
}

/* ---- SPICE ---- */

static bool spice_kept(const char *key)
{
	static const char *const keys[] = {"image-compression",
					   "jpeg-wan-compression",
					   "zlib-glz-wan-compression",
					   "streaming-video",
					   "agent-mouse",
					   "playback-compression",
					   "disable-copy-paste",
					   "disable-agent-file-xfer",
					   "password-secret"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

int twin_spice(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	char path[256], *text = NULL;
	bool unset, open;
	int r = 0;

	if (qopts_parse(&o, value, NULL) < 0)
		return no_memory(p);
	open = qopts_is_on(&o, "disable-ticketing");
	unset = !open && !qopts_get(&o, "password-secret");
	if (!qopts_is_on(&o, "unix"))
		strvec_push(&p->t->notes, "SPICE listens on a socket there (spice.sock in the VM's "
					  "folder), instead of a port");
	if (unset)
		strvec_push(&p->t->notes, "SPICE " UNSET);
	qopts_keep(&o, spice_kept);
	twin_private_path(p, "spice.sock", path, sizeof(path));
	if (qopts_set(&o, "unix", "on") < 0 || qopts_set(&o, "addr", path) < 0 ||
	    (open && qopts_set(&o, "disable-ticketing", "on") < 0) || !(text = qopts_text(&o)))
		r = no_memory(p);
	if (r == 0) {
		p->t->spice = true;
		twin_add(p, "spice", text);
	}
	free(text);
	qopts_fini(&o);
	return r;
}

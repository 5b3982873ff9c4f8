/*
 * The twin's sockets and logs: all in its private folder. A socket that listened on a port
 * becomes a unix socket there; what went to a terminal goes to a log there; a connection to
 * somebody else's socket cannot be made anew, and is refused, but for a monitor's: that one
 * is the source host's own affair, and left out.
 */
#include "control/twin/twin_i.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct twin_plan *p)
{
	return err_set(p->e, ERR_SPACE, "no memory for the command line");
}

/* The serial port that -serial chardev:ID makes of a chardev; -1: none. */
static int serial_of(const struct qargs *args, const char *id)
{
	int n = 0;

	for (size_t i = 0; i < args->count; i++) {
		const struct qargs_item *it = &args->at[i];

		if (!it->option || strcmp(it->option->name, "serial") != 0)
			continue;
		if (strncmp(it->value, "chardev:", 8) == 0 && strcmp(it->value + 8, id) == 0)
			return n;
		n++;
	}
	return -1;
}

/* DIR/NAME in buf, where id may hold what a file's name must not. suffix: ".sock", ".log" */
static void name_chardev(struct twin_plan *p, const char *id, const char *suffix, char *buf,
			 size_t size)
{
	int serial = serial_of(p->args, id);
	char clean[17], name[48];
	size_t n = 0;

	for (; *id && n < sizeof(clean) - 1; id++)
		clean[n++] = (unsigned char)*id <= ' ' || strchr("/.,:", *id) ? '_' : *id;
	clean[n] = 0;
	if (serial >= 0)
		snprintf(name, sizeof(name), "serial%d%s", serial, suffix);
	else
		snprintf(name, sizeof(name), "chardev-%s%s", clean, suffix);
	twin_private_path(p, name, buf, size);
}

/* DIR/base name of path in buf. */
static int name_log(struct twin_plan *p, const char *path, char *buf, size_t size)
{
	const char *name = twin_base_name(p, path);

	if (!name)
		return p->e->code;
	twin_private_path(p, name, buf, size);
	return 0;
}

/* The name of what is in the private folder, for a note. (The folder's has the job in it, which a
 * check does not know yet.) */
static const char *in_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int twin_mon(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	const char *id;

	if (qopts_parse(&o, value, "chardev") < 0)
		return no_memory(p);
	id = qopts_get(&o, "chardev");
	if (id && twin_is_of_monitor(p, id))
		strvec_pushf(&p->t->notes,
			     "-mon chardev=%.40s is left out: it is connected to a program of the "
			     "source host",
			     id);
	else
		twin_add(p, "mon", value);
	qopts_fini(&o);
	return 0;
}

/* ---- -chardev ---- */

static int socket_chardev(struct twin_plan *p, struct qopts *o, const char *id, const char *value)
{
	static const char *const of_ports[] = {"host",	 "port",      "to",	      "ipv4",
					       "ipv6",	 "nodelay",   "delay",	      "telnet",
					       "tn3270", "websocket", "tls-creds",    "tls-authz",
					       "fd",	 "reconnect", "reconnect-ms", "abstract",
					       "tight",	 "server",    "wait",	      "nowait"};
	bool server = qopts_is_on(o, "server") || qopts_get(o, "fd");
	bool port = qopts_get(o, "port") || qopts_get(o, "fd");
	char path[256];

	if (!server)
		return twin_refuse(p, "chardev", value,
				   "it is connected to a program of the source "
				   "host; " TWIN_ATTACH);
	for (size_t i = 0; i < sizeof(of_ports) / sizeof(of_ports[0]); i++)
		qopts_remove(o, of_ports[i]);
	name_chardev(p, id, ".sock", path, sizeof(path));
	if (qopts_set(o, "path", path) < 0 || qopts_set(o, "server", "on") < 0 ||
	    qopts_set(o, "wait", "off") < 0)
		return no_memory(p);
	if (port)
		strvec_pushf(
		    &p->t->notes,
		    "chardev %s listens on a socket there (%s in the VM's folder), instead "
		    "of a port",
		    id, in_folder(path));
	return 0;
}

/* A terminal's chardev becomes a log. */
static int to_log(struct twin_plan *p, struct qopts *o, const char *id)
{
	char path[256];

	name_chardev(p, id, ".log", path, sizeof(path));
	qopts_remove(o, "signal");
	qopts_remove(o, "path");
	if (qopts_set(o, "backend", "file") < 0 || qopts_set(o, "path", path) < 0)
		return no_memory(p);
	strvec_pushf(
	    &p->t->notes,
	    "chardev %s writes to a log there (%s in the VM's folder), instead of a terminal", id,
	    in_folder(path));
	return 0;
}

int twin_chardev(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	const char *backend, *id, *log;
	char path[512], *text = NULL;
	int r = 0;

	if (qopts_parse(&o, value, "backend") < 0)
		return no_memory(p);
	backend = qopts_get(&o, "backend");
	id = qopts_get(&o, "id");
	log = qopts_get(&o, "logfile");
	if (!backend || !id) {
		r = twin_refuse(p, "chardev", value, "it has no id or no backend");
	} else if (twin_tpm_has(p, id)) {
		r = twin_tpm_chardev(p, id);
		qopts_fini(&o);
		return r;
	} else if (twin_is_of_monitor(p, id)) {
		qopts_fini(&o);
		return 0;
	} else if (strcmp(backend, "socket") == 0) {
		r = socket_chardev(p, &o, id, value);
	} else if (strcmp(backend, "file") == 0) {
		const char *to = qopts_get(&o, "path");

		if (qopts_get(&o, "input-path"))
			r = twin_refuse(p, "chardev", value, "it reads a file of the source host");
		else if ((r = name_log(p, to ? to : "", path, sizeof(path))) == 0 &&
			 qopts_set(&o, "path", path) < 0)
			r = no_memory(p);
	} else if (strcmp(backend, "stdio") == 0 || strcmp(backend, "pty") == 0) {
		r = to_log(p, &o, id);
	} else if (twin_is_channel(backend)) {
		/* without SPICE nobody is at its other end, here either */
		if (!twin_is_spice(p, id) && qopts_set(&o, "backend", "null") < 0)
			r = no_memory(p);
	} else if (strcmp(backend, "null") != 0 && strcmp(backend, "ringbuf") != 0 &&
		   strcmp(backend, "vc") != 0 && strcmp(backend, "msmouse") != 0 &&
		   strcmp(backend, "wctablet") != 0 && strcmp(backend, "testdev") != 0) {
		r = twin_refuse(p, "chardev", value, "it is of the source host; " TWIN_ATTACH);
	}
	if (r == 0 && log && (r = name_log(p, log, path, sizeof(path))) == 0 &&
	    qopts_set(&o, "logfile", path) < 0)
		r = no_memory(p);
	if (r == 0 && !(text = qopts_text(&o)))
		r = no_memory(p);
	if (r == 0)
		twin_add(p, "chardev", text);
	free(text);
	qopts_fini(&o);
	return r;
}

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* Whether "unix:/p,server=on" and the like listen. */
static bool listens(const char *value)
{
	struct qopts o = {0};
	bool server;

	if (qopts_parse(&o, value, "address") < 0)
		return false;
	server = qopts_is_on(&o, "server");
	qopts_fini(&o);
	return server;
}

/* -serial and its like, written the old way. name: "serial0", "parallel0", ... */
static int old_style(struct twin_plan *p, const char *option, const char *value, const char *name)
{
	char file[40], path[512], text[600];
	const char *bare = begins(value, "mon:") ? value + 4 : value;
	const char *mon = bare == value ? "" : "mon:";

	if (strcmp(bare, "none") == 0 || strcmp(bare, "null") == 0 || begins(bare, "vc") ||
	    begins(bare, "chardev:") || strcmp(bare, "msmouse") == 0) {
		twin_add(p, option, value);
		return 0;
	}
	if (strcmp(bare, "stdio") == 0 || strcmp(bare, "pty") == 0 || begins(bare, "con:")) {
		snprintf(file, sizeof(file), "%s.log", name);
		twin_private_path(p, file, path, sizeof(path));
		snprintf(text, sizeof(text), "file:%s", path);
		twin_add(p, option, text);
		strvec_pushf(&p->t->notes,
			     "-%s %.40s writes to a log there (%s in the VM's folder)", option,
			     value, in_folder(path));
		return 0;
	}
	if (begins(bare, "file:")) {
		if (name_log(p, bare + 5, path, sizeof(path)) < 0)
			return p->e->code;
		snprintf(text, sizeof(text), "file:%s", path);
		twin_add(p, option, text);
		return 0;
	}
	if ((begins(bare, "unix:") || begins(bare, "tcp:") || begins(bare, "telnet:") ||
	     begins(bare, "websocket:")) &&
	    listens(bare)) {
		snprintf(file, sizeof(file), "%s.sock", name);
		twin_private_path(p, file, path, sizeof(path));
		snprintf(text, sizeof(text), "%sunix:%s,server=on,wait=off", mon, path);
		twin_add(p, option, text);
		if (!begins(bare, "unix:"))
			strvec_pushf(
			    &p->t->notes,
			    "-%s listens on a socket there (%s in the VM's folder), instead "
			    "of a port",
			    option, in_folder(path));
		return 0;
	}
	return twin_refuse(p, option, value, "it is of the source host; " TWIN_ATTACH);
}

int twin_char(struct twin_plan *p, const char *option, const char *value)
{
	char name[32];

	if (strcmp(option, "serial") == 0)
		snprintf(name, sizeof(name), "serial%u", p->serials++);
	else if (strcmp(option, "parallel") == 0)
		snprintf(name, sizeof(name), "parallel%u", p->parallels++);
	else
		snprintf(name, sizeof(name), "%.20s", option);
	return old_style(p, option, value, name);
}

int twin_monitor(struct twin_plan *p, const char *value)
{
	if (begins(value, "stdio") || begins(value, "pty") || begins(value, "mon:stdio")) {
		twin_add(p, "monitor", "none");
		return 0;
	}
	return old_style(p, "monitor", value, "monitor");
}

int twin_nographic(struct twin_plan *p)
{
	bool serial = false, bare = false;
	char path[256], text[300];

	p->has_display = true;
	twin_add(p, "display", "none");
	for (size_t i = 0; i < p->args->count; i++) {
		const struct qargs_option *o = p->args->at[i].option;

		serial = serial || (o && strcmp(o->name, "serial") == 0);
		bare = bare || (o && strcmp(o->name, "nodefaults") == 0);
	}
	if (serial || bare)
		return 0;
	/* -nographic puts the first serial port on the terminal. */
	twin_private_path(p, "serial0.log", path, sizeof(path));
	snprintf(text, sizeof(text), "file:%s", path);
	twin_add(p, "serial", text);
	twin_add(p, "monitor", "none");
	strvec_pushf(&p->t->notes,
		     "-nographic: the serial port writes to a log there (%s in the VM's folder)",
		     in_folder(path));
	return 0;
}

/* See vm_look.h. */
#include "control/vm/vm_look.h"

#include <stdlib.h>
#include <string.h>

#include "control/qmp.h"
#include "control/vm/json_text.h"

struct vm_look {
	struct qmp *q;
	pid_t pid;
	vm_look_done *fn;
	void *ctx;
};

/* The order in which they are asked. */
enum { STATUS, CHARDEVS, BLOCK, VNC, SPICE, NETWORK };

static void tell(struct vm_look *l, const json_t *answers, const struct err *why)
{
	qmp_free(l->q);
	l->q = NULL;
	l->fn(l->ctx, answers, why);
}

static json_t *chardevs(const json_t *said)
{
	json_t *all = json_array();
	const json_t *c;
	size_t i;

	json_array_foreach(said, i, c) json_array_append_new(
	    all, json_pack("{s:s,s:s,s:b}", "id", json_text(c, "label"), "file",
			   json_text(c, "filename"), "open",
			   json_is_true(json_object_get(c, "frontend-open")) &&
			       strncmp(json_text(c, "filename"), "disconnected:", 13) != 0));
	return all;
}

static json_t *displays(const json_t *vnc, const json_t *spice)
{
	json_t *all = json_array();
	const json_t *d = vnc;

	for (int i = 0; i < 2; i++, d = spice) {
		const char *host = json_text(d, "host");
		const json_t *port = json_object_get(d, "port"),
			     *tls = json_object_get(d, "tls-port");

		if (!json_is_true(json_object_get(d, "enabled")))
			continue;
		if (strcmp(json_text(d, "family"), "unix") == 0)
			port = tls = NULL;
		if (!json_is_integer(port))
			port = json_is_integer(tls) ? tls : port;
		json_array_append_new(
		    all, json_is_integer(port)
			     ? json_pack("{s:s,s:o}", "type", i ? "spice" : "vnc", "address",
					 json_sprintf("%s:%d", host, (int)json_integer_value(port)))
			     : json_pack("{s:s,s:o}", "type", i ? "spice" : "vnc", "address",
					 json_string_value(port)
					     ? json_sprintf("%s:%s", host, json_string_value(port))
					     : json_string(host)));
	}
	return all;
}

static json_t *disks(const json_t *said)
{
	json_t *all = json_array();
	const json_t *b;
	size_t i;

	json_array_foreach(said, i, b)
	{
		const json_t *in = json_object_get(b, "inserted");
		const char *device = json_text(b, "device");
		char qdev[128];

		/* "/machine/peripheral/ID/virtio-backend", where it has no name of its own */
		if (sscanf(json_text(b, "qdev"), "/machine/peripheral/%127[^/]", qdev) != 1)
			snprintf(qdev, sizeof(qdev), "%s", json_text(b, "qdev"));
		json_array_append_new(all, json_pack("{s:s,s:s,s:s?,s:s,s:b}", "device",
						     *device ? device : qdev, "node",
						     json_text(in, "node-name"), "file",
						     in ? json_text(in, "file") : NULL, "format",
						     json_text(in, "drv"), "read_only",
						     json_is_true(json_object_get(in, "ro"))));
	}
	return all;
}

/* What stands behind name= in line, up to the comma, to buf. */
static void part(const char *line, size_t len, const char *name, char *buf, size_t size)
{
	size_t n = strlen(name), at = 0;

	*buf = 0;
	for (const char *p = line; p + n < line + len; p++) {
		if (strncmp(p, name, n) != 0 || (p > line && p[-1] != ',' && p[-1] != ' '))
			continue;
		for (p += n; p < line + len && *p != ',' && at < size - 1; p++)
			buf[at++] = *p;
		buf[at] = 0;
		return;
	}
}

/* "net0: index=0,type=nic,model=virtio-net-pci,macaddr=..." and below it, where it has one,
 * " \ n0: index=0,type=tap,...". */
json_t *vm_look_networks(const char *text)
{
	json_t *all = json_array(), *last = NULL;

	while (*text) {
		size_t len = strcspn(text, "\r\n");
		const char *name = text + strspn(text, " \\"), *colon = memchr(text, ':', len);
		char type[32], model[64], mac[32];

		if (colon && colon > name) {
			size_t rest = len - (size_t)(colon - text);

			part(colon, rest, "type=", type, sizeof(type));
			part(colon, rest, "model=", model, sizeof(model));
			part(colon, rest, "macaddr=", mac, sizeof(mac));
			if (name == text && strcmp(type, "nic") == 0) {
				last = json_pack("{s:s%,s:s,s:s,s:s}", "nic", name,
						 (size_t)(colon - name), "model", model, "mac", mac,
						 "backend", "");
				json_array_append_new(all, last);
			} else if (name > text && last) {
				json_object_set_new(
				    last, "backend",
				    json_stringn(name, len - (size_t)(name - text)));
			} else {
				last = NULL;
			}
		}
		text += len;
		text += strspn(text, "\r\n");
	}
	return all;
}

static void on_answers(void *ctx, struct qmp *q, struct qmp_batch *b, const struct err *e)
{
	struct vm_look *l = ctx;
	const char *network = json_string_value(qmp_batch_result(b, NETWORK));
	json_t *answers;

	(void)q;
	if (err_is_set(e)) {
		tell(l, NULL, e);
		return;
	}
	answers = json_pack("{s:s,s:o,s:o,s:o,s:o}", "status",
			    json_text(qmp_batch_result(b, STATUS), "status"), "chardevs",
			    chardevs(qmp_batch_result(b, CHARDEVS)), "displays",
			    displays(qmp_batch_result(b, VNC), qmp_batch_result(b, SPICE)), "disks",
			    disks(qmp_batch_result(b, BLOCK)), "networks",
			    vm_look_networks(network ? network : ""));
	tell(l, answers, e);
	json_decref(answers);
}

static void on_ready(void *ctx, struct qmp *q)
{
	struct vm_look *l = ctx;
	struct err e = ERR_INIT;
	struct qmp_batch *b;

	if (qmp_peer_pid(q) != l->pid) {
		err_set(&e, ERR_REFUSED, "the socket is not of process %d", (int)l->pid);
		tell(l, NULL, &e);
		return;
	}
	b = qmp_batch_new();
	qmp_batch_add(b, QMP_MUST, "query-status", NULL);
	qmp_batch_add(b, QMP_MAY, "query-chardev", NULL);
	qmp_batch_add(b, QMP_MAY, "query-block", NULL);
	qmp_batch_add(b, QMP_MAY, "query-vnc", NULL);
	qmp_batch_add(b, QMP_MAY, "query-spice", NULL);
	qmp_batch_add(b, QMP_MAY, "human-monitor-command",
		      json_pack("{s:s}", "command-line", "info network"));
	qmp_batch_run(b, q, on_answers, ctx);
}

static void on_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct vm_look *l = ctx;

	(void)q;
	if (l->q)
		tell(l, NULL, why);
}

static const struct qmp_ops ops = {.on_ready = on_ready, .on_end = on_end};

struct vm_look *vm_look_start(struct event_base *base, const char *qmp, pid_t pid,
			      unsigned greeting_ms, vm_look_done *fn, void *ctx, struct err *e)
{
	struct vm_look *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, ERR_SPACE, "no memory to ask a VM");
		return NULL;
	}
	l->pid = pid;
	l->fn = fn;
	l->ctx = ctx;
	l->q = qmp_connect(base, qmp, greeting_ms, &ops, l, e);
	if (l->q)
		return l;
	free(l);
	return NULL;
}

void vm_look_free(struct vm_look *l)
{
	if (!l)
		return;
	qmp_free(l->q);
	free(l);
}

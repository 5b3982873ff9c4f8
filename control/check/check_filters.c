/* Filters on the VM's taps: see check_filters.h. nft is asked, since its rules are many kinds of
 * netlink messages; one that does not answer in time has nothing said of it. */
#include "control/check/check_filters.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/host.h"
#include "control/vm.h"

enum { ASK_MS = 3000, TABLE_LEN = 128 /* of what is printed of a table's name */ };

static const char nft[] = "/usr/sbin/nft";

struct check_filters {
	const json_t *vm;
	check_filters_done *fn;
	void *ctx;
	struct proc_text *asked;
	const char *rules; /* asked's */
	size_t len;
};

/* name, quoted in the rules, is interface's, or a "NAME*" that stands for it, too */
static bool stands_for(const char *name, size_t len, const char *interface)
{
	if (len && name[len - 1] == '*')
		return strncmp(name, interface, len - 1) == 0;
	return strlen(interface) == len && memcmp(name, interface, len) == 0;
}

/* Whether the line, which ends before end, has interface between quotes. */
static bool line_names(const char *line, const char *end, const char *interface)
{
	const char *open, *close;

	while ((open = memchr(line, '"', (size_t)(end - line)))) {
		open++;
		close = memchr(open, '"', (size_t)(end - open));
		if (!close)
			return false;
		if (stands_for(open, (size_t)(close - open), interface))
			return true;
		line = close + 1;
	}
	return false;
}

bool check_filters_find(const char *rules, size_t len, const char *interface, char *table,
			size_t size)
{
	const char *stop = rules + len, *end;
	static const char head[] = "table ";

	table[0] = 0;
	for (const char *line = rules; line < stop; line = end + 1) {
		end = memchr(line, '\n', (size_t)(stop - line));
		if (!end)
			end = stop;
		if ((size_t)(end - line) > sizeof(head) &&
		    strncmp(line, head, sizeof(head) - 1) == 0) {
			const char *name = line + sizeof(head) - 1;
			const char *brace = memchr(name, '{', (size_t)(end - name));
			size_t n = (size_t)((brace ? brace : end) - name);

			while (n && name[n - 1] == ' ')
				n--;
			if (n >= size)
				n = size - 1;
			memcpy(table, name, n);
			table[n] = 0;
		} else if (line_names(line, end, interface)) {
			return true;
		}
	}
	return false;
}

static void on_said(void *ctx, const char *text, size_t len, const struct err *why)
{
	struct check_filters *f = ctx;

	(void)why; /* nothing is known of its rules then */
	f->rules = text;
	f->len = len;
	f->fn(f->ctx, f);
}

static bool in_a_bridge(const json_t *network)
{
	return strcmp(json_text(network, "kind"), "bridge") == 0 &&
	       *json_text(network, "interface");
}

struct check_filters *check_filters_start(struct event_base *base, const json_t *vm,
					  check_filters_done *fn, void *ctx)
{
	static const char *const argv[] = {nft, "--stateless", "list", "ruleset", NULL};
	struct check_filters *f;
	struct err e = ERR_INIT;
	const json_t *o;
	bool any = false;
	size_t i;

	json_array_foreach(json_object_get(vm, "networks"), i, o) any |= in_a_bridge(o);
	if (!any || access(nft, X_OK) < 0)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct check_filters){.vm = vm, .fn = fn, .ctx = ctx};
	f->asked = proc_text_start(base, argv, ASK_MS, on_said, f, &e);
	if (f->asked)
		return f;
	check_filters_free(f);
	return NULL;
}

void check_filters_put(const struct check_filters *f, struct check *c)
{
	char table[TABLE_LEN];
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(f->vm, "networks"), i, o)
	{
		const char *interface = json_text(o, "interface");

		if (!in_a_bridge(o) ||
		    !check_filters_find(f->rules, f->len, interface, table, sizeof(table)))
			continue;
		check_add(c, CHECK_WARNING, "networks",
			  "make rules there for the tap that the VM has then (adit vms NAME)",
			  "network %s: nftables of this host filter at %s (table %s), and those "
			  "rules do not go over",
			  json_text(o, "id"), interface, table);
	}
}

void check_filters_free(struct check_filters *f)
{
	if (!f)
		return;
	proc_text_free(f->asked);
	free(f);
}

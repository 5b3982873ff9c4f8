/* See check_types.h. Asks nothing itself. */
#include "control/check/check_types.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/vm.h"

enum { TYPE_MAX = 64, WANTED_MAX = 256, CANDIDATES_MAX = 4 };

/* One option that makes something of a type. */
struct made {
	const char *option, *kind; /* "device" */
	char type[TYPE_MAX + 1];
	json_t *keys; /* what is set of it */
};

/* ---- the command line ---- */

/* Other names of types, as -device takes them. */
static const struct {
	const char *alias, *type;
} aliases[] = {
    {"ac97", "AC97"},	   {"es1370", "ES1370"},  {"e1000-82540em", "e1000"},
    {"ahci", "ich9-ahci"}, {"lsi", "lsi53c895a"},
};

static const struct {
	const char *vga, *type;
} screens[] = {
    {"std", "VGA"},	{"cirrus", "cirrus-vga"}, {"vmware", "vmware-svga"},
    {"qxl", "qxl-vga"}, {"virtio", "virtio-vga"},
};

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len > n && strcmp(s + len - n, end) == 0;
}

/* The words under which m's type may be known; how many. */
static size_t candidates(const struct made *m, char words[CANDIDATES_MAX][2 * TYPE_MAX])
{
	static const char *const buses[] = {"-pci", "-ccw", "-device"};
	size_t n = 0, i;

	snprintf(words[n++], 2 * TYPE_MAX, "%s:%s", m->kind, m->type);
	if (strcmp(m->kind, "device") != 0)
		return n;
	for (i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcmp(m->type, aliases[i].alias) == 0)
			snprintf(words[n++], 2 * TYPE_MAX, "device:%s", aliases[i].type);
	if (strncmp(m->type, "virtio-", 7) != 0)
		return n;
	for (i = 0; i < sizeof(buses) / sizeof(buses[0]); i++)
		if (ends_with(m->type, buses[i]))
			return n;
	for (i = 0; i < sizeof(buses) / sizeof(buses[0]); i++)
		snprintf(words[n++], 2 * TYPE_MAX, "device:%s%s", m->type, buses[i]);
	return n;
}

static void set_type(struct made *m, const char *type)
{
	/* (one that is no name is QEMU's to refuse) */
	if (type && strlen(type) <= TYPE_MAX && qopts_is_key(type))
		snprintf(m->type, sizeof(m->type), "%s", type);
}

/* Of an option with a value in either spelling, in which the type is at key. */
static void read_value(struct made *m, const char *value, const char *key)
{
	json_t *json = *value == '{' ? json_loads(value, JSON_REJECT_DUPLICATES, NULL) : NULL, *v;
	struct qopts o = {0};
	const char *name;

	if (json) {
		set_type(m, json_string_value(json_object_get(json, key)));
		json_object_foreach(json, name, v)
		    json_array_append_new(m->keys, json_string(name));
	} else if (qopts_parse(&o, value, key) == 0) {
		set_type(m, qopts_get(&o, key));
		for (size_t i = 0; i < o.count; i++)
			json_array_append_new(
			    m->keys, json_string(o.at[i].key ? o.at[i].key : o.at[i].value));
	}
	qopts_fini(&o);
	json_decref(json);
}

/* False: it makes nothing of a type. The caller has m->keys. */
static bool read_option(struct made *m, const struct qargs_item *it)
{
	const enum qargs_rule rule = it->option ? it->option->rule : QARGS_KEEP;

	*m = (struct made){.option = it->option ? it->option->name : ""};
	if (rule != QARGS_DEVICE && rule != QARGS_OBJECT && rule != QARGS_NET &&
	    strcmp(m->option, "vga") != 0)
		return false;
	m->keys = json_array();
	if (rule == QARGS_DEVICE) {
		m->kind = "device";
		read_value(m, it->value, "driver");
	} else if (rule == QARGS_OBJECT) {
		m->kind = "object";
		read_value(m, it->value, "qom-type");
	} else if (rule == QARGS_NET) {
		m->kind = "netdev";
		read_value(m, it->value, "type");
		/* (a NIC, or none) */
		if (strcmp(m->type, "nic") == 0 || strcmp(m->type, "none") == 0)
			*m->type = 0;
	} else {
		m->kind = "device";
		for (size_t i = 0; i < sizeof(screens) / sizeof(screens[0]); i++)
			if (strcmp(it->value, screens[i].vga) == 0)
				set_type(m, screens[i].type);
	}
	if (*m->type)
		return true;
	json_decref(m->keys);
	return false;
}

/* (of ours: each option in it is known) */
static void read_line(struct qargs *args, const struct twin *t)
{
	struct err e = ERR_INIT;

	qargs_parse(args, t->argv.at, t->argv.count, &e);
}

/* ---- the questions ---- */

static bool has_word(const json_t *list, const char *word)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i,
			   item) if (strcmp(json_string_value(item), word) == 0) return true;
	return false;
}

json_t *check_types_of(const struct twin *t)
{
	json_t *wanted = json_array();
	struct qargs args = {0};
	struct made m;

	read_line(&args, t);
	for (size_t i = 0; i < args.count; i++) {
		char words[CANDIDATES_MAX][2 * TYPE_MAX];
		size_t n;

		if (!read_option(&m, &args.at[i]))
			continue;
		n = candidates(&m, words);
		for (size_t k = 0; k < n && json_array_size(wanted) < WANTED_MAX; k++)
			if (!has_word(wanted, words[k]))
				json_array_append_new(wanted, json_string(words[k]));
		json_decref(m.keys);
	}
	qargs_fini(&args);
	return wanted;
}

json_t *check_types_question(const char *word, size_t id)
{
	const char *type = strchr(word, ':') + 1;
	bool is_device = strncmp(word, "device:", 7) == 0;

	/* (without loading anything: each that it was built with) */
	if (strncmp(word, "netdev:", 7) == 0)
		return json_pack("{s:s,s:{s:s},s:I}", "execute", "human-monitor-command",
				 "arguments", "command-line", "netdev_add help", "id",
				 (json_int_t)id);
	return json_pack("{s:s,s:{s:s},s:I}", "execute",
			 is_device ? "device-list-properties" : "qom-list-properties", "arguments",
			 "typename", type, "id", (json_int_t)id);
}

/* Whether text, a word a line, has it. */
static bool has_line(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; *text; text += strcspn(text, "\r\n"), text += strspn(text, "\r\n"))
		if (strncmp(text, word, len) == 0 && strcspn(text, "\r\n") == len)
			return true;
	return false;
}

/* NULL: it is no answer to go by. */
static json_t *read_answer(const char *word, const json_t *line)
{
	const json_t *v = json_object_get(line, "return"), *p;
	const char *class = json_text(json_object_get(line, "error"), "class");
	json_t *names;
	size_t i;

	if (strncmp(word, "netdev:", 7) == 0)
		return json_is_string(v) && strchr(json_string_value(v), '\n')
			   ? json_boolean(has_line(json_string_value(v), word + 7))
			   : NULL;
	if (strcmp(class, "DeviceNotFound") == 0)
		return json_false();
	if (!json_is_array(v))
		return NULL;
	names = json_array();
	json_array_foreach(v, i, p) json_array_append_new(names, json_string(json_text(p, "name")));
	return names;
}

json_t *check_types_read(const char *text, size_t len, const json_t *wanted, const char *why)
{
	const char *end = text + len;
	json_t *types = json_object();
	size_t answered = 0;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = nl ? (size_t)(nl - text) : (size_t)(end - text);
		json_t *line = json_loadb(text, n, 0, NULL), *answer;
		const json_t *id = json_object_get(line, "id");
		const char *word =
		    json_is_integer(id) && json_integer_value(id) >= 0
			? json_string_value(json_array_get(wanted, (size_t)json_integer_value(id)))
			: NULL;

		if (word) {
			answered = (size_t)json_integer_value(id) + 1;
			answer = read_answer(word, line);
			if (answer)
				json_object_set_new(types, word, answer);
		}
		json_decref(line);
		text += n + (nl != NULL);
	}
	if (why && answered < json_array_size(wanted))
		json_object_set_new(types, json_string_value(json_array_get(wanted, answered)),
				    json_string(why));
	return types;
}

/* ---- the answers ---- */

/* What is known of m's type: an array, true, false or a text; NULL when nothing is. */
static const json_t *known(const struct made *m, const json_t *types)
{
	char words[CANDIDATES_MAX][2 * TYPE_MAX];
	size_t n = candidates(m, words), asked = 0;
	const json_t *no = NULL, *is;

	for (size_t i = 0; i < n; i++) {
		is = json_object_get(types, words[i]);
		if (json_is_array(is) || json_is_true(is))
			return is;
		asked += is != NULL;
		if (!json_is_string(no))
			no = is ? is : no;
	}
	return asked == n ? no : NULL;
}

static bool is_property(const json_t *names, const char *key)
{
	/* what is said to whoever makes it; and what the list leaves out */
	static const char *const others[] = {"driver",	 "id",		 "bus",	       "qom-type",
					     "realized", "hotpluggable", "hotplugged", "type"};
	char name[TYPE_MAX + 1];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(key, others[i]) == 0)
			return true;
	/* "a.0.b" is within a, "a[0]" comes when it is set */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(key, "."), key);
	return strchr(key, '[') || has_word(names, key) || has_word(names, name) ||
	       (strncmp(key, "no", 2) == 0 && has_word(names, key + 2));
}

/* What has it, where that is known. */
static const char *mend_type(const struct made *m)
{
	if (strncmp(m->type, "qxl", 3) == 0)
		return "install its module there (Debian: qemu-system-modules-spice), or start the "
		       "VM without it";
	if (strcmp(m->kind, "device") == 0 && strstr(m->type, "-gl"))
		return "install its module there (Debian: qemu-system-modules-opengl), or start "
		       "the VM without it";
	return "install there the module of QEMU that has it, or a QEMU that is as new as the "
	       "source's and built with it; or start the VM without it";
}

/* One option; false: it was found wanting. */
static bool judge(struct check *c, const struct made *m, const json_t *types, const char *version)
{
	const json_t *is = known(m, types), *key;
	size_t i;

	if (json_is_string(is) || json_is_false(is)) {
		const char *why = json_is_string(is) ? json_string_value(is) : "";

		check_add(c, CHECK_ERROR, "devices", mend_type(m),
			  "-%s %s: QEMU %s on the destination has none of that type%s%s", m->option,
			  m->type, version, *why ? ": " : "", why);
		return false;
	}
	if (!json_is_array(is) || strcmp(m->option, "vga") == 0)
		return true;
	json_array_foreach(m->keys, i, key)
	{
		if (is_property(is, json_string_value(key)))
			continue;
		check_add(c, CHECK_ERROR, "devices",
			  "install there a QEMU that is as new as the source's, or start the VM "
			  "without it",
			  "-%s %s: QEMU %s on the destination knows no %.64s of it", m->option,
			  m->type, version, json_string_value(key));
		return false;
	}
	return true;
}

void check_types(struct check *c, const struct twin *t, const json_t *types, const char *version)
{
	struct qargs args = {0};
	bool good = true;
	size_t n = 0;
	struct made m;

	read_line(&args, t);
	for (size_t i = 0; i < args.count; i++) {
		if (!read_option(&m, &args.at[i]))
			continue;
		good = judge(c, &m, types, version) && good;
		n += known(&m, types) != NULL;
		json_decref(m.keys);
	}
	qargs_fini(&args);
	if (good && n)
		check_add(
		    c, CHECK_OK, "devices", NULL,
		    "QEMU there has what each of %zu devices, objects and networks is made of", n);
}

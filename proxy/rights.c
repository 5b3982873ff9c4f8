/* Rights of peers: see rights.h. Owned by whoever reads the configuration. */
#include "proxy/rights.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/netlink.h"
#include "base/size.h"
#include "proxy/subject.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

struct row {
	char *pattern;
	struct rights *rights;
};

struct rights_table {
	struct row *rows;
	unsigned count;
};

static struct rights none = {.refs = 1};

const struct rights *rights_none(void)
{
	return &none;
}

struct rights *rights_new(void)
{
	struct rights *r = calloc(1, sizeof(*r));

	if (r)
		r->refs = 1;
	return r;
}

const struct rights *rights_ref(const struct rights *r)
{
	if (r != &none)
		((struct rights *)r)->refs++;
	return r;
}

static void free_words(const char **words)
{
	for (const char **w = words; w && *w; w++)
		free((char *)*w);
	free(words);
}

void rights_unref(const struct rights *r)
{
	struct rights *own = (struct rights *)r;

	if (!r || r == &none || --own->refs)
		return;
	rules_fini(&own->forwards);
	rules_fini(&own->dest_qmp);
	free_words(own->launch);
	free_words(own->images);
	free_words(own->memory);
	free(own->swtpm);
	for (unsigned i = 0; i < own->storage_count; i++)
		free(own->storage[i].folder);
	free(own->storage);
	free(own->launch_hook);
	free(own->networks);
	free(own);
}

static int add_word(const char ***words, const char *word, struct err *e)
{
	const char **grown;
	char *copy = strdup(word);
	size_t n = 0;

	while (*words && (*words)[n])
		n++;
	grown = copy ? realloc(*words, (n + 2) * sizeof(*grown)) : NULL;
	if (!grown) {
		free(copy);
		return err_set(e, ERR_SPACE, "memory is short");
	}
	grown[n] = copy;
	grown[n + 1] = NULL;
	*words = grown;
	return 0;
}

int rights_add_launch(struct rights *r, const char *path, struct err *e)
{
	return add_word(&r->launch, path, e);
}

int rights_add_images(struct rights *r, const char *path, struct err *e)
{
	return add_word(&r->images, path, e);
}

int rights_add_memory(struct rights *r, const char *path, struct err *e)
{
	return add_word(&r->memory, path, e);
}

int rights_add_dest_qmp(struct rights *r, const char *path, struct err *e)
{
	char rule[ADDR_UNIX_MAX + 8];

	if (strlen(path) > ADDR_UNIX_MAX)
		return err_set(e, ERR_USAGE, "%.40s...: the path is too long", path);
	snprintf(rule, sizeof(rule), "unix:%s", path);
	return rules_add(&r->dest_qmp, rule, e);
}

/* Letters, digits, '.', '_' and '-', the first none of the last three: so it is one word in every
 * place where it is written, and there is one way to write it. */
static bool is_network_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= RIGHTS_NETWORK_MAX && !strchr("._-", *name) &&
	       strspn(name, NAME_CHARS) == len;
}

const struct rights_storage *rights_storage(const struct rights *r, const char *name, size_t len)
{
	for (unsigned i = 0; len && i < r->storage_count; i++)
		if (strlen(r->storage[i].name) == len && memcmp(r->storage[i].name, name, len) == 0)
			return &r->storage[i];
	return NULL;
}

int rights_add_storage(struct rights *r, const char *storage, struct err *e)
{
	const char *equals = strchr(storage, '=');
	size_t len = equals ? (size_t)(equals - storage) : strlen(storage);
	struct rights_storage *grown, one = {.folder = NULL};

	snprintf(one.name, sizeof(one.name), "%.*s", (int)len, storage);
	if (!len || len > RIGHTS_NETWORK_MAX || strspn(storage, NAME_CHARS) < len ||
	    (equals && !equals[1]))
		return err_set(e, ERR_USAGE,
			       "\"%.80s\": write NAME=FOLDER, or the NAME of a [storage NAME]; a "
			       "name has 1 to %d letters, digits, '.', '_' and '-'",
			       storage, RIGHTS_NETWORK_MAX);
	if (rights_storage(r, storage, len))
		return err_set(e, ERR_USAGE, "storage %s is there already", one.name);
	one.folder = equals ? strdup(equals + 1) : NULL;
	grown = one.folder || !equals ? realloc(r->storage, (r->storage_count + 1) * sizeof(*grown))
				      : NULL;
	if (!grown) {
		free(one.folder);
		return err_set(e, ERR_SPACE, "memory is short");
	}
	r->storage = grown;
	grown[r->storage_count++] = one;
	return 0;
}

int rights_set_storage(struct rights *r, const char *name, const char *folder, const char *format,
		       struct err *e)
{
	for (unsigned i = 0; i < r->storage_count; i++) {
		struct rights_storage *s = &r->storage[i];

		if (s->folder || strcmp(s->name, name) != 0)
			continue;
		s->folder = strdup(folder);
		snprintf(s->format, sizeof(s->format), "%s", format);
		if (!s->folder)
			return err_set(e, ERR_SPACE, "memory is short");
	}
	return 0;
}

int rights_add_network(struct rights *r, const char *name, const char *bridge, struct err *e)
{
	struct rights_network *grown;

	if (!is_network_name(name))
		return err_set(
		    e, ERR_USAGE,
		    "\"%.80s\" is no name of a network: 1 to %d letters, digits, '.', '_' "
		    "and '-'",
		    name, RIGHTS_NETWORK_MAX);
	if (bridge && !netlink_is_name(bridge))
		return err_set(e, ERR_USAGE, "\"%.80s\" is no name of an interface", bridge);
	for (unsigned i = 0; i < r->network_count; i++)
		if (strcmp(r->networks[i].name, name) == 0)
			return err_set(e, ERR_USAGE, "network %s is there already", name);
	grown = realloc(r->networks, (r->network_count + 1) * sizeof(*grown));
	if (!grown)
		return err_set(e, ERR_SPACE, "memory is short");
	r->networks = grown;
	grown[r->network_count] = (struct rights_network){.kind = RIGHTS_BRIDGE};
	snprintf(grown[r->network_count].name, sizeof(grown->name), "%s", name);
	snprintf(grown[r->network_count].bridge, sizeof(grown->bridge), "%s", bridge ? bridge : "");
	r->network_count++;
	return 0;
}

void rights_set_network(struct rights *r, const struct rights_network *is)
{
	for (unsigned i = 0; i < r->network_count; i++)
		if (r->networks[i].kind == RIGHTS_BRIDGE && !*r->networks[i].bridge &&
		    strcmp(r->networks[i].name, is->name) == 0)
			r->networks[i] = *is;
}

const struct rights_network *rights_network(const struct rights *r, const char *name)
{
	for (unsigned i = 0; i < r->network_count; i++)
		if (strcmp(r->networks[i].name, name) == 0)
			return &r->networks[i];
	return NULL;
}

const char *rights_network_bridge(const struct rights_network *n)
{
	return *n->bridge || n->kind == RIGHTS_SCRIPT ? n->bridge : n->name;
}

char *rights_network_text(const struct rights_network *n, char *buf, size_t size)
{
	char vlan[32] = "";

	if (n->vlan)
		snprintf(vlan, sizeof(vlan), ",vlan=%u", n->vlan);
	if (n->kind == RIGHTS_SCRIPT)
		snprintf(buf, size, "%s=script:%s", n->name, n->script);
	else
		snprintf(buf, size, "%s=%s%s%s", n->name,
			 n->kind == RIGHTS_OPENVSWITCH ? "openvswitch:" : "",
			 rights_network_bridge(n), vlan);
	return buf;
}

bool rights_any(const struct rights *r)
{
	return r->forwards.first || r->migrate || r->libvirt;
}

struct lost {
	char *buf;
	size_t size;
	unsigned count;
};

static void lose(struct lost *l, const char *key, const char *value)
{
	if (l->count++ == 0)
		snprintf(l->buf, l->size, "%s = %.200s", key, value);
}

static bool has_rule(const struct rules *rules, const char *pattern)
{
	for (const struct rule *r = NULL; (r = rules_next(rules, r)) != NULL;)
		if (strcmp(rule_text(r), pattern) == 0)
			return true;
	return false;
}

static void lose_rules(struct lost *l, const char *key, const struct rules *old,
		       const struct rules *now)
{
	for (const struct rule *r = NULL; (r = rules_next(old, r)) != NULL;)
		if (!has_rule(now, rule_text(r)))
			lose(l, key, rule_text(r));
}

static void lose_words(struct lost *l, const char *key, const char **old, const char **now)
{
	for (const char **w = old; w && *w; w++) {
		const char **has = now;

		while (has && *has && strcmp(*has, *w) != 0)
			has++;
		if (!has || !*has)
			lose(l, key, *w);
	}
}

static void lose_networks(struct lost *l, const struct rights *old, const struct rights *now)
{
	char text[RIGHTS_NETWORK_MAX + RIGHTS_SCRIPT_MAX + 16], other[sizeof(text)];

	for (unsigned i = 0; i < old->network_count; i++) {
		const struct rights_network *n = &old->networks[i];
		const struct rights_network *has = rights_network(now, n->name);

		rights_network_text(n, text, sizeof(text));
		if (!has || strcmp(rights_network_text(has, other, sizeof(other)), text) != 0)
			lose(l, "networks", text);
	}
}

static void lose_storage(struct lost *l, const struct rights *old, const struct rights *now)
{
	char text[RIGHTS_NETWORK_MAX + 180];

	for (unsigned i = 0; i < old->storage_count; i++) {
		const struct rights_storage *s = &old->storage[i];
		const struct rights_storage *has = rights_storage(now, s->name, strlen(s->name));

		if (has && strcmp(has->folder, s->folder) == 0 &&
		    strcmp(has->format, s->format) == 0)
			continue;
		snprintf(text, sizeof(text), "%s=%.128s", s->name, s->folder);
		if (has && strcmp(has->folder, s->folder) == 0)
			snprintf(text, sizeof(text), "%s=%.128s (%s%s)", s->name, s->folder,
				 *s->format ? "format = " : "without a format", s->format);
		lose(l, "storage", text);
	}
}

/* Whose QEMUs run as somebody else by now: as adit's own user, that is root mostly, or another. */
static void lose_user(struct lost *l, const struct user *old, const struct user *now)
{
	char text[2 * USER_NAME_MAX + 1];

	if (!user_is_given(now) ||
	    (strcmp(old->name, now->name) == 0 && strcmp(old->group, now->group) == 0 &&
	     old->uid == now->uid && old->gid == now->gid))
		return;
	snprintf(text, sizeof(text), "%s%s%s", user_is_given(old) ? old->name : "none",
		 *old->group ? ":" : "", old->group);
	lose(l, "launch-user", text);
}

static void lose_bandwidth(struct lost *l, uint64_t old, uint64_t now)
{
	char text[32];

	if (now == 0 || (old > 0 && old <= now))
		return;
	if (old > 0)
		size_format(old, text, sizeof(text) - 2);
	lose(l, "bandwidth", old > 0 ? strcat(text, "/s") : "none");
}

char *rights_lost(const struct rights *r, const struct rights *now, char *buf, size_t size)
{
	struct lost l = {buf, size, 0};
	size_t len;

	*buf = '\0';
	if (r->migrate && !now->migrate)
		lose(&l, "migrate", "yes");
	if (r->libvirt && !now->libvirt)
		lose(&l, "libvirt", "yes");
	lose_rules(&l, "forward", &r->forwards, &now->forwards);
	lose_rules(&l, "dest-qmp", &r->dest_qmp, &now->dest_qmp);
	lose_words(&l, "launch", r->launch, now->launch);
	if (r->launch && now->launch)
		lose_user(&l, &r->launch_user, &now->launch_user);
	if (r->launch_hook && (!now->launch_hook || strcmp(r->launch_hook, now->launch_hook) != 0))
		lose(&l, "launch-hook", r->launch_hook);
	lose_words(&l, "images", r->images, now->images);
	lose_networks(&l, r, now);
	lose_storage(&l, r, now);
	if (r->overwrite_images && !now->overwrite_images)
		lose(&l, "overwrite-images", "yes");
	lose_words(&l, "memory-paths", r->memory, now->memory);
	if (r->launch && now->launch && now->swtpm &&
	    strcmp(r->swtpm ? r->swtpm : RIGHTS_SWTPM, now->swtpm) != 0)
		lose(&l, "swtpm", r->swtpm ? r->swtpm : RIGHTS_SWTPM);
	if (rights_any(now))
		lose_bandwidth(&l, r->bandwidth, now->bandwidth);
	len = strlen(buf);
	if (l.count > 1)
		snprintf(buf + len, size - len, ", and %u more", l.count - 1);
	return buf;
}

/* The part of name behind "KIND:" when it begins so; NULL. */
static const char *behind(const char *name, const char *kind)
{
	size_t len = strlen(kind);

	return strncmp(name, kind, len) == 0 ? name + len : NULL;
}

/* Whether text may be an address, or a pattern for some: `10.0.*`, `fd00::1`, `*`; `example.com`
 * and `abc.de` are none. */
static bool is_address_like(const char *text)
{
	char end = text[strspn(text, "0123456789abcdefABCDEF.:*?[]-!^")];

	if (strcmp(text, "local") == 0) /* not from sshd: serve_stdio_name_peer */
		return true;
	return (end == '\0' || end == '%') && /* fe80::1%eth0 */
	       text[strcspn(text, "0123456789:*?")] != '\0';
}

/* An IPv4 address is one in a pattern too. */
static bool match_address(const char *pattern, const char *address)
{
	const char *v4 = behind(pattern, "::ffff:");

	return fnmatch(v4 && strchr(v4, '.') ? v4 : pattern, address, FNM_NOESCAPE) == 0;
}

/* text[0..len) against pattern[0..pattern_len). */
static bool match_part(const char *pattern, size_t pattern_len, const char *text, size_t len)
{
	char *a = strndup(pattern, pattern_len), *b = strndup(text, len);
	bool yes = a && b && fnmatch(a, b, FNM_NOESCAPE) == 0;

	free(a);
	free(b);
	return yes;
}

/* ssh's names tell from where, too: USER@ADDRESS, and a user's name may have an @ of its own. The
 * two are compared each for itself, so that no name of a user passes for another one's address. */
static bool match_ssh(const char *pattern, const char *name)
{
	const char *at = strrchr(name, '@'), *from = strrchr(pattern, '@');
	size_t user = at ? (size_t)(at - name) : strlen(name);

	if (!from || !is_address_like(from + 1))
		return match_part(pattern, strlen(pattern), name, user);
	return at && match_part(pattern, (size_t)(from - pattern), name, user) &&
	       match_address(from + 1, at + 1);
}

/* Whose key or certificate it is. A backslash is itself: subjects have it before their commas, and
 * are copied from the log. */
static bool match_proved(const char *pattern, const char *peer)
{
	const char *name = behind(peer, "psk:");

	if (name)
		return fnmatch(pattern, name, FNM_NOESCAPE) == 0;
	name = behind(peer, "x509:");
	return name && subject_match(pattern, name);
}

bool rights_match(const char *pattern, const char *peer)
{
	static const char *const kinds[] = {"psk:", "x509:", "tcp:", "ssh:"};

	if (strcmp(pattern, "*") == 0)
		return true;
	for (unsigned i = 0; i < 4; i++) {
		const char *wanted = behind(pattern, kinds[i]);
		const char *name = wanted ? behind(peer, kinds[i]) : NULL;

		if (!wanted)
			continue;
		if (!name)
			return false;
		return i < 2	? match_proved(wanted, peer)
		       : i == 2 ? match_address(wanted, name)
				: match_ssh(wanted, name);
	}
	/* Without a kind: a name that a key or a certificate proves, whatever it looks like. */
	return match_proved(pattern, peer);
}

bool rights_same_peer(const char *a, const char *b)
{
	const char *at_a = strrchr(a, '@'), *at_b = strrchr(b, '@');

	if (!behind(a, "ssh:") || !at_a || !at_b)
		return strcmp(a, b) == 0;
	return at_a - a == at_b - b && strncmp(a, b, (size_t)(at_a - a)) == 0;
}

char *rights_section(const char *peer, char *buf, size_t size)
{
	const char *at = behind(peer, "ssh:") ? strrchr(peer, '@') : NULL;
	int len = at && is_address_like(at + 1) ? (int)(at - peer) : (int)strlen(peer);

	snprintf(buf, size, "[peer %.*s]", len, peer);
	return buf;
}

struct rights_table *rights_table_new(void)
{
	return calloc(1, sizeof(struct rights_table));
}

void rights_table_free(struct rights_table *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->count; i++) {
		free(t->rows[i].pattern);
		rights_unref(t->rows[i].rights);
	}
	free(t->rows);
	free(t);
}

int rights_table_add(struct rights_table *t, const char *pattern, struct rights *r, struct err *e)
{
	struct row *rows;
	char *copy;

	for (unsigned i = 0; i < t->count; i++) {
		if (strcmp(t->rows[i].pattern, pattern) == 0) {
			err_set(e, ERR_USAGE, "peer %s is there already", pattern);
			goto fail;
		}
		if (strcmp(t->rows[i].pattern, "*") == 0) {
			err_set(e, ERR_USAGE,
				"peer %s stands behind peer *, which matches everybody: put that "
				"one last",
				pattern);
			goto fail;
		}
	}
	rows = realloc(t->rows, (t->count + 1) * sizeof(*rows));
	if (rows)
		t->rows = rows;
	copy = rows ? strdup(pattern) : NULL;
	if (!copy) {
		err_set(e, ERR_SPACE, "memory is short");
		goto fail;
	}
	rows[t->count++] = (struct row){copy, r};
	return 0;
fail:
	rights_unref(r);
	return e->code;
}

const struct rights *rights_table_find(const struct rights_table *t, const char *peer)
{
	for (unsigned i = 0; t && i < t->count; i++)
		if (rights_match(t->rows[i].pattern, peer))
			return t->rows[i].rights;
	return &none;
}

const char *rights_table_at(const struct rights_table *t, unsigned i, const struct rights **r)
{
	if (!t || i >= t->count)
		return NULL;
	*r = t->rows[i].rights;
	return t->rows[i].pattern;
}

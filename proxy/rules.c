/*
 * Patterns of targets: see rules.h. What is matched is the address as addr_parse
 * read it, the very one that is connected to afterwards, so that no second
 * reading can differ from the first.
 */
#include "proxy/rules.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rule {
	struct rule *next;
	enum addr_kind kind;
	char *text;
	int literal; /* host is compared byte by byte */
	char *path;  /* ADDR_UNIX */
	char *host;  /* ADDR_TCP */
	char *port;  /* ADDR_TCP */
};

/* Whether path (absolute) has only proper names between its slashes. */
static int is_plain_path(const char *path)
{
	const char *p = path;

	if (*p != '/')
		return 0;
	while (*p) {
		const char *name = ++p;
		size_t len = strcspn(name, "/");

		if (len == 0 || (len == 1 && name[0] == '.') ||
		    (len == 2 && name[0] == '.' && name[1] == '.'))
			return 0;
		p = name + len;
	}
	return 1;
}

static int matches(const struct rule *r, const struct addr *a)
{
	char port[8];

	if (r->kind != a->kind)
		return 0;
	if (a->kind == ADDR_UNIX)
		return is_plain_path(a->path) &&
		       fnmatch(r->path, a->path, FNM_PATHNAME | FNM_PERIOD) == 0;
	snprintf(port, sizeof(port), "%u", a->port);
	if (fnmatch(r->port, port, 0) != 0)
		return 0;
	return r->literal ? strcmp(r->host, a->host) == 0 : fnmatch(r->host, a->host, 0) == 0;
}

int rules_match(const struct rules *r, const struct addr *a)
{
	for (const struct rule *i = r->first; i; i = i->next)
		if (matches(i, a))
			return 1;
	return 0;
}

static void free_rule(struct rule *r)
{
	free(r->text);
	free(r->path);
	free(r->host);
	free(r->port);
	free(r);
}

/* Reads HOST:PORT behind tcp:, each with wildcards. */
static int parse_tcp(struct rule *r, const char *text, const char *pattern, struct err *e)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (len == 0 || !colon[1])
		return err_set(e, ERR_USAGE,
			       "\"%s\" allows nothing: write tcp:HOST:PORT, * for any of either",
			       pattern);
	if (strspn(colon + 1, "0123456789*?[]-!^") != strlen(colon + 1))
		return err_set(e, ERR_USAGE, "\"%s\": the port is a number, or a pattern for one",
			       pattern);
	if (text[0] == '[' && memchr(text, ':', len)) {
		if (text[len - 1] != ']' || len < 3)
			return err_set(e, ERR_USAGE,
				       "\"%s\": write an IPv6 address in brackets, as in "
				       "tcp:[fe80::1]:80",
				       pattern);
		r->literal = 1;
		r->host = strndup(text + 1, len - 2);
	} else if (memchr(text, ':', len)) {
		return err_set(e, ERR_USAGE,
			       "\"%s\": write an IPv6 address in brackets, as in tcp:[fe80::1]:80",
			       pattern);
	} else {
		r->host = strndup(text, len);
	}
	r->port = strdup(colon + 1);
	return r->host && r->port ? 0 : err_set(e, ERR_SYSTEM, "memory is short");
}

static int parse_unix(struct rule *r, const char *text, const char *pattern, struct err *e)
{
	if (!is_plain_path(text))
		return err_set(e, ERR_USAGE,
			       "\"%s\" would never match: write an absolute path without \"//\", "
			       "\".\" and \"..\"",
			       pattern);
	r->path = strdup(text);
	return r->path ? 0 : err_set(e, ERR_SYSTEM, "memory is short");
}

int rules_add(struct rules *r, const char *pattern, struct err *e)
{
	struct rule *rule = calloc(1, sizeof(*rule)), **last;
	int rc;

	if (!rule)
		return err_set(e, ERR_SYSTEM, "memory is short");
	if (strncmp(pattern, "unix:", 5) == 0) {
		rule->kind = ADDR_UNIX;
		rc = parse_unix(rule, pattern + 5, pattern, e);
	} else if (strncmp(pattern, "tcp:", 4) == 0) {
		rule->kind = ADDR_TCP;
		rc = parse_tcp(rule, pattern + 4, pattern, e);
	} else {
		rc = err_set(e, ERR_USAGE,
			     "\"%s\" is no pattern of targets: write unix:/path or tcp:HOST:PORT",
			     pattern);
	}
	rule->text = strdup(pattern);
	if (rc == 0 && !rule->text)
		rc = err_set(e, ERR_SYSTEM, "memory is short");
	if (rc < 0) {
		free_rule(rule);
		return rc;
	}
	for (last = &r->first; *last; last = &(*last)->next)
		;
	*last = rule;
	return 0;
}

const struct rule *rules_next(const struct rules *r, const struct rule *before)
{
	return before ? before->next : r->first;
}

const char *rule_text(const struct rule *rule)
{
	return rule->text;
}

void rules_fini(struct rules *r)
{
	while (r->first) {
		struct rule *next = r->first->next;

		free_rule(r->first);
		r->first = next;
	}
}

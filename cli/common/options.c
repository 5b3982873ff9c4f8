/* See options.h. What a value says is not looked at here. */
#include "cli/common/options.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/common/suggest.h"
#include "cli/common/usage.h"

/* The option of that name, len bytes of text; -1: there is none. */
static int find(const struct options *o, const char *text, size_t len)
{
	for (int i = 0; o->longs[i].name; i++)
		if (strncmp(o->longs[i].name, text, len) == 0 && !o->longs[i].name[len])
			return i;
	return -1;
}

/* Whether a word of the command that is to be run may have been taken for ours. */
static bool lacks_dashes(const struct options *o)
{
	if (!o->rest)
		return false;
	for (int i = 1; i < o->argc; i++)
		if (strcmp(o->argv[i], "--") == 0)
			return false;
	return true;
}

static int unknown(const struct options *o, const char *word)
{
	const char *dashes = word[1] == '-' ? "--" : "-", *name = word + strlen(dashes);
	int len = (int)strcspn(name, "=");
	struct suggest s;
	char text[64], meant[96];

	snprintf(text, sizeof(text), "%.*s", len, name);
	suggest_begin(&s, text);
	for (int i = 0; o->longs[i].name; i++)
		suggest_try(&s, o->longs[i].name);
	suggest_words(&s, "--", meant, sizeof(meant));
	if (!suggest_word(&s) && lacks_dashes(o))
		usage_error(o->command,
			    "there is no option %s%.*s; if it is a word of %s, write -- before %s",
			    dashes, len, name, o->rest, o->rest);
	else
		usage_error(o->command, "there is no option %s%.*s%s", dashes, len, name, meant);
	return OPTIONS_WRONG;
}

/* --on, where there are two that begin so. */
static int ambiguous(const struct options *o, const char *word)
{
	size_t len = strcspn(word + 2, "="), used = 0;
	char names[256] = "";

	for (int i = 0; o->longs[i].name && used < sizeof(names); i++)
		if (strncmp(o->longs[i].name, word + 2, len) == 0)
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s--%s",
						 used ? " or " : "", o->longs[i].name);
	if (!len || !used)
		return unknown(o, word);
	usage_error(o->command, "%.*s may be %s: write more of it", (int)len + 2, word, names);
	return OPTIONS_WRONG;
}

static bool is_cluster(const char *word)
{
	return word[0] == '-' && word[1] && word[1] != '-';
}

/* What getopt_long returned '?' for. It steps over a cluster of letters (-xyz) only at its end. */
static int explain(const struct options *o)
{
	const char *word = o->argv[optind - 1], *at = word;
	char letter[3] = {'-', (char)optopt, '\0'};

	if (optopt > 0 && optopt < 256 && !strchr(o->shorts, optopt)) {
		if (!is_cluster(word) || !strchr(word, optopt))
			at = o->argv[optind] ? o->argv[optind] : letter;
		/* -psk FILE: one dash is missing; -x alone is a letter */
		return unknown(o, at[1] == optopt && at[2] ? at : letter);
	}
	if (optopt && strchr(word, '=')) {
		usage_error(o->command, "%.*s takes no value", (int)strcspn(word, "="), word);
		return OPTIONS_WRONG;
	}
	return ambiguous(o, word);
}

/* How it is called: --name, or -x where it has none. */
static const char *called(const struct options *o, int c, char *buf, size_t size)
{
	if (o->index >= 0)
		snprintf(buf, size, "--%s", o->longs[o->index].name);
	else
		snprintf(buf, size, "-%c", c);
	return buf;
}

static bool is_in(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static int check_value(const struct options *o, int c)
{
	bool own_word = optarg == o->argv[optind - 1];
	char name[64];

	called(o, c, name, sizeof(name));
	if (!*optarg)
		return usage_error(o->command, "%s needs a value, and was given an empty one",
				   name);
	if (own_word && strcmp(optarg, "--") == 0)
		return usage_error(o->command, "%s needs a value", name);
	if (own_word && strncmp(optarg, "--", 2) == 0 &&
	    find(o, optarg + 2, strcspn(optarg + 2, "=")) >= 0)
		return usage_error(
		    o->command,
		    "%s needs a value, and %s behind it is an option; if it is meant, "
		    "write %s=%s",
		    name, optarg, name, optarg);
	return 0;
}

static int check_apart(const struct options *o)
{
	for (const char *const *p = o->apart; p && *p; p += 2)
		if (options_given(o, p[0]) && options_given(o, p[1]))
			return usage_error(o->command, "--%s and --%s cannot go together", p[0],
					   p[1]);
	return 0;
}

int options_next(struct options *o)
{
	char name[64];
	int c;

	opterr = 0;
	o->index = -1;
	c = getopt_long(o->argc, o->argv, o->shorts, o->longs, &o->index);
	if (c == -1)
		return OPTIONS_END;
	if (c == ':') {
		usage_error(o->command, "%s needs a value", o->argv[optind - 1]);
		return OPTIONS_WRONG;
	}
	if (c == '?')
		return explain(o);
	for (int i = 0; o->index < 0 && o->longs[i].name; i++)
		if (o->longs[i].val == c)
			o->index = i;
	if (optarg && check_value(o, c))
		return OPTIONS_WRONG;
	if (o->index < 0)
		return c;
	if (optarg && o->given[o->index] && strcmp(o->given[o->index], optarg) != 0 &&
	    !is_in(o->many, o->longs[o->index].name)) {
		usage_error(o->command, "%s was given twice: %s and %s",
			    called(o, c, name, sizeof(name)), o->given[o->index], optarg);
		return OPTIONS_WRONG;
	}
	o->given[o->index] = optarg ? optarg : "";
	return check_apart(o) ? OPTIONS_WRONG : c;
}

const char *options_given(const struct options *o, const char *name)
{
	int i = find(o, name, strlen(name));

	return i < 0 ? NULL : o->given[i];
}

int options_take(struct options *o, const char *help,
		 int (*take)(void *ctx, int c, const char *value, struct err *e), void *ctx)
{
	struct err e = ERR_INIT;
	int c;

	while ((c = options_next(o)) != OPTIONS_END) {
		if (c == OPTIONS_WRONG)
			return EXIT_USAGE;
		if (c == 'h')
			return usage_help(help);
		if (take(ctx, c, optarg, &e) < 0)
			return usage_fail(o->command, &e);
	}
	return -1;
}

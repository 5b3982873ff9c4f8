/* See run_words.h. */
#include "cli/commands/run_words.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct word {
	struct word *next;
	char *name, *value;
	char *setting;	     /* ADIT_NAME=value */
	size_t variable_len; /* of ADIT_NAME */
};

struct run_words {
	struct word *first;
	size_t count;
	char **argv, **envp;
	size_t argc;
};

struct run_words *run_words_new(void)
{
	return calloc(1, sizeof(struct run_words));
}

static void free_word(struct word *x)
{
	free(x->name);
	free(x->value);
	free(x->setting);
	free(x);
}

int run_words_add(struct run_words *w, const char *name, const char *value, struct err *e)
{
	/* An adit that COMMAND runs would take these for its credentials. */
	static const char *const taken[] = {"ADIT_PSK=", "ADIT_TLS_CREDS="};
	struct word *x = calloc(1, sizeof(*x));

	if (x) {
		x->name = strdup(name);
		x->value = strdup(value);
		if (asprintf(&x->setting, "ADIT_%s=%s", name, value) < 0)
			x->setting = NULL;
	}
	if (!x || !x->name || !x->value || !x->setting) {
		if (x)
			free_word(x);
		return err_set(e, ERR_SYSTEM, "memory is short");
	}
	x->variable_len = strlen("ADIT_") + strlen(name);
	for (char *p = x->setting; p < x->setting + x->variable_len; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		if (strncmp(x->setting, taken[i], x->variable_len + 1) == 0) {
			err_set(e, ERR_USAGE,
				"the name \"%s\" would be $%.*s, which has a meaning already: "
				"choose another",
				name, (int)x->variable_len, x->setting);
			free_word(x);
			return e->code;
		}
	}
	for (const struct word *i = w->first; i; i = i->next) {
		if (strncmp(i->setting, x->setting, x->variable_len + 1) == 0) {
			err_set(e, ERR_USAGE,
				"the names \"%s\" and \"%s\" are both $%.*s: choose another",
				i->name, name, (int)x->variable_len, x->setting);
			free_word(x);
			return e->code;
		}
	}
	x->next = w->first;
	w->first = x;
	w->count++;
	return 0;
}

/* The word whose {name} text begins with. */
static const struct word *find(const struct run_words *w, const char *text)
{
	for (const struct word *x = w->first; x; x = x->next) {
		size_t len = strlen(x->name);

		if (text[0] == '{' && strncmp(text + 1, x->name, len) == 0 && text[len + 1] == '}')
			return x;
	}
	return NULL;
}

static char *expand(const struct run_words *w, const char *text)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return NULL;
	while (*text) {
		const struct word *x = find(w, text);

		if (x) {
			fputs(x->value, f);
			text += strlen(x->name) + 2;
		} else {
			putc(*text++, f);
		}
	}
	if (fclose(f) != 0) {
		free(out);
		return NULL;
	}
	return out;
}

char **run_words_expand(struct run_words *w, char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	w->argv = calloc(n + 1, sizeof(*w->argv));
	for (w->argc = 0; w->argv && w->argc < n; w->argc++) {
		w->argv[w->argc] = expand(w, words[w->argc]);
		if (!w->argv[w->argc])
			return NULL;
	}
	return w->argv;
}

char **run_words_environment(struct run_words *w)
{
	size_t n = 0, at = 0;

	while (environ[n])
		n++;
	w->envp = calloc(n + w->count + 1, sizeof(*w->envp));
	if (!w->envp)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const struct word *x = w->first;

		while (x && strncmp(environ[i], x->setting, x->variable_len + 1) != 0)
			x = x->next;
		if (!x)
			w->envp[at++] = environ[i];
	}
	for (const struct word *x = w->first; x; x = x->next)
		w->envp[at++] = x->setting;
	return w->envp;
}

void run_words_free(struct run_words *w)
{
	struct word *x;

	if (!w)
		return;
	while ((x = w->first) != NULL) {
		w->first = x->next;
		free_word(x);
	}
	for (size_t i = 0; i < w->argc; i++)
		free(w->argv[i]);
	free(w->argv);
	free(w->envp);
	free(w);
}

/* What adit run tells its COMMAND: {NAME} in its words, ADIT_NAME in its environment. */
#ifndef ADIT_CLI_COMMANDS_RUN_WORDS_H
#define ADIT_CLI_COMMANDS_RUN_WORDS_H

#include <stddef.h>

#include "base/err.h"

struct run_words;

struct run_words *run_words_new(void);

/* {name} stands for value from now on, both copied; $ADIT_NAME has it too: the name in capitals,
 * with
 * '_' for what is neither letter nor digit. ERR_USAGE when another name makes the same. */
int run_words_add(struct run_words *w, const char *name, const char *value, struct err *e);

/* COMMAND's words with what is known replaced, and its environment; other braces stay as
 * they are. Owned by w, NULL at the end. NULL when memory is short. */
char **run_words_expand(struct run_words *w, char *const *words);
char **run_words_environment(struct run_words *w);

/* NULL is fine. */
void run_words_free(struct run_words *w);

#endif

/* Of the words that there are, the one that a mistyped word was meant to be. */
#ifndef ADIT_CLI_COMMON_SUGGEST_H
#define ADIT_CLI_COMMON_SUGGEST_H

/* Owned by the caller, who tries each word; text and words are borrowed. */
struct suggest {
	const char *text, *best;
	unsigned distance;
};

/* text is what was typed. */
void suggest_begin(struct suggest *s, const char *text);

void suggest_try(struct suggest *s, const char *word);

/* The word that is nearest, where it is near: a letter or two that are wrong, missing, too much or
 * swapped, or a beginning of it. NULL if none is. */
const char *suggest_word(const struct suggest *s);

/* " (did you mean BEFORE WORD?)" for a message, or "". Returns buf. */
char *suggest_words(const struct suggest *s, const char *before, char *buf, unsigned size);

#endif

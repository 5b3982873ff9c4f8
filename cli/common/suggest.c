/* See suggest.h. Compares; decides nothing. */
#include "cli/common/suggest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LETTERS_MAX = 40 };

/* Capitals, and _ for -, are no mistakes that count. */
static int letter(char c)
{
	return c == '_' ? '-' : tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Letters to change, put in, leave out, or swap with their neighbour. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][LETTERS_MAX + 1];
	unsigned *last2 = rows[0], *last = rows[1], *row = rows[2], *spare;
	size_t m = strlen(a), n = strlen(b);

	if (m > LETTERS_MAX || n > LETTERS_MAX)
		return ~0u;
	for (size_t k = 0; k <= n; k++)
		last2[k] = last[k] = (unsigned)k;
	for (size_t i = 1; i <= m; i++) {
		row[0] = (unsigned)i;
		for (size_t k = 1; k <= n; k++) {
			int same = letter(a[i - 1]) == letter(b[k - 1]);

			row[k] = least(least(last[k], row[k - 1]) + 1, last[k - 1] + !same);
			if (i > 1 && k > 1 && letter(a[i - 1]) == letter(b[k - 2]) &&
			    letter(a[i - 2]) == letter(b[k - 1]))
				row[k] = least(row[k], last2[k - 2] + 1);
		}
		spare = last2;
		last2 = last;
		last = row;
		row = spare;
	}
	return last[n];
}

void suggest_begin(struct suggest *s, const char *text)
{
	*s = (struct suggest){.text = text, .distance = ~0u};
}

void suggest_try(struct suggest *s, const char *word)
{
	size_t len = strlen(s->text);
	unsigned d = distance(s->text, word);

	/* What was cut off, but not in one letter or two. */
	if (len > 2 && strncmp(s->text, word, len) == 0 && d > 1)
		d = 1;
	if (d < s->distance) {
		s->distance = d;
		s->best = word;
	}
}

const char *suggest_word(const struct suggest *s)
{
	size_t len = strlen(s->text);
	unsigned near = len < 3 ? 0 : len < 5 ? 1 : len < 10 ? 2 : 3;

	return s->distance <= near ? s->best : NULL;
}

char *suggest_words(const struct suggest *s, const char *before, char *buf, unsigned size)
{
	const char *word = suggest_word(s);

	if (word)
		snprintf(buf, size, " (did you mean %s%s?)", before, word);
	else
		snprintf(buf, size, "%s", "");
	return buf;
}

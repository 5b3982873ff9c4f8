/* Sentences built in a buffer, and the options of the multiboot command line. */
#include "guest.h"

void text_str(struct text *t, const char *s)
{
	while (*s && t->len < sizeof t->s - 1)
		t->s[t->len++] = *s++;
	t->s[t->len] = 0;
}

void text_num(struct text *t, uint32_t v)
{
	char digits[12], *p = digits + sizeof digits - 1;
	*p = 0;
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	text_str(t, p);
}

void text_hex(struct text *t, uint32_t v)
{
	char digits[] = "0x00000000";
	for (int i = 9; i > 1; i--, v >>= 4)
		digits[i] = "0123456789abcdef"[v & 15];
	text_str(t, digits);
}

static int starts_with(const char *s, const char *word)
{
	while (*word)
		if (*s++ != *word++)
			return 0;
	return 1;
}

const char *option_find(const char *cmdline, const char *key)
{
	for (const char *s = cmdline; *s; s++)
		if (*s == ' ' && starts_with(s + 1, key)) {
			const char *v = s + 1;
			for (const char *k = key; *k; k++)
				v++;
			if (*v == '=')
				return v + 1;
		}
	return 0;
}

uint32_t option_num(const char *cmdline, const char *key, uint32_t fallback)
{
	const char *v = option_find(cmdline, key);
	if (!v)
		return fallback;
	if (starts_with(v, "max"))
		return UINT32_MAX;
	uint32_t n = 0;
	for (; *v >= '0' && *v <= '9'; v++)
		n = n * 10 + (uint32_t)(*v - '0');
	return n;
}

int option_lists(const char *value, const char *word)
{
	if (!value || starts_with(value, "all"))
		return 1;
	for (const char *s = value; *s && *s != ' '; s++)
		if (s == value || s[-1] == ',') {
			const char *w = word, *p = s;
			while (*w && *p == *w)
				p++, w++;
			if (!*w && (!*p || *p == ',' || *p == ' '))
				return 1;
		}
	return 0;
}

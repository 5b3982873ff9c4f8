/* QEMU's option strings: key=value,key=value, a comma in a value doubled. No I/O. */
#ifndef ADIT_CONTROL_VM_QOPTS_H
#define ADIT_CONTROL_VM_QOPTS_H

#include <stdbool.h>
#include <stddef.h>

struct qopts_item {
	char *key;   /* NULL: a bare word (an implied key's value, or a flag) */
	char *value; /* never NULL */
};

/* Zeroed is empty. */
struct qopts {
	struct qopts_item *at;
	size_t count;
};

/* Reads text. implied: the key that a first bare word stands for ("driver" for -device),
 * or NULL. 0, or -1 when memory is short. */
int qopts_parse(struct qopts *o, const char *text, const char *implied);

/* Whether text has more than QOPTS_MAX keys. What is done with an option may take as long as the
 * square of how many it has, and whose words it has may wish for that; no VM has as many. */
enum { QOPTS_MAX = 1000 };
bool qopts_is_long(const char *text);

/* The last value of key (what QEMU uses), NULL when absent. */
const char *qopts_get(const struct qopts *o, const char *key);

/* Whether key is on: key=on, yes, true, y or the bare word key. */
bool qopts_is_on(const struct qopts *o, const char *key);

/* Whether key can be one of QEMU's: letters, digits, '.', '_' and '-'. With others in it the text
 * would be read as other options than o has. */
bool qopts_is_key(const char *key);

/* Replaces every occurrence of key by one (at the place of the first, else at the end). -1 with
 * what is no key, and when memory is short. */
int qopts_set(struct qopts *o, const char *key, const char *value);

/* Removes every occurrence of key, also as a bare word. Returns how many. */
size_t qopts_remove(struct qopts *o, const char *key);

/* Removes every key that begins with prefix. Returns how many. */
size_t qopts_remove_prefix(struct qopts *o, const char *prefix);

/* Removes all but the keys (and bare words) that keep is true of. */
void qopts_keep(struct qopts *o, bool (*keep)(const char *key));

/* The text again; the caller frees it. The item whose key is implied is written first
 * as key=value, which QEMU takes as well. */
char *qopts_text(const struct qopts *o);

void qopts_fini(struct qopts *o);

#endif

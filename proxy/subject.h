/* A certificate's subject held against a pattern of one: attribute by attribute, so that a comma in
 * a name is no border between two. */
#ifndef ADIT_PROXY_SUBJECT_H
#define ADIT_PROXY_SUBJECT_H

#include <stdbool.h>

/*
 * subject is as RFC 2253 writes it, with a backslash before what is its own in a value, as
 * session_peer has it behind "x509:". pattern is one of:
 *
 * - `CN=*,O=Example`: a subject of just these parts, in this order: a name's parts at its commas,
 *   and a part's attributes at its `+`; each attribute's type and value with the shell's wildcards,
 *   which reach no further than the attribute. `*` alone stands for any one attribute. Blanks
 *   around commas are nothing.
 * - `NAME`, no `=` in it: a pattern of the common name (CN), whatever else is in the subject; none
 *   where it has several
 * - `*`: any
 *
 * A backslash is itself: what the log shows can be copied.
 */
bool subject_match(const char *pattern, const char *subject);

#endif

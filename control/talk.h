/*
 * talk/: what the two sides say to each other, and what each writes down before it acts on it.
 * A cookie is the JSON that a phase hands to the next one on the other side; a talk is the stream
 * that carries them; the journal is a file a job and side that says what was promised and decided;
 * what is kept of a VM that came to stay is set aside when it goes on to another host.
 * It refuses a cookie that does not fit its schema to the letter, whoever sent it, and a record
 * that cannot be read, is not this host's own, or is another process's at the moment. What a cookie
 * or a record means is not its matter: it acts on none. Called by check/ (CHECK), source/ and
 * destination/ (both ends of a migration, and its recovery), host/ (the guardian settles records, a
 * VM that was kept is started), and by cli/ and lib/, which prepare the folder.
 */
#ifndef ADIT_CONTROL_TALK_H
#define ADIT_CONTROL_TALK_H

#include "control/talk/cookie.h"
#include "control/talk/journal.h"
#include "control/talk/kept.h"
#include "control/talk/talk.h"

#endif

/*
 * The journal: a file a job and side in the state folder, so that a killed adit or a
 * rebooted host knows what was promised and what was decided. A record is on the disk
 * before the act that it announces.
 *
 *   STATE/journal/source-JOB.json        what the source has announced
 *   STATE/journal/destination-JOB.json   what the destination has made and decided
 *   STATE/journal/....lock               held by the process that steers the job
 *   STATE/host-id                        who this host is, to those that ask again: anew where
 *                                        the folder journal had to be made
 *
 * A record is one JSON object with at least "adit":1, "job" and "state"; the rest is its
 * writer's. Its file has room for every later record of the job from the first on, and is
 * written in place (base/slots.h): a full disk does not keep a decision from being written.
 */
#ifndef ADIT_CONTROL_TALK_JOURNAL_H
#define ADIT_CONTROL_TALK_JOURNAL_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "base/strvec.h"

enum journal_side { JOURNAL_SOURCE, JOURNAL_DESTINATION };

enum { JOURNAL_HOST_ID_LEN = 32 };

struct journal;

/* The folder for state: given (may be NULL), else /var/lib/adit for root, else
 * $XDG_STATE_HOME/adit or $HOME/.local/state/adit; made (mode 0700) with its parts where
 * it is missing. The path goes to buf. ERR_CONFIG or ERR_SYSTEM name it and the mend. */
int journal_prepare(const char *given, char *buf, size_t size, struct err *e);

/* The same folder for who only reads what others left there: nothing is made. 1; 0 where none
 * was given and adit has never made one; ERR_SYSTEM or ERR_CONFIG where the one that was given
 * is not there, cannot be read, or has no journal in it. */
int journal_find(const char *given, char *buf, size_t size, struct err *e);

/* This host's id: 32 hex digits, made at random the first time. buf of at least
 * JOURNAL_HOST_ID_LEN + 1 bytes. */
int journal_host_id(const char *state_dir, char *buf, struct err *e);

/* Takes the job's lock; a folder that has gone since journal_prepare is made again. No file is
 * written yet. ERR_REFUSED when another living process holds it. NULL with *e. */
struct journal *journal_open(const char *state_dir, enum journal_side side, const char *job,
			     struct err *e);

/* The record that is there (owned by the caller), NULL with ERR_NONE when there is none,
 * NULL with ERR_CONFIG when it cannot be read. */
json_t *journal_read(const struct journal *j, struct err *e);

/* The record of a job that another process may hold, as it is now: to be looked at, not to be
 * acted on. Owned by the caller; NULL when there is none, or it cannot be read. */
json_t *journal_peek(const char *state_dir, enum journal_side side, const char *job);

/* Replaces the record, atomically and durably. record is borrowed. A folder that was removed
 * meanwhile is made again, and said. When it fails *e names the folder and the mend, and the same
 * may be tried again; what is read then is the old record, or, where only the last fsync failed,
 * the new one. Records after the first, and after any that is half as long again, need no new room.
 */
int journal_write(struct journal *j, const json_t *record, struct err *e);

/* The job is settled: removes the record durably, and gives up the lock. Frees j. NULL is
 * fine. -1 where it cannot be removed now: then it says that it is settled, where that can be
 * written, which is the same as none to all who read it; it goes with the next journal_list. */
int journal_remove(struct journal *j);

/* Gives up the lock; the record stays. Frees j. NULL is fine. */
void journal_close(struct journal *j);

/* The record's path, for journal_settle; the journal's. */
const char *journal_path(const struct journal *j);

/* Removes the record at path, and its lock if nobody holds that. Safe after fork: for a process
 * that has outlived the one which wrote the record. 0, or -1 with errno where there is none or it
 * cannot be removed. */
int journal_settle(const char *path);

/* Ids of the jobs that have a record on that side, in no order, appended to jobs; what is settled
 * is removed meanwhile. 0, or ERR_SYSTEM. */
int journal_list(const char *state_dir, enum journal_side side, struct strvec *jobs, struct err *e);

#endif

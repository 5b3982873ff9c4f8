/*
 * What the files of the destination's side of a migration share; nobody else
 * includes it. A file calls only those that stand below it here.
 *
 *   service.c       which jobs there are; who may have one; streams to their job
 *   job_found.c     adit serve starts and finds records
 *   job.c           a job is made, with the table of its phases (job_phase.c)
 *   phase_*.c       a phase each (job_phase.h); none calls another
 *   job_end.c       a job is freed
 *   job_check.c     first in Prepare, and all of CHECK: what can be said without making anything
 *   job_twin.c      Prepare: images, the twin started or taken
 *   job_hook.c      Prepare: the operator's program starts the twin
 *   job_connect.c   Prepare: the twin's monitor, and its drives beside the source's
 *   job_ram_set.c   Prepare: RAM's settings
 *   job_claims.c    names, images and monitors that others may have
 *   job_backing.c   Prepare: what stands below images that are copied without it
 *   job_secret.c    Begin: QEMU's secrets, for qemu-img and the twin
 *   job_mend.c      postcopy that broke is taken up
 *   job_lost.c      after the decision: the twin has gone
 *   job_force.c     postcopy has begun: it can live only here
 *   job_streams.c   Prepare and Perform: descriptors, exports, the relays
 *   job_ram.c       RAM's streams
 *   job_limits.c    the VM's I/O limits, as they are at the source
 *   job_prepared.c  PREPARED
 *   job_images.c    whether the twin's images still have their names
 *   job_record.c    its record in the journal, and what can be told from one
 *   job_keep.c      Prepare and Finish: how to start the VM again, with --persistent
 *   job_dirs.c      the folders of the job's sockets
 *   job_count.c     how many are under way
 *   job_core.c      the way from phase to phase, failure, timers, what comes from outside
 */
#ifndef ADIT_CONTROL_DESTINATION_JOB_I_H
#define ADIT_CONTROL_DESTINATION_JOB_I_H

#include <event2/event.h>
#include <jansson.h>
#include <sys/queue.h>

#include "base/log.h"
#include "control/check.h"
#include "control/destination/job_phase.h"
#include "control/destination/job_shares.h"
#include "control/destination/service.h"
#include "control/host.h"
#include "control/qmp.h"
#include "control/talk.h"
#include "control/twin.h"
#include "control/vm.h"
#include "proxy/relay.h"
#include "proxy/rights.h"
#include "proxy/router.h"

struct job_disk {
	struct job *job;
	const struct vmdesc_disk *desc;
	char node[256];	  /* in the twin: the image's, below filters */
	char file_id[64]; /* of its image, "" when not known */
	char window[32];  /* the node for the copy, where node itself is not it: job_streams.c */
	char *raw_file;	  /* the file of a raw image, which the window is over; NULL: over node */
	bool larger, sparse, direct; /* than desc's; as of struct twin_drive */
	struct relay *relay;
	bool connected;
};

enum { JOB_CHANNELS_MAX = 256 };

/* For CONFIRM, and then for ENDED: the source QEMU takes its time. */
enum { JOB_CONFIRM_MS = 60000 };

/* Whether it runs while its RAM still comes. */
enum job_postcopy {
	JOB_POSTCOPY_NOT,
	JOB_POSTCOPY_SAID,  /* so says the source, or the record: CONFIRM may take long */
	JOB_POSTCOPY_BEGUN, /* so says the twin: it can live only here, whatever the source says */
};

/* ---- what is one file's, or one phase's ---- */

/* The timers and the doubt of whatever phase it is (job_core.c). */
struct job_core {
	struct event *ev_deadline, *ev_look, *ev_suspect;
	struct err suspect; /* a failure for which a better reason may still come */
};

/* What BEGIN asks for, and how the twin is to be had. */
struct job_wish {
	const char *dest_qmp; /* borrowed from BEGIN */
	bool described;	      /* desc is read */
	bool launched;	      /* the twin is ours */
	bool persistent;      /* it is kept how to start it again */
	bool only_check;      /* it began with CHECK: nothing is made */
};

/* Preparing: job_check.c, job_secret.c, job_twin.c, job_hook.c, job_connect.c. */
struct job_prepare {
	struct job_check *check; /* while the checks run */
	int *secrets;		 /* memory files, in the order of desc.secrets */
	size_t secret_count;
	size_t image_at; /* the next image to be seen to */
	int scratch_fd;	 /* what qemu-img says */
	struct proc *tool;
	struct {
		struct proc *proc; /* while it starts the VM */
		int in, out;	   /* the VM's description; its answer */
		bool used;
	} hook;
	unsigned long long connect_until_ms;
};

/* The twin: its process, if it is ours, and its monitor. */
struct job_qemu {
	struct proc *proc;
	int log_fd;
	struct qmp *qmp;
	bool ready; /* the monitor */
	pid_t pid;  /* with started, as process.h says; 0: not known */
	unsigned long long started;
};

/* job_record.c */
struct job_saving {
	const char *state; /* that could not be written yet, though it holds; NULL: none */
	struct event *ev;
};

/* job_ram.c, job_ram_set.c, job_mend.c */
struct job_ram {
	unsigned multifd;
	const char *compression; /* borrowed from BEGIN */
	bool xbzrle, postcopy, preempt;
	struct relay **relays; /* in the order of the streams */
	size_t count;	       /* streams that came */
	bool listens;	       /* QEMU does, on path in dir */
	char status[24];       /* of QEMU's migration, as its events have it */
	unsigned long long recover_until_ms;
	json_t *answer; /* what a source that asked again hears once QEMU listens anew */
	char dir[108], path[108];
};

/* job_streams.c */
struct job_nbd {
	char dir[160], path[180];
	int fd;
};

/* Finishing, and decided. */
struct job_finish {
	uint64_t came_us, resumed_us; /* when FINISH came, and QEMU's RESUME; 0: it did not */
	unsigned long long until_ms;
};

/* job_lost.c: its monitor has gone. */
struct job_lost {
	unsigned long long until_ms; /* its process is looked for; 0: it is not */
};

struct job_asked {
	char state[65]; /* the source's when it asks again */
	unsigned long long until_ms;
};

struct job_runs {
	enum {
		JOB_TWIN_IS_HERE,
		JOB_TWIN_LOADS,	   /* taken over in postcopy while its devices were still loading */
		JOB_TWIN_WAS_HERE, /* and the source knows: only its ENDED is awaited */
	} twin;
	enum {
		JOB_CONFIRM_AWAITED,
		JOB_CONFIRM_CAME,  /* the twin is asked whether it lives */
		JOB_CONFIRM_SAVES, /* "confirmed" cannot be written: it is tried again */
	} confirm;
	unsigned long long save_until_ms;
	struct event *ev_arrive;
};

/* What the source is told once all is undone. */
enum job_word { JOB_WORD_NONE, JOB_WORD_ABORT, JOB_WORD_ABORTED };

enum {
	JOB_UNDO_DUE = 1 << 0,
	JOB_UNDO_GUARDIAN = 1 << 1, /* the guardian undoes */
	JOB_UNDO_QEMU = 1 << 2,	    /* the QEMU that waited is being put back as it was */
};

struct job_over {
	unsigned undoes; /* what is still being undone: JOB_UNDO_... */
	enum job_word word;
	struct err why;
	struct event *ev_reap;
};

/* Owned by its service, which frees it from the loop once it is over. */
struct job {
	/* everybody's */
	struct service *service;
	TAILQ_ENTRY(job) listed;
	struct session *session;     /* borrowed from the router; NULL once it has ended */
	const struct rights *rights; /* the session's, as they were when the job began */
	struct talk *talk;
	const struct job_phase *const *phases; /* the table */
	enum job_state state, before;
	char id[COOKIE_JOB_LEN + 1];
	char route[COOKIE_JOB_LEN + 5]; /* "job:ID" at the router, or empty */
	char peer[256];
	struct share *share; /* the peer's; NULL: found in the journal */
	struct log_ctx about;
	struct vmdesc desc;
	struct job_wish wish;
	struct journal *journal; /* its lock is held from BEGIN or RECOVER to the end */
	json_t *record;		 /* as it was last written or read */
	struct guardian *guardian;
	struct twin twin;
	struct job_qemu qemu;
	struct job_disk *disks;
	size_t disk_count;
	bool run; /* FINISH wants it to run */
	enum job_postcopy postcopy;

	/* a file's, or a phase's with its helpers */
	struct job_core core;
	struct job_prepare prepare;
	struct job_saving saving;
	struct job_ram ram;
	struct job_nbd nbd;
	struct job_finish finish;
	struct job_lost lost;
	struct job_asked asked;
	struct job_runs runs;
	struct job_over over;
};

struct service {
	struct event_base *base;
	struct router *router;
	struct service_config config;
	bool open;			    /* jobs are taken */
	bool draining;			    /* but no new ones */
	char host[JOURNAL_HOST_ID_LEN + 1]; /* who this host is to a source that asks again */
	TAILQ_HEAD(, job) jobs;
	struct shares shares;	     /* of the peers that have any */
	struct vms *vms;	     /* launched here, and handed over */
	struct leftovers *leftovers; /* to be removed, once that can be done */
	json_t *probes;		     /* what QEMU binaries can do, for check_probe_binary */
	struct strvec found;	     /* records of the start that are still to be gone over */
	struct event *ev_found;
	unsigned long long found_until_ms;
};

/* job_core.c */
const struct job_phase *job_phase(const struct job *j);
/* Whether trait holds in the phase. */
bool job_is(const struct job *j, enum job_trait trait);
/* The next phase, which begins at once, and may have gone on to another by then. False, and the job
 * ends by the safe way of the phase that it is in, where that has no such way. */
bool job_enter(struct job *j, enum job_state state);
/* The phase's one deadline is so far off from now on; its `over` follows. Entering sets it. */
void job_deadline(struct job *j, uint64_t ms);
/* There is none any more, for the reason that the phase states. */
void job_no_deadline(struct job *j);
/* The phase's `look` follows so much later, unless it has been left. */
void job_look(struct job *j, uint64_t ms);
void job_no_look(struct job *j);
/* The job has failed here: undone, and the source told, where the phase has nothing else. Once it
 * is decided, only logged. */
void job_fail(struct job *j, const struct err *e);
/* The same in a moment: who ended, and why, may show meanwhile. */
void job_suspect(struct job *j, const struct err *e);
/* That is not waited for any more; the next one counts again. */
void job_no_suspect(struct job *j);
/* Everything is undone; then the source hears word. */
void job_return(struct job *j, enum job_word word, const struct err *why);
int job_say(struct job *j, json_t *msg);
/* Leaves the list on a later turn of the loop. What is in the journal stays. */
void job_over(struct job *j);
/* The same, where no last word is on its way. */
void job_over_at_once(struct job *j);
/* Nothing more is said but why: the source asks again, and the journal knows. */
void job_leave_to_journal(struct job *j, const char *why);
/* What came, to the phase, if it takes that. */
void job_take_cookie(struct job *j, enum cookie_kind kind, const json_t *msg);
void job_take_event(struct job *j, const char *name, const json_t *data);
void job_take_stream(struct job *j, struct session *s, struct stream *stream, const char *target);
void job_qemu_exited(struct job *j, const struct err *why);
/* A phase's take: a cookie that it takes, but not now. */
void job_out_of_order(struct job *j, enum cookie_kind kind);
void job_no_streams(struct stream *stream);
/* e is why the monitor of the twin has gone that came with this very job. */
void job_prefix_gone(const struct job *j, struct err *e);
/* The monitor is given up. */
void job_drop_qmp(struct job *j);
extern const struct talk_ops job_talk_ops;
extern const struct qmp_ops job_qmp_ops;
/* router_watch_session's. */
void job_session_ended(void *ctx, struct session *s, const struct err *why);
/* The timers. -1: no memory. */
int job_core_init(struct job *j, struct event_base *base);
void job_core_fini(struct job *j);

/* job_count.c */
/* Whether it has begun and is not yet settled; what it knows is to be in the journal, too. */
bool job_is_under_way(const struct job *j);
/* Counts what each peer has under way (share->held), but for questions about a job; of all. */
unsigned service_count_jobs(struct service *s);

/* job_dirs.c */
/* The folder for sockets, which somebody may have removed while adit serve ran: it is made again,
 * and said. ERR_SYSTEM names it. */
int service_keep_run_dir(const struct service *s, const struct rights *rights, struct err *e);
/* Makes the twin's private folder, which the guardian knows of. */
int job_make_folder(struct job *j, struct err *e);
/* The folder of the job's NBD socket, and that of RAM's. */
void job_name_nbd(const struct service *s, const char *job, char *buf, size_t size);
void job_ram_name(const struct service *s, const char *job, char *buf, size_t size);

/* job_keep.c: nothing without `persistent` */
/* Writes how to start the twin again, under names that it has until the decision. */
int job_keep_write(struct job *j, struct err *e);
/* Gives both files their names: kind 0 is the script, 1 the JSON. */
void job_keep_decided(struct job *j);
void job_keep_path(const struct job *j, unsigned kind, bool decided, char *buf, size_t size);

/* job_record.c */
enum job_twin_life { JOB_TWIN_GONE, JOB_TWIN_LIVES, JOB_TWIN_UNKNOWN };

/* Takes the job's lock, starts its guardian and writes "preparing" with all that is about
 * to be made. */
int job_record_begin(struct job *j, struct err *e);
/* "decided" or "confirmed", with the twin's process, before what it announces. When it
 * fails: as journal_write. */
int job_record_write(struct job *j, const char *state, struct err *e);
/* The same where the VM lives by it, and nothing is undone any more whether it can be written or
 * not: what cannot is tried again until it can, or the host has gone; one line tells of each
 * change. state is a literal. */
void job_record_keep(struct job *j, const char *state);
/* Tries to write what is unsaved in a moment. */
void job_wait_save(struct job *j);
/* saving.ev's. */
void job_record_due(evutil_socket_t fd, short what, void *ctx);
/* The twin has surely gone: the folders of its sockets go, which nobody else needs. */
void job_record_clean_sockets(const struct service *s, const json_t *record);
/* Who this host was when the job began: its record's word, since the host's id goes with the
 * folder; without a record who it is now. */
const char *job_record_host(const struct job *j);
/* The job is settled here. */
void job_record_remove(struct job *j);
/* Reads the record into j->record, opening the journal if it is not open. False: there is
 * none (e is ERR_NONE), or it cannot be had (e). */
bool job_record_read(struct job *j, struct err *e);
/* Takes over what the record that was read says of the twin: what is written next has it too. */
void job_record_take(struct job *j);
bool job_record_is(const json_t *record, const char *state);
/* Whether the guardian of the job still lives: then it undoes, or is about to end. */
bool job_record_guarded(const json_t *record);
enum job_twin_life job_record_twin(const json_t *record);
/* The twin has surely gone: may what the job has made be removed and the source resume?
 * False with e's reason when what the VM did here would be lost, or harm it there. */
bool job_record_may_drop(const json_t *record, struct err *e);
/* Removes what the record lists, a twin that nobody guards included. */
void job_record_clean(const struct service *s, const json_t *record);

/* job_images.c */
/* Remembers which files the twin's images are, now that it has them open. */
void job_images_note(struct job *j);
/* Whether they still are where they were: one that is not would go with its QEMU. 0, or an error
 * that names it. */
int job_images_there(const struct job *j, struct err *e);

/* job_prepared.c */
/* Says PREPARED. */
void job_prepared(struct job *j);

/* job_limits.c: the VM's I/O limits as they are at the source. Adds to b, which is new, what sets
 * them in the twin; and what could not be set, told from b once it has run, to the notes. */
void job_limits_add(struct job *j, struct qmp_batch *b);
void job_limits_tell(struct job *j, const struct qmp_batch *b);

/* job_ram.c */
/* What BEGIN asks for. */
void job_ram_read(struct job *j, const json_t *msg);
/* A stream "ram" or, of several, "ram/K"; number is what follows "ram". Before FINISH. */
void job_ram_take(struct job *j, struct session *s, struct stream *stream, const char *number);
/* Whether the job has such a stream, and its number; else it is refused. */
bool job_ram_number(const struct job *j, struct stream *stream, const char *number, size_t *k);
/* Whether it is the turn of number k; else it is refused. */
bool job_ram_is_next(const struct job *j, struct stream *stream, size_t k);
/* A place for each stream. False: no memory. */
bool job_ram_places(struct job *j);
/* The next stream, until QEMU listens, which is joined then. */
void job_ram_hold(struct job *j, struct session *s, struct stream *stream);
/* QEMU listens: all that came so far are connected, the first first. */
void job_ram_join(struct job *j);
/* A folder for the socket that QEMU listens on. */
int job_ram_make_folder(struct job *j, struct err *e);
void job_ram_drop(struct job *j, const char *reason);
/* Removes the folder of RAM's socket. */
void job_ram_remove(struct job *j);
/* A phase's take: keeps what the twin's events say of its migration. */
void job_take_status(struct job *j, const char *name, const json_t *data);

/* job_streams.c */
/* Streams under "job:ID" come to j. */
int job_route(struct job *j, struct err *e);
/* Opens the twin's disks to the copy; then job_prepared. */
void job_export(struct job *j);
/* A phase's stream: disks and RAM. */
void job_take_disk_or_ram(struct job *j, struct session *s, struct stream *stream,
			  const char *what);
/* The commands that take the twin's exports away. */
struct qmp_batch *job_closing_batch(struct job *j, enum qmp_need need);
void job_drop_streams(struct job *j, const char *reason);
void job_remove_nbd(struct job *j);

/* job_force.c */
/* Postcopy has begun in the twin: the source VM cannot go on any more, so that nobody may
 * undo the job from now on. */
void job_force(struct job *j);
/* Whether the twin has what it takes to run, by what its QEMU says. */
bool job_has_arrived(const struct job *j, const char *migration, const char *status);
/* Of several phases: a phase's take, fail, talk_ended and qemu_ended before the decision. Once
 * postcopy has begun nothing is undone: the job is finished without its source. */
void job_take_migration(struct job *j, const char *name, const json_t *data);
void job_take_resume(struct job *j, const char *name, const json_t *data);
void job_take_abort(struct job *j, const json_t *msg);
void job_take_finish(struct job *j, const json_t *msg);
void job_fail_or_finish(struct job *j, const struct err *why);
void job_source_gone(struct job *j, const struct err *why);
void job_qemu_gone(struct job *j, const struct err *why);

/* job_lost.c: after the decision */
/* The twin has surely gone. What the job has made is removed, and the source told that it never
 * runs here. A phase's qemu_exited. */
void job_lost(struct job *j, const struct err *why);
/* The twin's monitor has gone. Whether the twin has is found out. */
void job_missing(struct job *j, const struct err *why);
/* The same, told as that of the twin which came with this very job. */
void job_twin_missing(struct job *j, const struct err *why);
/* A phase's look, while that is found out. */
void job_lost_look(struct job *j);

/* job_mend.c */
/* RECOVERED with that outcome. */
json_t *job_recovered(const struct job *j, const char *outcome);
/* Postcopy is to be taken up (JOB_RUNS): the twin is told to listen, and then the source answer,
 * which is owned from now on; where the twin cannot, job_recover_not_yet with the reason. So the
 * source's QEMU is not told of a way that leads nowhere: one (7.2) that was refused once stays in
 * that attempt. */
void job_ram_listen_again(struct job *j, json_t *answer);
/* Postcopy's streams come again. */
void job_ram_take_again(struct job *j, struct session *s, struct stream *stream,
			const char *number);
/* A phase's look: the twin is told to listen. */
void job_ram_recover_look(struct job *j);
/* The source is told that the VM is here, and why the rest of its RAM cannot be taken now: it
 * asks again. The twin's monitor is kept for that. */
void job_recover_not_yet(struct job *j, const char *reason);
/* The source is told that the twin gave up while it loaded its devices: nothing brings it on. */
void job_recover_lost(struct job *j);

/* job_secret.c */
/* Takes what is in the secrets of BEGIN, msg, and leaves their names. ERR_REFUSED. */
int job_secrets_take(struct job *j, json_t *msg, struct err *e);
/* Says which of them are not handed over, and why: what adit launches needs each. */
void job_secrets_check(const struct job *j, struct check *c);
/* The twin has its own. */
void job_secrets_drop(struct job *j);

/* job_backing.c */
/* Holds what is below the images that are to be made to the rules, and lists it in
 * twin.chain. ERR_REFUSED. */
int job_check_backing(struct job *j, struct err *e);

/* job_claims.c */
/* Whether it is before the decision, or being undone: its images are nobody else's. */
bool job_claims(const struct job *j);
/* Whether a job that is under way has path as an image, and it or this one (copy) is to write to
 * it: its twin does not hold QEMU's locks as long as it waits. */
bool job_image_is_planned(const struct job *j, const char *path, bool copy);
/* Whether image at of the plan is nobody else's: no other one of the plan's, and of no job
 * that is under way. Two may have a file in common that neither writes to. ERR_REFUSED. */
int job_check_image(const struct job *j, const struct twin *plan, size_t at, struct err *e);
/* Whether a VM of that name may be made, and the monitor that it is to go to be told
 * anything; nothing is made. ERR_REFUSED. */
int job_check_name(const struct job *j, struct err *e);
int job_check_dest_qmp(const struct job *j, struct err *e);

/* job_ram_set.c */
/* Sets the twin's capabilities and parameters; there is its query-migrate-capabilities.
 * Calls job_export, or fails the job with what it cannot do. */
void job_ram_prepare(struct job *j, const json_t *there);

/* job_connect.c */
/* Talks to the monitor twin.qmp; goes on with job_ram_prepare once its drives are matched. */
void job_twin_connect(struct job *j);
/* Of phase preparing: its look; that the monitor can be talked to, and has gone. */
void job_connect_look(struct job *j);
void job_connect_ready(struct job *j);
void job_connect_ended(struct job *j, const struct err *why);

/* job_hook.c */
/* Has the operator's program start a QEMU that waits; goes on with job_twin_connect. */
void job_hook_start(struct job *j);
/* Its deadline. */
void job_hook_due(struct job *j);

/* job_twin.c */
void job_begin(struct job *j);

/* job_check.c */
/* The checks; then job_begin, or job_fail with the first error; for only_check CHECKED is
 * said and the job is over. */
void job_check_start(struct job *j);
/* Gives them up. */
void job_check_drop(struct job *j);

/* job_end.c */
void job_free(struct job *j);

/* phase_over.c, phase_runs.c: ev_reap's, ev_arrive's. */
void job_reap_due(evutil_socket_t fd, short what, void *ctx);
void job_arrive_due(evutil_socket_t fd, short what, void *ctx);

/* job.c */
struct job *job_new(struct service *s, struct session *session, struct stream *stream);
/* The same without a talk, for a record that adit serve has found at its start. */
struct job *job_new_found(struct service *s, const char *id);

/* job_found.c */
/* Lists the records that are there (s->found); goes over those of the list whose guardians are
 * not at it any more. Whether some are left: they are to be looked at again. */
void job_recover_list(struct service *s);
bool job_recover_all(struct service *s);

#endif

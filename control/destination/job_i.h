/*
 * What the files of the destination's side of a migration share; nobody else
 * includes it.
 *
 *   service.c      which jobs there are; who may have one; streams to their job
 *   job.c          a job's life and states, the talk with the source, the end
 *   job_twin.c     Prepare: images, the twin started or taken, its monitor
 *   job_keep.c     Prepare and Finish: how to start the VM again, with --persistent
 *   job_hook.c     Prepare: the operator's program starts the twin
 *   job_images.c   whether the twin's images still have their names
 *   job_backing.c  Prepare: what stands below images that are copied without it
 *   job_secret.c   Begin: QEMU's secrets, for qemu-img and the twin
 *   job_streams.c  Prepare and Perform: descriptors, exports, the relays
 *   job_ram.c      RAM's settings and streams
 *   job_check.c    first in Prepare, and all of CHECK: what can be said without making anything
 *   job_finish.c   Finish and Confirm: has everything arrived, the decision, the run
 *   job_record.c   its record in the journal, and what can be told from one
 *   job_recover.c  the source asks again; adit serve starts and finds records
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

/* Owned by its service, which frees it from the loop once it is over. */
struct job {
	struct service *service;
	TAILQ_ENTRY(job) listed;
	struct session *session;     /* borrowed from the router; NULL once it has ended */
	const struct rights *rights; /* the session's, as they were when the job began */
	struct talk *talk;
	enum job_state state;
	char id[COOKIE_JOB_LEN + 1];
	char route[COOKIE_JOB_LEN + 5]; /* "job:ID" at the router, or empty */
	char peer[256];
	struct share *share; /* the peer's; NULL: found in the journal */
	struct log_ctx about;

	struct vmdesc desc;
	bool described, launched;
	const char *dest_qmp;
	bool persistent; /* it is kept how to start it again */
	struct {
		struct proc *proc; /* while it starts the VM */
		int in, out;	   /* the VM's description; its answer */
		bool used;
	} hook;

	struct job_check *check; /* while the checks run */
	bool only_check;	 /* it began with CHECK: nothing is made */
	struct journal *journal; /* its lock is held from BEGIN or RECOVER to the end */
	json_t *record;		 /* as it was last written or read */
	const char *unsaved;	 /* the state that could not be written yet, though it holds */
	struct guardian *guardian;
	int *secrets; /* memory files, in the order of desc.secrets */
	size_t secret_count;
	struct twin twin;
	pid_t twin_pid; /* with twin_started, as process.h says; 0: not known */
	unsigned long long twin_started;
	size_t image_at; /* the next image to be seen to */
	int scratch_fd;	 /* what qemu-img says */
	struct proc *tool;
	struct proc *qemu;
	int log_fd;
	struct qmp *qmp;
	bool qmp_ready;
	unsigned long long connect_until_ms;

	struct job_disk *disks;
	size_t disk_count;
	struct {
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
	} ram;
	char nbd_dir[160], nbd_path[180];
	int nbd_fd;

	bool putting_back;		/* the QEMU that waited is being put back as it was */
	bool undoing;			/* the guardian undoes */
	bool answer_due;		/* after that the source is told ABORTED */
	struct err failed;		/* or ABORT with this */
	uint64_t finish_us, resumed_us; /* when FINISH came, and QEMU's RESUME; 0: it did not */
	bool run;			/* FINISH wants it to run */
	bool forced;	 /* postcopy has begun: it can live only here, whatever the source says */
	bool postcopy;	 /* it runs while its RAM still comes: CONFIRM may take long */
	bool confirming; /* CONFIRM came; the twin is asked whether it lives */
	bool loading;	 /* taken over in postcopy while its devices were still loading */
	unsigned long long confirm_until_ms; /* "confirmed" cannot be written: it is tried again */
	bool missing;			     /* its monitor has gone: has its process, too? */
	bool past;	/* it lived here, and the source knows: only its ENDED is awaited */
	char asked[65]; /* the source's state when it asks again */
	unsigned long long finish_until_ms;
	struct err suspect;
	struct event *ev_timer; /* one wait at a time, by state */
	struct event *ev_suspect;
	struct event *ev_save, *ev_arrive;
	struct event *ev_reap;
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

/* service.c: counts what each peer has under way (share->held), but for questions about a job; of
 * all. */
unsigned service_count_jobs(struct service *s);

/* job.c */
struct job *job_new(struct service *s, struct session *session, struct stream *stream);
/* The same without a talk, for a record that adit serve has found at its start. */
struct job *job_new_found(struct service *s, const char *id);
void job_free(struct job *j);
/* The next phase; its time limit, if it has one of its own, begins. False, and the job ends by the
 * safe way of the phase that it is in, where the table (job_phase.c) has no such way: the caller
 * leaves it alone. */
bool job_enter(struct job *j, enum job_state state) __attribute__((warn_unused_result));
/* The job has failed here: undone, and the source told. Once it is decided, only logged. */
void job_fail(struct job *j, const struct err *e);
/* The same in a moment: who ended, and why, may show meanwhile. */
void job_suspect(struct job *j, const struct err *e);
int job_say(struct job *j, json_t *msg);
/* Leaves the list on a later turn of the loop. What is in the journal stays. */
void job_over(struct job *j);
/* Says PREPARED. */
void job_prepared(struct job *j);
void job_wait(struct job *j, uint64_t ms);

/* job_check.c */
/* The checks; then job_begin, or job_fail with the first error; for only_check CHECKED is
 * said and the job is over. */
void job_check_start(struct job *j);
/* Gives them up. */
void job_check_drop(struct job *j);

/* job_twin.c */
void job_begin(struct job *j);
void job_twin_due(struct job *j);
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
/* Commands and checks on the twin's monitor, once it is ready; calls job_prepared. */
void job_twin_ready(struct job *j);

/* Makes the twin's private folder, which the guardian knows of. */
int job_make_folder(struct job *j, struct err *e);
/* Talks to the monitor twin.qmp. */
void job_twin_connect(struct job *j);

/* job_keep.c: nothing without `persistent` */
/* Writes how to start the twin again, under names that it has until the decision. */
int job_keep_write(struct job *j, struct err *e);
/* Gives both files their names: kind 0 is the script, 1 the JSON. */
void job_keep_decided(struct job *j);
void job_keep_path(const struct job *j, unsigned kind, bool decided, char *buf, size_t size);

/* job_hook.c */
/* Has the operator's program start a QEMU that waits; goes on with job_twin_connect. */
void job_hook_start(struct job *j);
/* It has taken too long. */
void job_hook_due(struct job *j);

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

/* service.c */
/* The folder for sockets, which somebody may have removed while adit serve ran: it is made again,
 * and said. ERR_SYSTEM names it. */
int service_keep_run_dir(const struct service *s, const struct rights *rights, struct err *e);

/* job_images.c */
/* Remembers which files the twin's images are, now that it has them open. */
void job_images_note(struct job *j);
/* Whether they still are where they were: one that is not would go with its QEMU. 0, or an error
 * that names it. */
int job_images_there(const struct job *j, struct err *e);

/* job_streams.c */
/* Streams under "job:ID" come to j. */
int job_route(struct job *j, struct err *e);
/* job_limits.c: the VM's I/O limits as they are at the source. Adds to b, which is new, what sets
 * them in the twin; and what could not be set, told from b once it has run, to the notes. */
void job_limits_add(struct job *j, struct qmp_batch *b);
void job_limits_tell(struct job *j, const struct qmp_batch *b);

void job_export(struct job *j);
void job_take_stream(struct job *j, struct session *s, struct stream *stream, const char *target);
void job_close_exports(struct job *j);
/* The commands that take the twin's exports away. */
struct qmp_batch *job_closing_batch(struct job *j, enum qmp_need need);
void job_drop_streams(struct job *j, const char *reason);
void job_remove_nbd(struct job *j);
/* The folder of the job's NBD socket. */
void job_name_nbd(const struct service *s, const char *job, char *buf, size_t size);

/* job_ram.c */
/* What BEGIN asks for. */
void job_ram_read(struct job *j, const json_t *msg);
/* Sets the twin's capabilities and parameters; there is its query-migrate-capabilities.
 * Calls job_export, or fails the job with what it cannot do. */
void job_ram_prepare(struct job *j, const json_t *there);
/* A stream "ram" or, of several, "ram/K"; number is what follows "ram". */
void job_ram_take(struct job *j, struct session *s, struct stream *stream, const char *number);
void job_ram_drop(struct job *j, const char *reason);
/* Removes the folder of RAM's socket. */
void job_ram_remove(struct job *j);
/* That folder's name. */
void job_ram_name(const struct service *s, const char *job, char *buf, size_t size);
/* Keeps what the twin's events say of its migration. */
void job_ram_event(struct job *j, const char *name, const json_t *data);
/* Postcopy's streams come again, or the timer of their retry is due (JOB_RUNS). */
void job_ram_recover_due(struct job *j);
/* Postcopy is to be taken up (JOB_RUNS): the twin is told to listen, and then the source answer,
 * which is owned from now on; where the twin cannot, job_recover_not_yet with the reason. So the
 * source's QEMU is not told of a way that leads nowhere: one (7.2) that was refused once stays in
 * that attempt. */
void job_ram_listen_again(struct job *j, json_t *answer);

/* job_finish.c */
void job_finish(struct job *j, const json_t *msg);
void job_finish_due(struct job *j);
/* Postcopy has begun in the twin: the source VM cannot go on any more, so that nobody may
 * undo the job from now on. */
void job_force(struct job *j);
/* Nothing more is said but why: the source asks again, and the journal knows. */
void job_leave_to_journal(struct job *j, const char *why);
/* Such a job whose source has gone, or has failed: it is finished without. why is for the source,
 * if it can still be told. */
void job_finish_alone(struct job *j, const struct err *why);
/* A twin that was taken over while its devices loaded is made to run once it has them. */
void job_arrive(struct job *j);
/* ev_arrive's. */
void job_arrive_due(evutil_socket_t fd, short what, void *ctx);
/* CONFIRM and ENDED came. */
void job_confirm(struct job *j);
void job_ended(struct job *j, const json_t *msg);
/* After the decision: the twin's monitor has gone. Whether the twin has is found out. */
void job_missing(struct job *j, const struct err *why);
/* After the decision and before CONFIRMED: the twin has surely gone. What the job has made
 * is removed, and the source told that it never runs here. */
void job_lost(struct job *j, const struct err *why);

/* job_record.c */
enum job_twin_life { JOB_TWIN_GONE, JOB_TWIN_LIVES, JOB_TWIN_UNKNOWN };

/* Takes the job's lock, starts its guardian and writes "preparing" with all that is about
 * to be made. */
int job_record_begin(struct job *j, struct err *e);
/* "decided" or "confirmed", with the twin's process, before what it announces. When it
 * fails the old record stands. */
int job_record_write(struct job *j, const char *state, struct err *e);
/* The same where the VM lives by it, and nothing is undone any more whether it can be written or
 * not: what cannot is tried again until it can, or the host has gone; one line tells of each
 * change. state is a literal. */
void job_record_keep(struct job *j, const char *state);
/* Tries to write what is unsaved in a moment. */
void job_wait_save(struct job *j);
/* ev_save's. */
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

/* job_recover.c */
void job_recover(struct job *j, const json_t *msg);
void job_recover_due(struct job *j);
/* The source is told that the VM is here, and why the rest of its RAM cannot be taken now: it
 * asks again. The twin's monitor is kept for that. */
void job_recover_not_yet(struct job *j, const char *reason);
/* The source is told that the twin gave up while it loaded its devices: nothing brings it on. */
void job_recover_lost(struct job *j);
/* Lists the records that are there (s->found); goes over those of the list whose guardians are
 * not at it any more. Whether some are left: they are to be looked at again. */
void job_recover_list(struct service *s);
bool job_recover_all(struct service *s);

#endif

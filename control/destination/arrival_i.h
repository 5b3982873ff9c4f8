/*
 * What the files of the destination's side of a migration share; nobody else
 * includes it. A file calls only those that stand below it here.
 *
 *   service.c           which arrivals there are; who may have one; streams to their arrival
 *   arrival_found.c     adit serve starts and finds records
 *   arrival.c           an arrival is made, with the table of its phases (arrival_phase.c)
 *   phase_*.c           a phase each (arrival_phase.h); none calls another
 *   arrival_end.c       an arrival is freed
 *   arrival_check.c     first in Prepare, and all of CHECK: what can be said with nothing made
 *   arrival_twin.c      Prepare: images, the twin started or taken
 *   arrival_hook.c      Prepare: the operator's program starts the twin
 *   arrival_connect.c   Prepare: the twin's monitor, and its drives beside the source's
 *   arrival_ram_set.c   Prepare: RAM's settings
 *   arrival_claims.c    names, images and monitors that others may have
 *   arrival_backing.c   Prepare: what stands below images that are copied without it
 *   arrival_net.c       Prepare and Finish: the VM's networks here
 *   arrival_port.c      and those that it takes a program to put there
 *   arrival_secret.c    Begin: QEMU's secrets, for qemu-img and the twin
 *   arrival_mend.c      postcopy that broke is taken up
 *   arrival_lost.c      after the decision: the twin has gone
 *   arrival_force.c     postcopy has begun: it can live only here
 *   arrival_streams.c   Prepare and Perform: descriptors, exports, the relays
 *   arrival_ram.c       RAM's streams
 *   arrival_limits.c    the VM's I/O limits, as they are at the source
 *   arrival_prepared.c  PREPARED
 *   arrival_images.c    whether the twin's images still have their names
 *   arrival_record.c    its record in the journal, and what can be told from one
 *   arrival_keep.c      Prepare and Finish: how to start the VM again, with --persistent
 *   arrival_dirs.c      the folders of the arrival's sockets
 *   arrival_count.c     how many are under way
 *   arrival_core.c      the way from phase to phase, failure, timers, what comes from outside
 */
#ifndef ADIT_CONTROL_DESTINATION_ARRIVAL_I_H
#define ADIT_CONTROL_DESTINATION_ARRIVAL_I_H

#include <event2/event.h>
#include <jansson.h>
#include <sys/queue.h>

#include "base/log.h"
#include "control/check.h"
#include "control/destination/arrival_net_i.h"
#include "control/destination/arrival_phase.h"
#include "control/destination/service.h"
#include "control/host.h"
#include "control/qmp.h"
#include "control/talk.h"
#include "control/twin.h"
#include "control/vm.h"
#include "proxy/relay.h"
#include "proxy/rights.h"
#include "proxy/router.h"
#include "proxy/shares.h"

struct arrival_disk {
	struct arrival *arrival;
	const struct vmdesc_disk *desc;
	char node[256];	  /* in the twin: the image's, below filters */
	char file_id[64]; /* of its image, "" when not known */
	char window[32]; /* the node for the copy, where node itself is not it: arrival_streams.c */
	char *raw_file;	 /* the file of a raw image, which the window is over; NULL: over node */
	bool larger, sparse, direct; /* than desc's; as of struct twin_drive */
	struct relay *relay;
	bool connected;
};

enum { ARRIVAL_CHANNELS_MAX = 256 };

/* For CONFIRM, and then for ENDED: the source QEMU takes its time. */
enum { ARRIVAL_CONFIRM_MS = 60000 };

/* Whether it runs while its RAM still comes. */
enum arrival_postcopy {
	ARRIVAL_POSTCOPY_NOT,
	ARRIVAL_POSTCOPY_SAID,	/* so says the source, or the record: CONFIRM may take long */
	ARRIVAL_POSTCOPY_BEGUN, /* so says the twin: it lives only here, whatever the source says */
};

/* ---- what is one file's, or one phase's ---- */

/* The timers and the doubt of whatever phase it is (arrival_core.c). */
struct arrival_core {
	struct event *ev_deadline, *ev_look, *ev_suspect;
	struct err suspect; /* a failure for which a better reason may still come */
};

/* What BEGIN asks for, and how the twin is to be had. */
struct arrival_wish {
	const char *dest_qmp; /* borrowed from BEGIN */
	bool described;	      /* desc is read */
	bool launched;	      /* the twin is ours */
	bool persistent;      /* it is kept how to start it again */
	bool only_check;      /* it began with CHECK: nothing is made */
};

/* Preparing: arrival_check.c, arrival_secret.c, arrival_twin.c, arrival_hook.c and
 * arrival_connect.c. */
struct arrival_prepare {
	struct arrival_check *check; /* while the checks run */
	int *secrets;		     /* memory files, in the order of desc.secrets */
	size_t secret_count;
	int *inherited; /* what the twin has as PROC_KEEP_FIRST and on: secrets, then taps */
	size_t inherited_count;
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
struct arrival_qemu {
	struct proc *proc;
	int log_fd;
	struct qmp *qmp;
	bool ready; /* the monitor */
	pid_t pid;  /* with started, as process.h says; 0: not known */
	unsigned long long started;
};

/* arrival_record.c */
struct arrival_saving {
	const char *state; /* that could not be written yet, though it holds; NULL: none */
	struct event *ev;
};

/* arrival_ram.c, arrival_ram_set.c, arrival_mend.c */
struct arrival_ram {
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

/* arrival_port.c */
struct arrival_ports {
	struct arrival_port *at; /* of each network; NULL: none has begun */
	size_t waits;		 /* so many have not answered */
	void (*then)(struct arrival *a);
	enum arrival_state state; /* that `then` is for */
};

/* arrival_streams.c */
struct arrival_nbd {
	char dir[160], path[180];
	int fd;
};

/* Finishing, and decided. */
struct arrival_finish {
	uint64_t came_us, resumed_us; /* when FINISH came, and QEMU's RESUME; 0: it did not */
	unsigned long long until_ms;
};

/* arrival_lost.c: its monitor has gone. */
struct arrival_lost {
	unsigned long long until_ms; /* its process is looked for; 0: it is not */
};

struct arrival_asked {
	char state[65]; /* the source's when it asks again */
	unsigned long long until_ms;
};

struct arrival_runs {
	enum {
		ARRIVAL_TWIN_IS_HERE,
		ARRIVAL_TWIN_LOADS,    /* to run in postcopy once its devices are there */
		ARRIVAL_TWIN_WAS_HERE, /* and the source knows: only its ENDED is awaited */
	} twin;
	enum {
		ARRIVAL_CONFIRM_AWAITED,
		ARRIVAL_CONFIRM_CAME,  /* the twin is asked whether it lives */
		ARRIVAL_CONFIRM_SAVES, /* "confirmed" cannot be written: it is tried again */
	} confirm;
	unsigned long long save_until_ms;
	struct event *ev_arrive;
};

/* What the source is told once all is undone. */
enum arrival_word { ARRIVAL_WORD_NONE, ARRIVAL_WORD_ABORT, ARRIVAL_WORD_ABORTED };

enum {
	ARRIVAL_UNDO_DUE = 1 << 0,
	ARRIVAL_UNDO_GUARDIAN = 1 << 1, /* the guardian undoes */
	ARRIVAL_UNDO_QEMU = 1 << 2,	/* the QEMU that waited is being put back as it was */
};

struct arrival_over {
	unsigned undoes; /* what is still being undone: ARRIVAL_UNDO_... */
	enum arrival_word word;
	struct err why;
	struct event *ev_reap;
};

/* Owned by its service, which frees it from the loop once it is over. */
struct arrival {
	/* everybody's */
	struct service *service;
	TAILQ_ENTRY(arrival) listed;
	struct session *session;     /* borrowed from the router; NULL once it has ended */
	const struct rights *rights; /* the session's, as they were when the arrival began */
	struct talk *talk;
	const struct arrival_phase *const *phases; /* the table */
	enum arrival_state state, before;
	char id[COOKIE_JOB_LEN + 1];
	char route[COOKIE_JOB_LEN + 5]; /* "job:ID" at the router, or empty */
	char peer[256];
	struct share *share; /* the peer's; NULL: found in the journal */
	struct log_ctx about;
	struct vmdesc desc;
	struct arrival_wish wish;
	struct journal *journal; /* its lock is held from BEGIN or RECOVER to the end */
	json_t *record;		 /* as it was last written or read */
	struct guardian *guardian;
	struct twin twin;
	struct arrival_qemu qemu;
	struct arrival_disk *disks;
	size_t disk_count;
	bool run; /* FINISH wants it to run */
	enum arrival_postcopy postcopy;

	/* a file's, or a phase's with its helpers */
	struct arrival_core core;
	struct arrival_prepare prepare;
	struct arrival_saving saving;
	struct arrival_ram ram;
	struct arrival_ports ports;
	struct arrival_nbd nbd;
	struct arrival_finish finish;
	struct arrival_lost lost;
	struct arrival_asked asked;
	struct arrival_runs runs;
	struct arrival_over over;
};

struct service {
	struct event_base *base;
	struct router *router;
	struct service_config config;
	bool open;			    /* arrivals are taken */
	bool draining;			    /* but no new ones */
	char host[JOURNAL_HOST_ID_LEN + 1]; /* who this host is to a source that asks again */
	TAILQ_HEAD(, arrival) arrivals;
	struct shares shares;	     /* of the peers that have any */
	struct vms *vms;	     /* launched here, and handed over */
	struct leftovers *leftovers; /* to be removed, once that can be done */
	json_t *probes;		     /* what QEMU binaries can do, for check_probe_binary */
	struct strvec found;	     /* records of the start that are still to be gone over */
	struct event *ev_found;
	unsigned long long found_until_ms;
};

/* arrival_core.c */
const struct arrival_phase *arrival_phase(const struct arrival *a);
/* Whether trait holds in the phase. */
bool arrival_is(const struct arrival *a, enum arrival_trait trait);
/* The next phase, which begins at once, and may have gone on to another by then. False, and the
 * arrival ends by the safe way of the phase that it is in, where that has no such way. */
bool arrival_enter(struct arrival *a, enum arrival_state state);
/* The phase's one deadline is so far off from now on; its `over` follows. Entering sets it. */
void arrival_deadline(struct arrival *a, uint64_t ms);
/* There is none any more, for the reason that the phase states. */
void arrival_no_deadline(struct arrival *a);
/* The phase's `look` follows so much later, unless it has been left. */
void arrival_look(struct arrival *a, uint64_t ms);
void arrival_no_look(struct arrival *a);
/* The arrival has failed here: undone, and the source told, where the phase has nothing else. Once
 * it is decided, only logged. */
void arrival_fail(struct arrival *a, const struct err *e);
/* The same in a moment: who ended, and why, may show meanwhile. */
void arrival_suspect(struct arrival *a, const struct err *e);
/* That is not waited for any more; the next one counts again. */
void arrival_no_suspect(struct arrival *a);
/* Everything is undone; then the source hears word. */
void arrival_return(struct arrival *a, enum arrival_word word, const struct err *why);
int arrival_say(struct arrival *a, json_t *msg);
/* Leaves the list on a later turn of the loop. What is in the journal stays. */
void arrival_over(struct arrival *a);
/* The same, where no last word is on its way. */
void arrival_over_at_once(struct arrival *a);
/* Nothing more is said but why: the source asks again, and the journal knows. */
void arrival_leave_to_journal(struct arrival *a, const char *why);
/* What came, to the phase, if it takes that. */
void arrival_take_cookie(struct arrival *a, enum cookie_kind kind, const json_t *msg);
void arrival_take_event(struct arrival *a, const char *name, const json_t *data);
void arrival_take_stream(struct arrival *a, struct session *s, struct stream *stream,
			 const char *target);
void arrival_qemu_exited(struct arrival *a, const struct err *why);
/* A phase's take: a cookie that it takes, but not now. */
void arrival_out_of_order(struct arrival *a, enum cookie_kind kind);
void arrival_no_streams(struct stream *stream);
/* e is why the monitor of the twin has gone that came with this very arrival. */
void arrival_prefix_gone(const struct arrival *a, struct err *e);
/* The monitor is given up. */
void arrival_drop_qmp(struct arrival *a);
extern const struct talk_ops arrival_talk_ops;
extern const struct qmp_ops arrival_qmp_ops;
/* router_watch_session's. */
void arrival_session_ended(void *ctx, struct session *s, const struct err *why);
/* The timers. -1: no memory. */
int arrival_core_init(struct arrival *a, struct event_base *base);
void arrival_core_fini(struct arrival *a);

/* arrival_count.c */
/* Whether it has begun and is not yet settled; what it knows is to be in the journal, too. */
bool arrival_is_under_way(const struct arrival *a);
/* Counts what each peer has under way (share->held), but for questions about a job; of all. */
unsigned service_count_arrivals(struct service *s);

/* arrival_dirs.c */
/* The folder for sockets, which somebody may have removed while adit serve ran: it is made again,
 * and said. ERR_SYSTEM names it. */
int service_keep_run_dir(const struct service *s, const struct rights *rights, struct err *e);
/* Makes the twin's private folder, which the guardian knows of. */
int arrival_make_folder(struct arrival *a, struct err *e);
/* The folder of the arrival's NBD socket, and that of RAM's. */
void arrival_name_nbd(const struct service *s, const char *job, char *buf, size_t size);
void arrival_ram_name(const struct service *s, const char *job, char *buf, size_t size);

/* arrival_keep.c: nothing without `persistent` */
/* Writes how to start the twin again, under names that it has until the decision. */
int arrival_keep_write(struct arrival *a, struct err *e);
/* What is kept of a VM of that name is this peer's to replace, or there is none. ERR_REFUSED. */
int arrival_keep_check(const struct arrival *a, struct err *e);
/* Gives both files their names: kind 0 is the script, 1 the JSON. */
void arrival_keep_decided(struct arrival *a);
void arrival_keep_path(const struct arrival *a, unsigned kind, bool decided, char *buf,
		       size_t size);

/* arrival_record.c */
enum arrival_twin_life { ARRIVAL_TWIN_GONE, ARRIVAL_TWIN_LIVES, ARRIVAL_TWIN_UNKNOWN };

/* Takes the job's lock, starts its guardian and writes "preparing" with all that is about
 * to be made. */
int arrival_record_begin(struct arrival *a, struct err *e);
/* "decided" or "confirmed", with the twin's process, before what it announces. When it
 * fails: as journal_write. */
int arrival_record_write(struct arrival *a, const char *state, struct err *e);
/* The same where the VM lives by it, and nothing is undone any more whether it can be written or
 * not: what cannot is tried again until it can, or the host has gone; one line tells of each
 * change. state is a literal. */
void arrival_record_keep(struct arrival *a, const char *state);
/* Tries to write what is unsaved in a moment. */
void arrival_wait_save(struct arrival *a);
/* saving.ev's. */
void arrival_record_due(evutil_socket_t fd, short what, void *ctx);
/* The twin has surely gone: the folders of its sockets go, which nobody else needs. */
void arrival_record_clean_sockets(const struct service *s, const json_t *record);
/* Who this host was when the job began: its record's word, since the host's id goes with the
 * folder; without a record who it is now. */
const char *arrival_record_host(const struct arrival *a);
/* The job is settled here. */
void arrival_record_remove(struct arrival *a);
/* Reads the record into a->record, opening the journal if it is not open. False: there is
 * none (e is ERR_NONE), or it cannot be had (e). */
bool arrival_record_read(struct arrival *a, struct err *e);
/* Takes over what the record that was read says of the twin: what is written next has it too. */
void arrival_record_take(struct arrival *a);
bool arrival_record_is(const json_t *record, const char *state);
/* Whether the guardian of the arrival still lives: then it undoes, or is about to end. */
bool arrival_record_guarded(const json_t *record);
enum arrival_twin_life arrival_record_twin(const json_t *record);
/* The twin has surely gone: may what the arrival has made be removed and the source resume?
 * False with e's reason when what the VM did here would be lost, or harm it there. */
bool arrival_record_may_drop(const json_t *record, struct err *e);
/* Removes what the record lists, a twin that nobody guards included. */
void arrival_record_clean(const struct service *s, const json_t *record);

/* arrival_images.c */
/* Remembers which files the twin's images are, now that it has them open. */
void arrival_images_note(struct arrival *a);
/* Whether they still are where they were: one that is not would go with its QEMU. 0, or an error
 * that names it. */
int arrival_images_there(const struct arrival *a, struct err *e);

/* arrival_prepared.c */
/* Says PREPARED. */
void arrival_prepared(struct arrival *a);

/* arrival_limits.c: the VM's I/O limits as they are at the source. Adds to b, which is new, what
 * sets them in the twin; and what could not be set, told from b once it has run, to the notes. */
void arrival_limits_add(struct arrival *a, struct qmp_batch *b);
void arrival_limits_tell(struct arrival *a, const struct qmp_batch *b);

/* arrival_ram.c */
/* What BEGIN asks for. */
void arrival_ram_read(struct arrival *a, const json_t *msg);
/* A stream "ram" or, of several, "ram/K"; number is what follows "ram". Before FINISH. */
void arrival_ram_take(struct arrival *a, struct session *s, struct stream *stream,
		      const char *number);
/* Whether the arrival has such a stream, and its number; else it is refused. */
bool arrival_ram_number(const struct arrival *a, struct stream *stream, const char *number,
			size_t *k);
/* Whether it is the turn of number k; else it is refused. */
bool arrival_ram_is_next(const struct arrival *a, struct stream *stream, size_t k);
/* A place for each stream. False: no memory. */
bool arrival_ram_places(struct arrival *a);
/* The next stream, until QEMU listens, which is joined then. */
void arrival_ram_hold(struct arrival *a, struct session *s, struct stream *stream);
/* QEMU listens: all that came so far are connected, the first first. */
void arrival_ram_join(struct arrival *a);
/* A folder for the socket that QEMU listens on. */
int arrival_ram_make_folder(struct arrival *a, struct err *e);
void arrival_ram_drop(struct arrival *a, const char *reason);
/* Removes the folder of RAM's socket. */
void arrival_ram_remove(struct arrival *a);
/* A phase's take: keeps what the twin's events say of its migration. */
void arrival_take_status(struct arrival *a, const char *name, const json_t *data);

/* arrival_streams.c */
/* Streams under "job:ID" come to a. */
int arrival_route(struct arrival *a, struct err *e);
/* Opens the twin's disks to the copy; then arrival_prepared. */
void arrival_export(struct arrival *a);
/* A phase's stream: disks and RAM. */
void arrival_take_disk_or_ram(struct arrival *a, struct session *s, struct stream *stream,
			      const char *what);
/* The commands that take the twin's exports away. */
struct qmp_batch *arrival_closing_batch(struct arrival *a, enum qmp_need need);
void arrival_drop_streams(struct arrival *a, const char *reason);
void arrival_remove_nbd(struct arrival *a);

/* arrival_force.c */
/* Postcopy has begun in the twin: the source VM cannot go on any more, so that nobody may
 * undo the arrival from now on. */
void arrival_force(struct arrival *a);
/* Whether the twin has what it takes to run, by what its QEMU says. */
bool arrival_is_complete(const struct arrival *a, const char *migration, const char *status);
/* Of several phases: a phase's take, fail, talk_ended and qemu_ended before the decision. Once
 * postcopy has begun nothing is undone: the arrival is finished without its source. */
void arrival_take_migration(struct arrival *a, const char *name, const json_t *data);
void arrival_take_resume(struct arrival *a, const char *name, const json_t *data);
void arrival_take_abort(struct arrival *a, const json_t *msg);
void arrival_take_finish(struct arrival *a, const json_t *msg);
void arrival_fail_or_finish(struct arrival *a, const struct err *why);
void arrival_source_gone(struct arrival *a, const struct err *why);
void arrival_qemu_gone(struct arrival *a, const struct err *why);

/* arrival_lost.c: after the decision */
/* The twin has surely gone. What the arrival has made is removed, and the source told that it never
 * runs here. A phase's qemu_exited. */
void arrival_lost(struct arrival *a, const struct err *why);
/* The twin's monitor has gone. Whether the twin has is found out. */
void arrival_missing(struct arrival *a, const struct err *why);
/* The same, told as that of the twin which came with this very arrival. */
void arrival_twin_missing(struct arrival *a, const struct err *why);
/* A phase's look, while that is found out. */
void arrival_lost_look(struct arrival *a);

/* arrival_mend.c */
/* RECOVERED with that outcome. */
json_t *arrival_recovered(const struct arrival *a, const char *outcome);
/* Postcopy is to be taken up (ARRIVAL_RUNS): the twin is told to listen, and then the source
 * answer, which is owned from now on; where the twin cannot, arrival_recover_not_yet with the
 * reason. So the source's QEMU is not told of a way that leads nowhere: one (7.2) that was refused
 * once stays in that attempt. */
void arrival_ram_listen_again(struct arrival *a, json_t *answer);
/* Postcopy's streams come again. */
void arrival_ram_take_again(struct arrival *a, struct session *s, struct stream *stream,
			    const char *number);
/* A phase's look: the twin is told to listen. */
void arrival_ram_recover_look(struct arrival *a);
/* The source is told that the VM is here, and why the rest of its RAM cannot be taken now: it
 * asks again. The twin's monitor is kept for that. */
void arrival_recover_not_yet(struct arrival *a, const char *reason);
/* The source is told that the twin gave up while it loaded its devices: nothing brings it on. */
void arrival_recover_lost(struct arrival *a);

/* arrival_secret.c */
/* Takes what is in the secrets of BEGIN, msg, and leaves their names. ERR_REFUSED. */
int arrival_secrets_take(struct arrival *a, json_t *msg, struct err *e);
/* Says which of them are not handed over, and why: what adit launches needs each. */
void arrival_secrets_check(const struct arrival *a, struct check *c);
/* The twin has its own. */
void arrival_secrets_drop(struct arrival *a);

/* arrival_net.c: arrival_net_i.h */

/* arrival_port.c */
/* Has those of that kind put where they belong, each once. What fails later fails the arrival, or
 * is logged where that lives on in any case. */
int arrival_ports_start(struct arrival *a, enum netport_kind kind, struct err *e);
/* Whether some are on their way: then is called once all are there, if the phase is still this. */
bool arrival_ports_wait(struct arrival *a, void (*then)(struct arrival *));
/* They are on their own. */
void arrival_ports_drop(struct arrival *a);

/* arrival_backing.c */
/* Holds what is below the images that are to be made to the rules, and lists it in
 * twin.chain. ERR_REFUSED. */
int arrival_check_backing(struct arrival *a, struct err *e);

/* arrival_claims.c */
/* Whether it is before the decision, or being undone: its images are nobody else's. */
bool arrival_claims(const struct arrival *a);
/* Whether an arrival that is under way has path as an image, and it or this one (copy) is to write
 * to it: its twin does not hold QEMU's locks as long as it waits. */
bool arrival_image_is_planned(const struct arrival *a, const char *path, bool copy);
/* Whether image at of the plan is nobody else's: no other one of the plan's, and of no arrival
 * that is under way. Two may have a file in common that neither writes to. ERR_REFUSED. */
int arrival_check_image(const struct arrival *a, const struct twin *plan, size_t at, struct err *e);
/* Whether a VM of that name may be made, and the monitor that it is to go to be told
 * anything; nothing is made. ERR_REFUSED. */
int arrival_check_name(const struct arrival *a, struct err *e);
int arrival_check_dest_qmp(const struct arrival *a, struct err *e);

/* arrival_ram_set.c */
/* Sets the twin's capabilities and parameters; there is its query-migrate-capabilities.
 * Calls arrival_export, or fails the arrival with what it cannot do. */
void arrival_ram_prepare(struct arrival *a, const json_t *there);

/* arrival_connect.c */
/* Talks to the monitor twin.qmp; goes on with arrival_ram_prepare once its drives are matched. */
void arrival_twin_connect(struct arrival *a);

/* arrival_tpm.c: starts what is to be the twin's TPM, if it has one. Before its folder is given to
 * its user. */
int arrival_tpm_start(struct arrival *a, struct err *e);
/* The folder of its state alone, new, and its user's; the guardian knows of it. ERR_REFUSED: there
 * is something of that name. */
int arrival_tpm_make_state(struct arrival *a, struct err *e);
/* Of phase preparing: its look; that the monitor can be talked to, and has gone. */
void arrival_connect_look(struct arrival *a);
void arrival_connect_ready(struct arrival *a);
void arrival_connect_ended(struct arrival *a, const struct err *why);

/* arrival_hook.c */
/* Has the operator's program start a QEMU that waits; goes on with arrival_twin_connect. */
void arrival_hook_start(struct arrival *a);
/* Its deadline. */
void arrival_hook_due(struct arrival *a);

/* arrival_twin.c */
void arrival_begin(struct arrival *a);

/* arrival_check.c */
/* The checks; then arrival_begin, or arrival_fail with the first error; for only_check CHECKED is
 * said and the arrival is over. */
void arrival_check_start(struct arrival *a);
/* Gives them up. */
void arrival_check_drop(struct arrival *a);

/* arrival_media.c */
/* A QEMU that others start has its own media: none is copied. */
void arrival_media_leave(struct arrival *a);
/* Starts to read those of plan that are here, as far as the source has told their sums; NULL where
 * there are none. The caller frees it. */
struct media_sums *arrival_media_read(struct arrival *a, const struct twin *plan,
				      media_sums_on_end *on_end);
/* What is here is not copied, and is an error in found where its sum is not the source's. sums may
 * be NULL. */
void arrival_media_judge(struct arrival *a, const struct twin *plan, const struct media_sums *sums,
			 struct check *found);

/* arrival_end.c */
void arrival_free(struct arrival *a);

/* phase_over.c, phase_runs.c: ev_reap's, ev_arrive's. */
void arrival_reap_due(evutil_socket_t fd, short what, void *ctx);
void arrival_runs_due(evutil_socket_t fd, short what, void *ctx);

/* arrival.c */
struct arrival *arrival_new(struct service *s, struct session *session, struct stream *stream);
/* The same without a talk, for a record that adit serve has found at its start. */
struct arrival *arrival_new_found(struct service *s, const char *id);

/* arrival_found.c */
/* Lists the records that are there (s->found); goes over those of the list whose guardians are
 * not at it any more. Whether some are left: they are to be looked at again. */
void arrival_recover_list(struct service *s);
bool arrival_recover_all(struct service *s);

#endif

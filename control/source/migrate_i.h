/*
 * What the files of the source's side of a migration share; nobody else includes it.
 *
 * Each stands on those below it, and refers to none above:
 *
 *   migrate.c          life, and what the owner asks for
 *   phase.c            the table of phases
 *   phase_NAME.c       a phase each
 *   migrate_resume.c   Begin, of a job that another process began
 *   migrate_probe.c    what a guest that writes has on its way, before RAM begins
 *   migrate_watch.c    progress
 *   migrate_settings.c QEMU's capabilities and parameters, set and put back
 *   migrate_limits.c   limits that change while it runs; pausing, postcopy, the time limit
 *   migrate_backlog.c  what is left of the disks, and the downtime limit
 *   migrate_pace.c     limits of the disks for a time
 *   migrate_mirrors.c  the disks that are copied, and mirrors that break
 *   migrate_ram.c      RAM's channels, what QEMU says of its migration
 *   migrate_stall.c    how long QEMU's main loop stands still
 *   migrate_word.c     the destination's word that it runs there
 *   migrate_talk.c     the session and the talk with the destination
 *   migrate_qmp.c      what QEMU says by itself
 *   migrate_journal.c  what is on the disk before it is done
 *   migrate_core.c     the way from phase to phase, failure, timers, what is refused
 */
#ifndef ADIT_CONTROL_SOURCE_MIGRATE_I_H
#define ADIT_CONTROL_SOURCE_MIGRATE_I_H

#include <event2/event.h>
#include <jansson.h>

#include "base/log.h"
#include "control/qmp.h"
#include "control/source/migrate.h"
#include "control/source/phase.h"
#include "control/talk.h"
#include "control/vm.h"
#include "control/wish.h"
#include "proxy/nbd_join.h"
#include "proxy/relay.h"
#include "tunnel/session.h"

struct mig_disk {
	struct migrate *m;
	const struct vmdesc_disk *desc;
	char node[40], block_job[40], fd[40]; /* names in QEMU, ours alone */
	struct nbd_join *join;		      /* its server is greeted, and QEMU answered */
	bool greeted;
	struct relay *relay;	  /* from then on */
	struct stream_stats last; /* when the relay has gone */
	uint64_t begun_ms, ended_ms;
	uint64_t done, total;			   /* of the mirror, bytes */
	uint64_t round_ms, round_left, round_done; /* when a round began, and with what */
	unsigned rounds;			   /* without getting less */
	bool told;				   /* that it does not converge */
	uint64_t block;	      /* the smallest at the destination, bytes; 0: not known */
	uint64_t grain;	      /* what its mirror copies at least, bytes */
	bool started, stands; /* the mirror: QEMU has it; it is paused, nothing on its way */
	bool ready;	      /* BLOCK_JOB_READY */
	bool writes_known;    /* of the guest's: */
	json_int_t writes, writes_ns; /* how many have ended, and how long all of them took */
	unsigned lift;		      /* bits by which MIGRATE_PACE_MIN is raised for its group */
	uint64_t lifted_ms;	      /* the last time */
	bool broken, broken_reading;  /* BLOCK_JOB_ERROR: it stands; it was the source's disk */
	bool over;		      /* BLOCK_JOB_COMPLETED in the switchover, without an error */
};

/* Limits for a time (migrate_pace.c). */
struct mig_pace {
	json_t *touched; /* as in the record: names of `disks`, ids of `groups`; NULL: none */
	json_t *filters; /* whose limits are a device's now: group by disk */
	bool parted;	 /* disks that share limits with a drive that is not copied: from that */
	unsigned lifts, lifts_sent; /* how often a bottom was raised; as QEMU was told it */
	uint64_t bytes, ops;	    /* a second: what the guest's writes are held to; 0: nothing */
	bool asked, holds;	    /* QEMU is being told; has been */
	bool again;		    /* and is to be told something else as soon as it has been: */
	uint64_t next_bytes, next_ops;
	bool refused, told; /* it cannot be written down; a device refused it, which was told */
	const struct qmp_batch *back_batch; /* that puts all of it back, under way; compared only */
	unsigned back_first, back_count;    /* its commands in that */
	unsigned refusals;		    /* of it */
	bool back;			    /* all of it is back, as QEMU said */
	struct err back_err;		    /* or what it said against it */
	void (*then)(struct migrate *m);
	enum migrate_state begun_in;
};

/* Bytes a second, of each disk that is copied: so that a queue of 32 requests of 512 KiB is through
 * in 26 s (and by the requests, of 64 KiB each, in 4 s), before the guest's own limit of 30 s. For
 * one that has more on its way it is raised (migrate_backlog_tick). */
enum { MIGRATE_PACE_MIN = 640 << 10 };

/* Requests are paced too: as many as fit into the bytes with so much in each, at least. */
enum { MIGRATE_PACE_REQUEST = 64 << 10 };

/* A stop of the guest, for a look (migrate_probe.c). */
struct mig_probe {
	enum {
		MIG_PROBE_NONE,
		MIG_PROBE_WAITS,
		MIG_PROBE_STOPS,
		MIG_PROBE_LOOKS,
		MIG_PROBE_OVER
	} state;
	unsigned tries;
	bool runs;	   /* the guest, as QEMU said just before */
	uint64_t since_ms; /* it waits for a good moment */
	uint64_t gone_on_ms;
	uint64_t stop_ms,
	    left_ms;		 /* when it began; what was left of the disks, at the line's rate */
	uint64_t done, stood_ms; /* what was copied when it began, bytes; how long it took */
	void (*then)(struct migrate *m);
};

/* What the guest writes, in a short time (migrate_backlog.c). */
struct mig_writes {
	uint64_t since_ms; /* when that time began; 0: none yet */
	uint64_t total;	   /* the mirrors' bytes then */
	bool known;	   /* such a time is over */
	uint64_t bytes;	   /* written in it */
};

/* A connection of QEMU's for RAM, and its stream. Plain RAM has one, multifd and preempt
 * have several, in the order in which QEMU made them. */
struct mig_channel {
	struct migrate *m;
	struct relay *relay;
	struct stream_stats last; /* when the relay has gone */
	uint64_t before_bytes;	  /* what relays before this one carried (a mended postcopy) */
	uint64_t begun_ms, ended_ms;
};

enum { MIG_CHANNELS_MAX = 256 + 1 };

/* ---- what is one file's, or one phase's ---- */

/* The timers and the doubt of whatever phase it is (migrate_core.c). */
struct mig_core {
	struct event *ev_deadline, *ev_look, *ev_timeout, *ev_suspect;
	struct err suspect; /* a failure for which a better reason may still come */
};

/* The destination's adit (migrate_talk.c). */
struct mig_link {
	struct addr_dest dest;
	struct addr address; /* --dest-address, where it is given */
	struct creds *creds;
	struct session *session;
	struct talk *talk;
	bool ready; /* the session */
};

/* The source's QEMU, its process and when that started (migrate_qmp.c). */
struct mig_qemu {
	struct qmp *qmp;
	pid_t pid;
	unsigned long long started;
	bool gone;
	bool touched;	       /* it was told something */
	bool settings_changed; /* capabilities and parameters, too */
};

/* The guest here (migrate_qmp.c, migrate_limits.c). */
struct mig_guest {
	bool known; /* desc is read */
	bool was_running;
	bool pause_first, paused; /* it is to stand still; we have paused it */
	void (*after_pause)(struct migrate *m);
	uint64_t stop_ms; /* it stands still since then; 0: it does not */
};

/* Begin, with migrate_settings.c and migrate_resume.c. */
struct mig_begin {
	unsigned clear_looks; /* for the end of an earlier job's mirrors */
	void (*after_try)(struct migrate *m);
	unsigned qmp_tries;	 /* of a job that is resumed */
	struct media_sums *sums; /* of the VM's media, while they are read */
};

/* Disks. */
struct mig_copy {
	size_t next; /* whose turn it is to begin */
	enum {
		MIG_COPY_GREETS, /* the destination's servers */
		MIG_COPY_ADDS,	 /* nodes */
		MIG_COPY_STARTS, /* mirrors */
		MIG_COPY_RUNS,	 /* all of them, with no limit */
	} step;
};

/* RAM's streams (migrate_ram.c). */
struct mig_ram {
	struct mig_channel *channels;
	size_t channel_count; /* that have ever been open */
	size_t opened;	      /* of this connection's round */
	int fd;		      /* where QEMU connects, when a descriptor cannot be handed to it */
	char dir[108], path[108];
	struct event *ev;
	bool preempt; /* postcopy with a channel of its own for pages that the guest waits for */
	bool migrating;
	struct err err; /* why the streams ended in postcopy */
};

struct mig_postcopy {
	/* to be begun once it can be; QEMU was told to */
	enum { MIG_POSTCOPY_NOT, MIG_POSTCOPY_DUE, MIG_POSTCOPY_TOLD } asked;
	/* it has begun, there is no way back; all of RAM is there */
	enum { MIG_PAGES_NOT, MIG_PAGES_FLOW, MIG_PAGES_THERE } pages;
};

/* migrate_backlog.c */
struct mig_backlog {
	uint64_t share_ms;   /* what QEMU was told of the downtime limit; 0: nothing yet */
	unsigned pace_level; /* how often the pace was halved */
	uint64_t held_since_ms, postcopy_since_ms; /* the disks hold up the switchover */
	double line_rate;			   /* the most that the line carried */
	struct mig_writes writes;
};

/* migrate_stall.c */
struct mig_stall {
	struct event *ev;
	uint64_t asked_ms, longest_ms;
};

/* migrate_watch.c */
struct mig_watch {
	struct event *ev;
	uint64_t ticks, last_sent, last_sent_ms;
	double smooth_rate; /* of late */
	uint64_t still_sent,
	    still_since_ms,  /* while the guest stands still: nothing was sent since */
	    stands_since_ms, /* the switchover has begun */
	    stands_left_ms;  /* what was left of the disks by then, at the line's rate */
	struct migrate_stream *streams;
};

struct mig_finish {
	uint64_t said_us; /* FINISH; 0: by another process */
	bool told_slow;	  /* that the destination is, with FINISHED, in postcopy */
};

struct mig_ask {
	const char *state; /* in which the word was lost */
	uint64_t since_ms; /* the first question, as long as no answer has brought it on */
	uint64_t until_ms;
	unsigned unsure;	    /* such answers, one after the other */
	bool only_tell;		    /* asking only to say ENDED: the VM has moved */
	struct err err;		    /* why the last question had no answer */
	char said[3][ERR_TEXT_MAX]; /* what was told last: once a change, not once a try */
};

/* Postcopy, which is being taken up anew. */
struct mig_paging {
	enum {
		MIG_MEND_NOT,
		MIG_MEND_WAITS, /* for QEMU to see that its connection broke */
		MIG_MEND_TOLD,	/* QEMU, to take it up */
	} step;
	uint64_t until_ms;
	bool asked; /* a question to QEMU is on its way */
};

struct mig_confirm {
	uint64_t until_ms; /* "ended" cannot be written, and is tried again; 0: it is not */
};

struct mig_end {
	uint64_t until_ms; /* ENDED is said, and flushed; 0: it is not */
};

struct mig_undo {
	uint64_t begun_ms, until_ms;
	/* QEMU is told something, or asked what it is in; it is put back, or cannot be */
	enum { MIG_HERE_ACTS, MIG_HERE_LOOKS, MIG_HERE_DONE } here;
	/* the destination has heard ABORT; is clean, or says nothing any more */
	enum { MIG_THERE_UNTOLD, MIG_THERE_TOLD, MIG_THERE_DONE } there;
	bool unanswered; /* QEMU did not say what it is in */
	char seen[32];	 /* QEMU's state, as it was seen last */
	bool runs;	 /* likewise, when the last was tried */
	bool uncleared;	 /* QEMU has not cleared its migration away, which the settings wait for */
	bool undecided;	 /* an earlier job of this VM waits for its destination's word */
};

/* For migrate_result. */
struct mig_times {
	uint64_t start_ms, running_there_ms;
	uint64_t word_ms; /* how long it had run there when the word of it came */
};

struct mig_result {
	struct event *ev;
	enum migrate_outcome outcome;
	bool settled; /* nothing is left to be done: the record goes */
	bool lost;    /* no host has all of the VM any more */
};

struct migrate {
	/* everybody's */
	struct event_base *base;
	json_t *wish; /* what config's strings are borrowed from */
	struct migrate_config config;
	const struct migrate_ops *ops; /* NULL once on_end was called */
	void *ctx;
	const struct phase *const *phases; /* the table */
	enum migrate_state state, before;
	char id[COOKIE_JOB_LEN + 1];
	struct log_ctx about;
	struct journal *journal;
	char found[16];	 /* the record's state, in a job that is resumed, */
	time_t found_at; /* and when it was written */
	enum migrate_decision decision;
	struct mig_qemu qemu;
	struct mig_guest guest;
	struct mig_link link;
	struct vmdesc_report report;
	struct vmdesc desc;
	json_t *prepared; /* the destination's cookie */
	struct mig_disk *disks;
	size_t disk_count;
	struct rate *rate;
	struct migrate_progress progress;
	struct err err; /* the first failure */

	/* a file's, or a phase's with its helpers */
	struct mig_core core;
	struct mig_begin begin;
	struct mig_copy copy;
	struct mig_pace pace;
	struct mig_probe probe;
	struct mig_backlog backlog;
	struct mig_ram ram;
	struct mig_postcopy postcopy;
	struct mig_stall stall;
	struct mig_watch watch;
	struct mig_finish finish;
	struct mig_ask ask;
	struct mig_paging paging;
	struct mig_confirm confirm;
	struct mig_end end;
	struct mig_undo undo;
	struct mig_times times;
	struct mig_result result;
};

/* migrate_core.c */
const struct phase *migrate_phase(const struct migrate *m);
/* Whether trait holds in the phase. */
bool migrate_is(const struct migrate *m, enum phase_trait trait);
/* What a person reads of the phase; static. */
const char *migrate_state_name(const struct migrate *m);
/* The next phase, which begins at once, and may have gone on to another by then. False, and the job
 * ends by the safe way of the phase that it is in, where that has no such way. */
bool migrate_enter(struct migrate *m, enum migrate_state state);
/* The phase's one deadline is so far off from now on; its `over` follows. Entering sets it. */
void migrate_deadline(struct migrate *m, uint64_t ms);
/* There is none any more, for the reason that the phase states. */
void migrate_no_deadline(struct migrate *m);
/* The phase's `look` follows so much later, unless it has been left. */
void migrate_look(struct migrate *m, uint64_t ms);
/* Adds ev with so many milliseconds. */
void migrate_arm(struct event *ev, uint64_t ms);
/* The job has failed, and e is why: everything is undone, where the phase has nothing else. Once
 * the end is known it is only logged. */
void migrate_fail(struct migrate *m, const struct err *e);
/* The same, a moment later: the other side may tell the reason behind it. */
void migrate_suspect(struct migrate *m, const struct err *e);
/* Everything is undone: e is told. */
void migrate_return(struct migrate *m, const struct err *e);
/* The destination's word was lost: from now on it is asked for. */
void migrate_ask(struct migrate *m, const char *why);
/* The end: tells the owner from the loop. */
void migrate_over(struct migrate *m, enum migrate_outcome outcome);
void migrate_note(struct migrate *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What the destination said, or is to be told, cannot be: the phase's bad_word. */
void migrate_bad_word(struct migrate *m, const struct err *why);
/* What came, to the phase, if it takes that. */
void migrate_take_cookie(struct migrate *m, enum cookie_kind kind, const json_t *msg);
void migrate_take_event(struct migrate *m, const char *name, const json_t *data);
/* What several phases do: a phase's cancel, bad_word or talk_ended, qemu_ended, take. */
bool migrate_cancel_returns(struct migrate *m);
void migrate_ask_again(struct migrate *m, const struct err *why);
void migrate_connection_lost(struct migrate *m, const struct err *why);
void migrate_qemu_lost(struct migrate *m, const struct err *why);
/* The destination has given the job up: its word, too, that it does not run there and never will.
 */
void migrate_take_abort(struct migrate *m, const json_t *msg);
/* The timers. -1: no memory. */
int migrate_core_init(struct migrate *m, struct event_base *base);
void migrate_core_fini(struct migrate *m);

/* migrate.c */
/* A job with its events, without anything begun. config is copied. */
struct migrate *migrate_new(struct event_base *base, const struct migrate_config *config,
			    const struct migrate_ops *ops, void *ctx, struct err *e);

/* migrate_qmp.c */
extern const struct qmp_ops migrate_qmp_ops;

/* migrate_talk.c */
int migrate_connect(struct migrate *m, struct err *e);
/* Ends the session and the talk; not to be called in one of their callbacks. */
void migrate_disconnect(struct migrate *m);
int migrate_open_talk(struct migrate *m, struct err *e);
/* Sends msg (stolen); what goes wrong ends the job or has it asked again. 0 or -1. */
int migrate_say(struct migrate *m, json_t *msg);

/* migrate_word.c */
/* It runs there, says msg: the next phase begins. */
void migrate_runs_there(struct migrate *m, const json_t *msg);
/* An answer has brought the job on: a later loss is another one. */
void migrate_ask_settled(struct migrate *m);

/* migrate_journal.c */
/* Writes the record with this state. 0, or the error of journal_write. */
int migrate_record(struct migrate *m, const char *state, struct err *e);
/* The same where the act need not wait for it: a failure is logged only. */
void migrate_record_if_can(struct migrate *m, const char *state);
/* Takes over what a record says. ERR_CONFIG when it cannot be understood. */
int migrate_take_record(struct migrate *m, const json_t *record, struct err *e);
/* ERR_REFUSED when an earlier job of the same QEMU waits for recovery. */
int migrate_check_unfinished(struct migrate *m, struct err *e);
/* Whether the destination may run the VM, by a record's state. */
bool migrate_record_is_decided(const char *state);
/* It runs elsewhere for good: what --persistent has kept here of it is set aside. */
void migrate_set_aside_kept(struct migrate *m);

/* migrate_resume.c */
/* A job that is resumed: its QEMU answers, or does not. */
void migrate_resume_ready(struct migrate *m);
void migrate_resume_no_qmp(struct migrate *m, const struct err *why);
/* Begin's deadline, of such a job: its monitor is tried again, or says nothing. */
void migrate_resume_due(struct migrate *m);

/* migrate_mirrors.c */
/* How all begins that an adit gives a name in the source's QEMU; behind it the job's id. */
#define MIGRATE_OURS "adit-"
/* Adds what ends the mirrors, and removes the nodes, whose names begin with prefix, of those that
 * QEMU lists (query-block-jobs, query-named-block-nodes). Return how many there are. */
unsigned migrate_end_mirrors(struct qmp_batch *b, const char *prefix, const json_t *block_jobs);
unsigned migrate_delete_nodes(struct qmp_batch *b, const char *prefix, const json_t *nodes);
/* The disks that are copied, with the names of what they need in QEMU. */
int migrate_list_disks(struct migrate *m, struct err *e);
/* The disk whose mirror an event is about; NULL: none of ours. */
struct mig_disk *migrate_disk_of_block_job(struct migrate *m, const json_t *data);
/* BLOCK_JOB_COMPLETED or BLOCK_JOB_CANCELLED, where it may not end; BLOCK_JOB_ERROR. */
void migrate_take_mirror_end(struct migrate *m, const char *name, const json_t *data);
void migrate_take_broken(struct migrate *m, const char *name, const json_t *data);
/* buf-size of each of so many disks' mirrors, in bytes, on a path of that round trip; bytes_per_s
 * is the limit (0: there is none). */
uint64_t migrate_disks_buffer(uint64_t rtt_us, uint64_t bytes_per_s, size_t disks);
/* granularity of the mirror of a disk of that size, in bytes, to one whose smallest block has so
 * many (0: not known). */
uint64_t migrate_disks_grain(uint64_t rtt_us, uint64_t bytes_per_s, uint64_t size, uint64_t block);

/* migrate_backlog.c */
/* The disks' progress was read. */
void migrate_backlog_seen(struct migrate *m);
/* The downtime limit that QEMU was told, or has of its own, in ms. */
uint64_t migrate_limit_ms(const struct migrate *m);
/* Each tick: whether the guest of a paced disk waits for too long. */
void migrate_backlog_tick(struct migrate *m);
/* Divides the downtime limit, by what the mirrors have left; in MIGRATE_RAM. */
void migrate_backlog_share(struct migrate *m);
/* Whether what is left of the disks fits into the downtime limit. */
bool migrate_backlog_fits(const struct migrate *m);
/* RAM is about to begin. True where QEMU is not to stop the guest before it is told that it may:
 * share_ms is what it is to be told now. */
bool migrate_backlog_begins_ram(struct migrate *m);
/* It does not, and postcopy waits for it; not for ever. */
bool migrate_backlog_holds_postcopy(struct migrate *m);

/* migrate_stall.c */
void migrate_stall_begin(struct migrate *m);
/* stall.ev's. */
void migrate_stall_due(evutil_socket_t fd, short what, void *ctx);

/* migrate_ram.c */
/* Adds `migrate`, to where its channels are taken. */
int migrate_ram_add(struct migrate *m, struct qmp_batch *b, bool resume, struct err *e);
/* The state in a MIGRATION event, "" without one. */
const char *migrate_ram_status(const struct migrate *m, const json_t *data);
/* Such a state while the VM cannot run there: whether it stands for a failure. */
void migrate_ram_failed(struct migrate *m, const char *status);
/* A MIGRATION event once the VM may run there. */
void migrate_take_ram_done(struct migrate *m, const char *name, const json_t *data);
/* Ends the channels' relays, keeping what they carried, and the listening socket. */
void migrate_ram_drop(struct migrate *m, const char *reason);
/* Ends these and the disks'. */
void migrate_drop_relays(struct migrate *m, const char *reason);
/* Whether all of RAM's still carry what QEMU says. */
bool migrate_ram_holds(const struct migrate *m);
void migrate_ram_fini(struct migrate *m);

/* migrate_settings.c */
/* Holds what is asked for to what the source's QEMU can do, which only QEMU itself knows:
 * the settings are made and put back at once. Calls then, or fails the job. */
void migrate_settings_try(struct migrate *m, void (*then)(struct migrate *m));
/* Adds what QEMU has to be told before it migrates. */
void migrate_settings_add(struct migrate *m, struct qmp_batch *b);
/* Adds what puts QEMU's settings back as they were when the VM was read. */
void migrate_settings_restore(struct migrate *m, struct qmp_batch *b);

/* So many bytes a second were sent of late: what that says of the line. */
void migrate_backlog_line(struct migrate *m, double rate);
/* How long what is left of the disks takes at the line's rate, ms. */
uint64_t migrate_backlog_left_ms(const struct migrate *m);
/* Whether the guest may stand still for so much of the disks, and RAM beside it. */
bool migrate_backlog_would_fit(const struct migrate *m, uint64_t ms);
/* What was left when the guest was stopped for a look, ms: it has run for since_ms again, and
 * m->probe.done was copied when it was stopped. */
uint64_t migrate_backlog_at_stop_ms(const struct migrate *m, uint64_t since_ms);
/* How much longer than the downtime limit allows, three round trips apart, a stop's flushes take;
 * ms. */
uint64_t migrate_backlog_flushes_ms(uint64_t stood_ms, uint64_t rtt_us);
/* Bytes of all disks that the mirrors have copied. */
uint64_t migrate_backlog_done(const struct migrate *m);
/* Whether the guest, unpaced, has written so little of late that a stop for a look would tell
 * nothing. */
bool migrate_backlog_is_quiet(const struct migrate *m);
/* It is to be watched from now on, anew. */
void migrate_backlog_watch_writes(struct migrate *m);
/* Whether RAM may come to its end before the next looks. */
bool migrate_backlog_ram_is_near(const struct migrate *m);
/* Paces the guest's writes to what the line and the limit allow. */
void migrate_backlog_pace(struct migrate *m);
/* Requests a second that go with a pace of so many bytes. */
uint64_t migrate_backlog_pace_ops(const struct migrate *m, uint64_t bytes);
/* Tells, once, that the disk with the most left does not converge. */
void migrate_backlog_tell(struct migrate *m);

/* migrate_probe.c */
/* All disks are copied but for what is written anew: whether RAM may begin. Begins to look where it
 * has not; then is called when it is over. */
bool migrate_probe_is_over(struct migrate *m, void (*then)(struct migrate *m));
/* The look in DISKS, once all mirrors run. */
void migrate_probe_due(struct migrate *m);
/* The deadline, while the guest stands still for a look. */
void migrate_probe_silent(struct migrate *m);

/* migrate_pace.c */
/* Before the disks begin: throttle filters give their limits to the devices before them. then is
 * called when that is done, or cannot be done (a note says so). */
void migrate_pace_begin(struct migrate *m, void (*then)(struct migrate *m));
/* Holds the guest's writes to all disks that are copied together to so much a second. */
void migrate_pace_set(struct migrate *m, uint64_t bytes, uint64_t ops);
/* Of that what the group has that d is in, which is enough for each disk in it (MIGRATE_PACE_MIN,
 * raised); 0: there is no pace. */
void migrate_pace_share(const struct migrate *m, const struct vmdesc_disk *d, uint64_t *bytes,
			uint64_t *ops);
/* What query-blockstats gave. True where the guest has waited so long for the pace of a group that
 * its bottom is raised. */
bool migrate_pace_see_stats(struct migrate *m, const json_t *all);
/* QEMU has been told to, or cannot be. */
bool migrate_pace_holds(const struct migrate *m);
/* Whether a limit for a time may still be set: until QEMU has said that all are back. */
bool migrate_pace_is_set(const struct migrate *m);
/* Whether there is anything to be put back that is not on its way; adds it. The mirrors are to be
 * gone by then, and the batch's end is to be told to migrate_pace_see_back. */
bool migrate_pace_is_due_back(const struct migrate *m);
void migrate_pace_put_back(struct migrate *m, struct qmp_batch *b);
/* A batch has ended, with e, as qmp_batch_end has it; of any other batch than that nothing follows.
 */
void migrate_pace_see_back(struct migrate *m, struct qmp_batch *b, const struct err *e);
/* Of a record: what an earlier process has limited. */
void migrate_pace_take_record(struct migrate *m, const json_t *record);
void migrate_pace_fini(struct migrate *m);

/* migrate_limits.c */
/* Arms ev_timeout by the limits in force, from the job's start. */
void migrate_timeout_arm(struct migrate *m);
/* --timeout is over: what was asked for is done, before the switchover; and from then on. */
void migrate_time_up(struct migrate *m);
void migrate_time_up_late(struct migrate *m);
/* Pauses the guest, which is to run there again; then (may be NULL) is called. */
void migrate_pause(struct migrate *m, void (*then)(struct migrate *m));
/* The same, before the copy begins, where it is asked for; else only then is called. */
void migrate_pause_first(struct migrate *m, void (*then)(struct migrate *m));
/* A MIGRATION_PASS event. */
void migrate_take_pass(struct migrate *m, const char *name, const json_t *data);
/* Begins postcopy if it is due and can be. */
void migrate_postcopy_try(struct migrate *m);

/* migrate_watch.c */
void migrate_watch_tick(struct migrate *m);
/* Whether the switchover stands still, or takes too long; e says which. To be asked again and
 * again. */
bool migrate_watch_is_stuck(struct migrate *m, struct err *e);
/* What query-block-jobs gave. */
void migrate_watch_block_jobs(struct migrate *m, const json_t *result);
void migrate_watch_streams(struct migrate *m, struct migrate_result *r);
uint64_t migrate_sent_bytes(const struct migrate *m);

#endif

/*
 * What the files of the destination's side of a migration share; nobody else
 * includes it.
 *
 *   service.c      which jobs there are; who may have one; streams to their job
 *   job.c          a job's life and states, the talk with the source, the end
 *   job_twin.c     Prepare: images, the twin started or taken, its monitor
 *   job_backing.c  Prepare: what stands below images that are copied without it
 *   job_streams.c  Prepare and Perform: descriptors, exports, the relays
 *   job_ram.c      RAM's settings and streams
 *   job_check.c    first in Prepare, and all of CHECK: what can be said without making anything
 *   job_finish.c   Finish: has everything arrived, the decision, the run
 */
#ifndef ADIT_CONTROL_JOB_I_H
#define ADIT_CONTROL_JOB_I_H

#include <event2/event.h>
#include <jansson.h>
#include <sys/queue.h>

#include "base/log.h"
#include "control/check_probe.h"
#include "control/cookie.h"
#include "control/guardian.h"
#include "control/proc.h"
#include "control/qmp.h"
#include "control/service.h"
#include "control/talk.h"
#include "control/twin.h"
#include "control/vmdesc.h"
#include "control/vms.h"
#include "proxy/relay.h"
#include "proxy/router.h"

/* What is allowed in each: docs/phases.md has the picture. */
enum job_state {
	JOB_WAITING,   /* the talk is open, BEGIN has not come */
	JOB_PREPARING, /* checks, images, twin, monitor; no stream yet */
	JOB_READY,     /* PREPARED was said: disk and RAM streams come and flow */
	JOB_CLOSING,   /* DISKS_DONE came: the exports are being closed */
	JOB_CLOSED,    /* DISKS_CLOSED was said: the last of RAM comes */
	JOB_FINISHING, /* FINISH came: is it whole? */
	JOB_DECIDED,   /* it is to run here; from now on nothing is undone */
	JOB_RUNS,      /* FINISHED was said: CONFIRM is awaited */
	JOB_OVER,      /* undone, or confirmed: waits to be freed */
};

struct job_disk {
	struct job *job;
	const struct vmdesc_disk *desc;
	char node[256];	 /* in the twin */
	char window[32]; /* a node over its first desc->size bytes, where it is larger */
	struct relay *relay;
	bool connected;
};

enum { JOB_CHANNELS_MAX = 256 };

/* Owned by its service, which frees it from the loop once it is over. */
struct job {
	struct service *service;
	TAILQ_ENTRY(job) listed;
	struct session *session; /* borrowed from the router; NULL once it has ended */
	struct talk *talk;
	enum job_state state;
	char id[COOKIE_JOB_LEN + 1];
	char route[COOKIE_JOB_LEN + 5]; /* "job:ID" at the router, or empty */
	char peer[256];
	struct log_ctx about;

	struct vmdesc desc;
	bool described, launched;
	const char *dest_qmp;

	struct job_check *check; /* while the checks run */
	bool only_check;	 /* it began with CHECK: nothing is made */
	struct guardian *guardian;
	struct twin twin;
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
		char dir[108], path[108];
	} ram;
	char nbd_dir[160], nbd_path[180];
	int nbd_fd;

	bool putting_back; /* the QEMU that waited is being put back as it was */
	bool answer_due;   /* then the source is told ABORTED */
	bool run;	   /* FINISH wants it to run */
	unsigned long long finish_until_ms;
	struct err suspect;
	struct event *ev_timer; /* one wait at a time, by state */
	struct event *ev_suspect;
	struct event *ev_reap;
};

struct service {
	struct event_base *base;
	struct router *router;
	struct service_config config;
	TAILQ_HEAD(, job) jobs;
	struct vms *vms; /* launched here, and handed over */
	json_t *probes;	 /* what QEMU binaries can do, for check_probe_binary */
};

/* job.c */
struct job *job_new(struct service *s, struct session *session, struct stream *stream);
void job_free(struct job *j);
void job_set_state(struct job *j, enum job_state state);
/* The job has failed here: undone, and the source told. Once it is decided, only logged. */
void job_fail(struct job *j, const struct err *e);
/* The same in a moment: who ended, and why, may show meanwhile. */
void job_suspect(struct job *j, const struct err *e);
int job_say(struct job *j, json_t *msg);
/* Says PREPARED. */
void job_prepared(struct job *j);
void job_wait(struct job *j, unsigned ms);
/* The end: it is forgotten once its last word has gone out. */
void job_over(struct job *j);

/* job_check.c */
/* The checks; then job_begin, or job_fail with the first error; for only_check CHECKED is
 * said and the job is over. */
void job_check_start(struct job *j);
/* Gives them up. */
void job_check_drop(struct job *j);

/* job_twin.c */
void job_begin(struct job *j);
void job_twin_due(struct job *j);
/* Whether a job that is under way has planned for the same image: its twin does not hold
 * QEMU's locks as long as it waits. */
bool job_image_is_planned(const struct job *j, const char *path);
/* Whether a VM of that name may be made, and the monitor that it is to go to be told
 * anything; nothing is made. ERR_REFUSED. */
int job_check_name(const struct job *j, struct err *e);
int job_check_dest_qmp(const struct job *j, struct err *e);
/* Commands and checks on the twin's monitor, once it is ready; calls job_prepared. */
void job_twin_ready(struct job *j);

/* job_backing.c */
/* Holds what is below the images that are to be made to the rules, and lists it in
 * twin.chain. ERR_REFUSED. */
int job_check_backing(struct job *j, struct err *e);

/* job_streams.c */
void job_export(struct job *j);
void job_take_stream(struct job *j, struct session *s, struct stream *stream, const char *target);
void job_close_exports(struct job *j);
/* The commands that take the twin's exports away. */
struct qmp_batch *job_closing_batch(struct job *j, enum qmp_need need);
void job_drop_streams(struct job *j, const char *reason);
void job_remove_nbd(struct job *j);

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

/* job_finish.c */
void job_finish(struct job *j, const json_t *msg);
void job_finish_due(struct job *j);

#endif

/*
 * libadit: moves running QEMU VMs through one encrypted TCP port, from within a program.
 * docs/libadit.md has the whole story. C99 and C++ alike.
 *
 * A loop is a thread of the library's own, in which all the work is done: a program that is
 * busy for a while never holds up a migration, nor the guest that stands still in it.
 * Callbacks come to the program's thread, and only while it is in adit_loop_step or
 * adit_loop_run. To sit in another event loop, watch adit_loop_fd for reading and call
 * adit_loop_step(loop, 0) when it is readable.
 *
 * Threads: whatever belongs to one loop is for one thread of the program at a time; different
 * loops know nothing of each other. From any thread at any time: adit_loop_stop (from signal
 * handlers too), and adit_job_set, adit_job_postcopy and adit_job_cancel as long as the job is
 * not freed. Every function may be called in a callback but adit_loop_step, adit_loop_run and
 * adit_loop_free. In a child after fork nothing of this may be used.
 *
 * Strings: UTF-8; what is given is copied, what is handed to a callback is valid during it.
 * The library writes nothing to standard output or error, handles no signal and never exits.
 */
#ifndef ADIT_H
#define ADIT_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ADIT_API __attribute__((visibility("default")))
#else
#define ADIT_API
#endif

struct adit_loop;
struct adit_job;
struct adit_tunnel;

/* What went wrong. */
struct adit_error {
	char code[32];	 /* for the program: "" none, "usage", "auth", "refused", "address",
			  * "timeout", "closed", "cancelled", "qemu", ... (docs/libadit.md) */
	char text[2048]; /* for a person: one sentence that names the thing and the mend */
};

/* An option by its name on the command line of `adit migrate`, without the dashes, and its
 * value as it is written there: {"max-bandwidth", "100M"}; NULL for switches. A list of them
 * ends with a name of NULL. */
struct adit_option {
	const char *name;
	const char *value;
};

/* The library's version, "0.1.0". */
ADIT_API const char *adit_version(void);

enum adit_log_level { ADIT_LOG_ERROR, ADIT_LOG_WARNING, ADIT_LOG_INFO, ADIT_LOG_DEBUG };

/* Lines of the log, up to that level, go to fn from now on; NULL: nowhere, as at first. For the
 * whole process. fn is called in the library's threads, several perhaps at once; it must
 * return soon, and call nothing of the library. */
ADIT_API void adit_log(void (*fn)(void *ctx, enum adit_log_level level, const char *line),
		       void *ctx, enum adit_log_level level);

/* ---- the loop ---- */

/* Starts a thread. NULL with *error (which may be NULL, here and everywhere). */
ADIT_API struct adit_loop *adit_loop_new(struct adit_error *error);

/* A descriptor that is readable while callbacks wait. For poll and its kin only. */
ADIT_API int adit_loop_fd(const struct adit_loop *loop);

/* Makes the callbacks that wait; when there are none, waits for some for up to timeout_ms
 * (negative: for ever). Returns how many were made: 0 when time is up, a signal came, or
 * adit_loop_stop was called. */
ADIT_API int adit_loop_step(struct adit_loop *loop, int timeout_ms);

/* Makes callbacks until no job runs and no tunnel is open any more: 0; or until
 * adit_loop_stop: 1. */
ADIT_API int adit_loop_run(struct adit_loop *loop);

/* Makes adit_loop_run return, or the next one when none runs. */
ADIT_API void adit_loop_stop(struct adit_loop *loop);

/* Cancels its jobs and waits until each has ended, so that none is left half done: up to a
 * minute at worst; one past the point where it can be cancelled is taken to its end. Closes
 * its tunnels. Jobs and tunnels that were not freed are freed. No callback comes. NULL is fine. */
ADIT_API void adit_loop_free(struct adit_loop *loop);

/* ---- a job: the migration of a VM ---- */

struct adit_job_callbacks {
	/* Something happened, or a second has passed: json is one object, the very line that
	 * `adit migrate --json` writes. May be NULL. */
	void (*on_event)(void *ctx, struct adit_job *job, const char *json);
	/* The end, once, and nothing after it. why->code is "" when the VM is on the
	 * destination now, "unknown" when nobody knows: it is paused here, and may run
	 * there (adit_job_resume asks again). The job is to be freed, which may be done here. May
	 * be NULL. */
	void (*on_end)(void *ctx, struct adit_job *job, const struct adit_error *why);
};

/* Starts to move a VM. Options as those of `adit migrate`, and "dest" for its DEST; "qmp",
 * "dest" and, but for ssh, one of "psk", "tls-creds" and "insecure" are needed. callbacks are
 * copied.
 * NULL with what can be known at once: "usage", "config", "auth", "address", ... */
ADIT_API struct adit_job *adit_job_start(struct adit_loop *loop, const struct adit_option *options,
					 const struct adit_job_callbacks *callbacks, void *ctx,
					 struct adit_error *error);

/* Takes a job to its end that was cut off (the program killed, the host rebooted, the line
 * lost at the last word) and whose record is in this host's journal: `adit recover`. Options:
 * "state-dir", and for a job whose destination cannot be asked the person's word "run-here" or
 * "drop-here" (`adit recover --help` says what they risk). on_end says "" when the VM is the
 * destination's, "stayed" when it is this host's, "unknown" when that can still not be said, else
 * why it is still not settled. */
ADIT_API struct adit_job *adit_job_resume(struct adit_loop *loop, const char *id,
					  const struct adit_option *options,
					  const struct adit_job_callbacks *callbacks, void *ctx,
					  struct adit_error *error);

/* Its id, as in the log, the journal and in events; valid until the job is freed. */
ADIT_API const char *adit_job_id(const struct adit_job *job);

/* Changes an option while it runs: "max-bandwidth", "downtime-limit", "timeout" or
 * "on-timeout". 0, or -1 with *error. */
ADIT_API int adit_job_set(struct adit_job *job, const char *name, const char *value,
			  struct adit_error *error);

/* The guest is to run on the destination at once, and the rest of its RAM to follow. Needs the
 * option "postcopy". 0, or -1 with *error. */
ADIT_API int adit_job_postcopy(struct adit_job *job, struct adit_error *error);

/* Asks for the end: on_end comes with "cancelled" once the VM is as it was before. 0; or -1 when it
 * is too late: the destination may run the VM already, or the job has ended. */
ADIT_API int adit_job_cancel(struct adit_job *job);

/* No callback comes any more. A job that still runs is cancelled, and goes on to its end in the
 * background for as long as the loop is there. NULL is fine. */
ADIT_API void adit_job_free(struct adit_job *job);

/* ---- a tunnel: connections to the far host ---- */

struct adit_tunnel_callbacks {
	/* The far adit is there and has proved who it is ("psk:NAME", "x509:SUBJECT",
	 * "ssh:USER@HOST"). What is
	 * forwarded flows from now on. May be NULL. */
	void (*on_ready)(void *ctx, struct adit_tunnel *tunnel, const char *peer);
	/* It could not be opened, or was lost; nothing is forwarded any more. Once, and
	 * nothing after it; the tunnel is to be closed, which may be done here. May be NULL. */
	void (*on_end)(void *ctx, struct adit_tunnel *tunnel, const struct adit_error *why);
};

/* Opens a tunnel to the `adit serve` at dest, "tls://HOST[:PORT]", with one of the options
 * "psk", "tls-creds" and "insecure"; or "ssh://HOST" or "ssh+tls://HOST", with none of them, and
 * with "ssh-config" and "remote-command" where they are wanted. A host's name is looked up
 * before it returns. NULL with *error. */
ADIT_API struct adit_tunnel *adit_tunnel_open(struct adit_loop *loop, const char *dest,
					      const struct adit_option *credentials,
					      const struct adit_tunnel_callbacks *callbacks,
					      void *ctx, struct adit_error *error);

/* Listens on local from now on, and carries each connection to remote, as the far host reaches
 * it: "unix:/path" or "tcp:HOST:PORT" both. Connections that come before the tunnel is ready
 * wait. 0, or -1 with *error. */
ADIT_API int adit_tunnel_forward(struct adit_tunnel *tunnel, const char *local, const char *remote,
				 struct adit_error *error);

/* Closes it, and what was forwarded. No callback comes any more. NULL is fine. */
ADIT_API void adit_tunnel_close(struct adit_tunnel *tunnel);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A program that embeds libadit in an event loop of its own: it does what the lines on its
 * standard input say and prints what comes. It knows nothing but adit.h.
 *
 *   start NAME=VALUE...       a job; NAME alone for a switch
 *   resume ID [NAME=VALUE]... one of the journal
 *   set NAME VALUE            postcopy    cancel    free    of the job
 *   tunnel DEST NAME=VALUE    forward LOCAL REMOTE    close
 *   log                       debug lines from now on
 *   quit                      frees the loop, with whatever runs in it
 */
#include <adit.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 32 };

static struct adit_loop *loop;
static struct adit_job *job;
static struct adit_tunnel *tunnel;
static pthread_t me;

static void say(const char *what, const char *text)
{
	printf("%s%s%s\n", what, *text ? " " : "", text);
	fflush(stdout);
}

static void failed(const char *what, const struct adit_error *e)
{
	printf("failed %s: %s: %s\n", what, e->code, e->text);
	fflush(stdout);
}

/* Callbacks come to the thread that steps, and to no other. */
static void check_thread(void)
{
	if (!pthread_equal(me, pthread_self()))
		abort();
}

static void on_event(void *ctx, struct adit_job *j, const char *json)
{
	check_thread();
	if (ctx != &job || j != job)
		abort();
	say("event", json);
}

static void on_job_end(void *ctx, struct adit_job *j, const struct adit_error *why)
{
	check_thread();
	if (ctx != &job)
		abort();
	printf("end %s: %s\n", *why->code ? why->code : "-", why->text);
	fflush(stdout);
	adit_job_free(j);
	job = NULL;
}

static void on_ready(void *ctx, struct adit_tunnel *t, const char *peer)
{
	(void)ctx;
	(void)t;
	check_thread();
	say("ready", peer);
}

static void on_tunnel_end(void *ctx, struct adit_tunnel *t, const struct adit_error *why)
{
	(void)ctx;
	check_thread();
	failed("tunnel", why);
	adit_tunnel_close(t);
	tunnel = NULL;
}

static void on_log(void *ctx, enum adit_log_level level, const char *line)
{
	(void)ctx;
	printf("log %d %s\n", (int)level, line);
}

static const struct adit_job_callbacks job_callbacks = {on_event, on_job_end};
static const struct adit_tunnel_callbacks tunnel_callbacks = {on_ready, on_tunnel_end};

/* NAME=VALUE words as options; words are changed. */
static void read_options(struct adit_option *out, char **words)
{
	for (; *words; words++, out++) {
		char *eq = strchr(*words, '=');

		if (eq)
			*eq = '\0';
		out->name = *words;
		out->value = eq ? eq + 1 : NULL;
	}
	out->name = NULL;
}

static void do_job(char **w)
{
	struct adit_option options[WORDS_MAX];
	struct adit_error e;
	int resume = strcmp(w[0], "resume") == 0;

	read_options(options, w + 1 + resume);
	job = resume ? adit_job_resume(loop, w[1], options, &job_callbacks, &job, &e)
		     : adit_job_start(loop, options, &job_callbacks, &job, &e);
	if (job)
		say("job", adit_job_id(job));
	else
		failed(w[0], &e);
}

static void do_line(char **w)
{
	struct adit_option options[WORDS_MAX];
	struct adit_error e;

	if (strcmp(w[0], "start") == 0 || strcmp(w[0], "resume") == 0) {
		do_job(w);
	} else if (strcmp(w[0], "set") == 0 && job) {
		if (adit_job_set(job, w[1], w[2], &e) < 0)
			failed("set", &e);
		else
			say("set", w[1]);
	} else if (strcmp(w[0], "postcopy") == 0 && job) {
		if (adit_job_postcopy(job, &e) < 0)
			failed("postcopy", &e);
	} else if (strcmp(w[0], "cancel") == 0 && job) {
		say(adit_job_cancel(job) < 0 ? "too late" : "cancelling", "");
	} else if (strcmp(w[0], "free") == 0) {
		adit_job_free(job);
		job = NULL;
		say("freed", "");
	} else if (strcmp(w[0], "tunnel") == 0) {
		read_options(options, w + 2);
		tunnel = adit_tunnel_open(loop, w[1], options, &tunnel_callbacks, NULL, &e);
		if (!tunnel)
			failed("tunnel", &e);
	} else if (strcmp(w[0], "forward") == 0 && tunnel) {
		if (adit_tunnel_forward(tunnel, w[1], w[2], &e) < 0)
			failed("forward", &e);
		else
			say("forwarding", w[1]);
	} else if (strcmp(w[0], "close") == 0) {
		adit_tunnel_close(tunnel);
		tunnel = NULL;
		say("closed", "");
	} else if (strcmp(w[0], "log") == 0) {
		adit_log(on_log, NULL, ADIT_LOG_DEBUG);
	} else {
		say("what?", w[0]);
	}
}

int main(void)
{
	struct adit_error e;
	char line[8192];
	int more = 1;

	me = pthread_self();
	setvbuf(stdin, NULL, _IONBF, 0); /* poll sees what is left */
	loop = adit_loop_new(&e);
	if (!loop) {
		failed("loop", &e);
		return 1;
	}
	/* set in this thread, not later in the loop's (docs/libadit.md) */
	if (!getenv("OPENSSH_PROXYJUMP")) {
		fprintf(stderr, "adit_loop_new has not set OPENSSH_PROXYJUMP\n");
		return 1;
	}
	while (more) {
		struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
					{.fd = adit_loop_fd(loop), .events = POLLIN}};
		char *words[WORDS_MAX] = {NULL}, *save = NULL;
		int n = 0;

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			adit_loop_step(loop, 0);
		if (!fds[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			break;
		for (char *w = strtok_r(line, " \n", &save); w && n < WORDS_MAX - 1;
		     w = strtok_r(NULL, " \n", &save))
			words[n++] = w;
		more = !words[0] || strcmp(words[0], "quit") != 0;
		if (words[0] && more)
			do_line(words);
	}
	adit_loop_free(loop);
	say("over", "");
	return 0;
}

/*
 * The source's part of adit check: see check_run.h. One step after the other: the monitor,
 * the destination, the dirty rate. A step that fails is a finding, and the next one is taken
 * all the same if it can be.
 */
#include "control/check/check_run.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "control/check/check_filters.h"
#include "control/check/check_rate.h"
#include "control/check/check_source.h"
#include "control/qmp.h"
#include "control/talk.h"
#include "control/vm.h"
#include "control/wish.h"
#include "tunnel/session.h"

enum {
	READ_MS = 30000,	/* for what the VM is; less with --timeout */
	ANSWER_MS = 30000,	/* of the destination, which asks a QEMU itself */
	LOOK_EVERY_MS = 100,	/* at the measurement */
	MEASURE_MORE_MS = 3000, /* beyond its own time */
};

enum step { READING, ASKING, MEASURING, OVER };

/* Owned by its maker. */
struct check_run {
	struct event_base *base;
	json_t *wish; /* what config's strings are borrowed from */
	struct migrate_config config;
	struct addr_dest dest;
	struct addr address;
	struct creds *creds;
	const struct check_run_ops *ops;
	void *ctx;
	enum step step;
	unsigned measure_s;

	struct check found;
	size_t told; /* findings that the owner has seen */

	struct qmp *qmp;
	bool has_vm, vm_gone;
	struct vmdesc_report report;
	struct media_sums *sums;       /* of its media, while they are read */
	struct check_filters *filters; /* on its taps, while they are read */
	struct session *session;
	struct talk *talk;
	uint64_t read_ms, measure_until_ms;
	uint64_t rtt_us;  /* of the session; 0: not known */
	struct event *ev; /* a limit, the next look, or the end: by step */
};

static void tell(struct check_run *k)
{
	for (; k->told < k->found.count; k->told++)
		k->ops->on_finding(k->ctx, &k->found.at[k->told]);
}

static void arm(struct check_run *k, uint64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	event_add(k->ev, &tv);
}

static void over(struct check_run *k)
{
	k->step = OVER;
	tell(k);
	event_active(k->ev, EV_TIMEOUT, 1);
}

/* ---- the dirty rate ---- */

static uint64_t bytes_of_disks(const struct check_run *k)
{
	uint64_t sum = 0;
	size_t i;
	json_t *d;

	json_array_foreach(k->report.disks, i, d)
	{
		const json_t *allocated = json_object_get(d, "allocated");

		if (!json_is_true(json_object_get(d, "copy")))
			continue;
		sum += (uint64_t)json_integer_value(allocated ? allocated
							      : json_object_get(d, "size"));
	}
	return sum;
}

static uint64_t downtime_ms(const struct check_run *k)
{
	const json_t *v = json_object_get(k->report.parameters, "downtime-limit");

	return k->config.limits.downtime_ms ? k->config.limits.downtime_ms
					    : (uint64_t)json_integer_value(v);
}

static void judge_rate(struct check_run *k, uint64_t dirty, bool still)
{
	const struct migrate_config *config = &k->config;
	const struct check_rate r = {
	    .dirty = dirty,
	    .bandwidth = config->limits.max_bandwidth,
	    .memory = (uint64_t)json_integer_value(json_object_get(k->report.vm, "memory")),
	    .disks = bytes_of_disks(k),
	    .downtime_ms = downtime_ms(k),
	    .still = still,
	    .helped = config->postcopy || config->auto_converge ||
		      config->limits.on_timeout != MIGRATE_ABORT,
	};

	check_rate(&k->found, &r);
	over(k);
}

static void no_rate(struct check_run *k, const char *why)
{
	check_add(&k->found, CHECK_WARNING, "dirty-rate", NULL,
		  "how fast the guest writes its RAM cannot be measured: %s", why);
	over(k);
}

static void on_rate(void *ctx, struct qmp *q, json_t *result, const struct err *why)
{
	struct check_run *k = ctx;
	const char *status = json_string_value(json_object_get(result, "status"));
	json_int_t mib = json_integer_value(json_object_get(result, "dirty-rate"));

	(void)q;
	if (k->step != MEASURING)
		return;
	if (err_is_set(why))
		no_rate(k, why->text);
	else if (status && strcmp(status, "measured") == 0)
		judge_rate(k, mib > 0 ? (uint64_t)mib << 20 : 0, false);
	else if (clock_ms() > k->measure_until_ms)
		no_rate(k, "QEMU does not come to an end with it");
	else
		arm(k, LOOK_EVERY_MS);
}

static void on_measuring(void *ctx, struct qmp *q, json_t *result, const struct err *why)
{
	struct check_run *k = ctx;

	(void)q;
	(void)result;
	if (k->step != MEASURING)
		return;
	if (err_is_set(why))
		no_rate(k, why->text);
	else
		arm(k, (uint64_t)k->measure_s * 1000);
}

static void measure(struct check_run *k)
{
	bool runs = json_is_true(json_object_get(k->report.vm, "running"));

	event_del(k->ev);
	tell(k);
	k->step = MEASURING;
	if (!k->has_vm || !k->measure_s || k->vm_gone) {
		over(k);
	} else if (!runs || k->config.offline) {
		judge_rate(k, 0, true);
	} else {
		k->measure_until_ms = clock_ms() + (uint64_t)k->measure_s * 1000 + MEASURE_MORE_MS;
		arm(k, (uint64_t)k->measure_s * 1000 + 2 * MEASURE_MORE_MS);
		qmp_command(k->qmp, "calc-dirty-rate",
			    json_pack("{s:i}", "calc-time", (int)k->measure_s), on_measuring, k);
	}
}

/* ---- the destination ---- */

static void talk_over(struct check_run *k)
{
	talk_free(k->talk);
	k->talk = NULL;
	measure(k);
}

static void on_cookie(void *ctx, struct talk *t, enum cookie_kind kind, const json_t *msg)
{
	struct check_run *k = ctx;
	struct err e = ERR_INIT;

	(void)t;
	if (k->step != ASKING)
		return;
	if (kind == COOKIE_CHECKED) {
		if (check_from_json(&k->found, json_object_get(msg, "findings"), &e) < 0)
			check_add_err(&k->found, CHECK_ERROR, "connection", &e);
	} else if (kind == COOKIE_ABORT) {
		cookie_get_abort(msg, &e);
		check_add_err(&k->found, CHECK_ERROR, "destination", &e);
	} else {
		check_add(&k->found, CHECK_ERROR, "connection", "use the same adit on both hosts",
			  "the destination answered %s", cookie_kind_name(kind));
	}
	talk_over(k);
}

static void on_talk_end(void *ctx, struct talk *t, const struct err *why)
{
	struct check_run *k = ctx;
	struct err e = *why;

	(void)t;
	if (k->step != ASKING)
		return;
	if (e.code == ERR_CLOSED || e.code == ERR_TIMEOUT)
		err_prefix(&e, "the connection to the destination %s is lost", k->dest.host);
	check_add_err(&k->found, CHECK_ERROR,
		      e.code == ERR_REFUSED ? "right-migrate" : "connection", &e);
	talk_over(k);
}

static const struct talk_ops talk_ops = {on_cookie, on_talk_end};

static void ask(struct check_run *k)
{
	char job[COOKIE_JOB_LEN + 1];
	struct err e = ERR_INIT;
	json_t *msg = NULL;

	k->talk = talk_open(k->session, &talk_ops, k, &e);
	if (k->talk && cookie_make_job(job, &e) == 0) {
		msg = cookie_new(COOKIE_CHECK, job);
		json_object_set(msg, "vm", k->report.vm);
		json_object_set(msg, "disks", k->report.disks);
		migrate_wish_tell(&k->config, msg);
		secret_keep_from(k->report.secrets, session_peer(k->session));
		if (!k->config.dest_qmp && json_array_size(k->report.secrets))
			json_object_set_new(msg, "secrets", secret_names(k->report.secrets));
		talk_send(k->talk, msg, &e);
	}
	if (err_is_set(&e)) {
		check_add_err(&k->found, CHECK_ERROR, "connection", &e);
		talk_over(k);
	}
}

/* The limit holds for the whole pause, but for what is asked across the line in it: that the disks
 * are closed, that all has arrived, and the disks' last flush. */
static void check_pause(struct check_run *k, uint64_t rtt_us)
{
	k->rtt_us = rtt_us;
	check_add(&k->found, CHECK_OK, "pause", NULL,
		  "the guest is to stand still for no more than %llu ms (--downtime-limit) and "
		  "three round trips (%.3g ms)",
		  (unsigned long long)downtime_ms(k), (double)rtt_us * 3 / 1000);
}

uint64_t check_run_rtt_us(const struct check_run *k)
{
	return k->rtt_us;
}

static void on_session_ready(void *ctx, struct session *s)
{
	struct check_run *k = ctx;
	struct session_stats stats;

	session_stats(s, &stats);
	if (stats.rtt_us)
		check_add(&k->found, CHECK_OK, "connection", NULL,
			  "%s at %s, a round trip of %.3g ms", session_peer(s),
			  session_peer_address(s), (double)stats.rtt_us / 1000);
	else
		check_add(&k->found, CHECK_OK, "connection", NULL, "%s at %s", session_peer(s),
			  session_peer_address(s));
	if (k->has_vm)
		check_pause(k, stats.rtt_us);
	tell(k);
	if (k->has_vm)
		ask(k);
	else
		measure(k);
}

static void on_session_end(void *ctx, struct session *s, const struct err *why)
{
	struct check_run *k = ctx;
	struct err e = *why;

	(void)s;
	if (k->step != ASKING)
		return; /* the talk was told before */
	if (!err_is_set(&e))
		err_set(&e, ERR_CLOSED, "the destination's adit ended the session");
	check_add_err(&k->found, CHECK_ERROR, "connection", &e);
	measure(k);
}

static const struct session_ops session_ops = {.on_ready = on_session_ready,
					       .on_end = on_session_end};

static void connect_there(struct check_run *k)
{
	struct session_config config;
	struct err e = ERR_INIT;

	k->step = ASKING;
	tell(k);
	session_config_default(&config);
	if (k->config.dest_address)
		config.connect_to = &k->address;
	arm(k, ANSWER_MS);
	k->session = session_connect(k->base, &k->dest, k->creds, &config, &session_ops, k, &e);
	if (k->session)
		return;
	check_add_err(&k->found, CHECK_ERROR, "connection", &e);
	measure(k);
}

/* ---- the source ---- */

static void on_filters(void *ctx, struct check_filters *f)
{
	struct check_run *k = ctx;

	check_filters_put(f, &k->found);
	check_filters_free(f);
	k->filters = NULL;
	if (k->step == READING)
		connect_there(k);
}

static void described(struct check_run *k)
{
	check_source(&k->found, &k->report, &k->config);
	if (!k->config.dest_qmp)
		k->filters = check_filters_start(k->base, k->report.vm, on_filters, k);
	if (k->filters)
		event_del(k->ev); /* the monitor has said it all; nft has a limit of its own */
	else
		connect_there(k);
}

static void on_summed(void *ctx, struct media_sums *sums)
{
	struct check_run *k = ctx;

	media_sums_put(sums, k->report.disks);
	media_sums_free(sums);
	k->sums = NULL;
	if (k->step == READING)
		described(k);
}

static void on_described(void *ctx)
{
	struct check_run *k = ctx;

	if (k->step != READING)
		return;
	if (!k->config.dest_qmp)
		k->sums = media_sums_new(k->base, qmp_peer_pid(k->qmp), on_summed, k);
	if (!k->sums) {
		described(k);
		return;
	}
	media_sums_add_disks(k->sums, k->report.disks);
	media_sums_start(k->sums, "");
}

static void on_read(void *ctx, struct vmdesc_report *r, const struct err *why)
{
	struct check_run *k = ctx;
	struct err e = *why;

	if (!r) {
		check_add_err(&k->found, CHECK_ERROR, "monitor", &e);
		connect_there(k);
		return;
	}
	k->report = *r;
	k->has_vm = true;
	if (migrate_wish_select(&k->config, k->report.disks, &e) < 0)
		check_add_err(&k->found, CHECK_ERROR, "disks", &e);
	err_set(&e, ERR_NONE, "%s", "");
	if (migrate_wish_networks(&k->config, k->report.vm, &e) < 0)
		check_add_err(&k->found, CHECK_ERROR, "networks", &e);
	secret_describe(k->qmp, k->report.secrets, k->report.disks, on_described, k);
}

static void on_qmp_ready(void *ctx, struct qmp *q)
{
	vmdesc_read(q, on_read, ctx);
}

static void on_qmp_event(void *ctx, struct qmp *q, const char *name, const json_t *data)
{
	(void)ctx;
	(void)q;
	(void)name;
	(void)data;
}

static void on_qmp_end(void *ctx, struct qmp *q, const struct err *why)
{
	struct check_run *k = ctx;

	(void)q;
	k->vm_gone = true;
	if (k->step == OVER)
		return;
	if (k->step == READING || k->has_vm)
		check_add_err(&k->found, CHECK_ERROR, "monitor", why);
	if (k->step == READING)
		connect_there(k);
	else if (k->step == MEASURING)
		over(k);
}

static const struct qmp_ops qmp_ops = {on_qmp_ready, on_qmp_event, on_qmp_end};

static void on_event(evutil_socket_t fd, short what, void *ctx)
{
	struct check_run *k = ctx;

	(void)fd;
	(void)what;
	switch (k->step) {
	case READING:
		/* It may never answer again: nobody is to wait for it, here or later. */
		qmp_free(k->qmp);
		k->qmp = NULL;
		k->vm_gone = true;
		check_add(&k->found, CHECK_ERROR, "monitor",
			  "is QEMU stopped (SIGSTOP, a debugger), or its storage?",
			  "the VM's monitor %s has not said within %llu s what the VM is",
			  k->config.qmp, (unsigned long long)k->read_ms / 1000);
		connect_there(k);
		break;
	case ASKING:
		check_add(&k->found, CHECK_ERROR, "connection", NULL,
			  "the destination did not answer within %d s", ANSWER_MS / 1000);
		talk_over(k);
		break;
	case MEASURING:
		if (clock_ms() > k->measure_until_ms + MEASURE_MORE_MS) {
			no_rate(k, "the VM's monitor does not answer any more");
			break;
		}
		arm(k, MEASURE_MORE_MS);
		qmp_command(k->qmp, "query-dirty-rate", NULL, on_rate, k);
		break;
	case OVER:
		k->ops->on_end(k->ctx, &k->found);
		break;
	}
}

struct check_run *check_run_start(struct event_base *base, const struct migrate_config *config,
				  unsigned measure_s, const struct check_run_ops *ops, void *ctx,
				  struct err *e)
{
	struct check_run *k = calloc(1, sizeof(*k));

	if (!k) {
		err_set(e, ERR_SPACE, "no memory for a check");
		return NULL;
	}
	k->base = base;
	k->ops = ops;
	k->ctx = ctx;
	k->measure_s = measure_s;
	k->ev = evtimer_new(base, on_event, k);
	k->wish = migrate_config_to_json(config);
	if (!k->ev || !k->wish) {
		err_set(e, ERR_SPACE, "no memory for a check");
		goto fail;
	}
	if (migrate_config_check(config, e) < 0 ||
	    migrate_config_from_json(&k->config, k->wish, e) < 0 ||
	    addr_parse_dest(&k->dest, k->config.dest, e) < 0)
		goto fail;
	if (k->config.dest_address &&
	    addr_parse_host(&k->address, k->config.dest_address, k->dest.port, e) < 0) {
		err_prefix(e, "--dest-address");
		goto fail;
	}
	k->creds = auth_load_client(&k->config.auth, &k->dest, e);
	if (!k->creds)
		goto fail;
	k->qmp = qmp_connect(base, k->config.qmp, 0, &qmp_ops, k, e);
	k->read_ms = (uint64_t)k->config.limits.timeout_s * 1000;
	if (!k->read_ms || k->read_ms > READ_MS)
		k->read_ms = READ_MS;
	if (k->qmp) {
		arm(k, k->read_ms);
		return k;
	}
fail:
	check_run_free(k);
	return NULL;
}

void check_run_free(struct check_run *k)
{
	if (!k)
		return;
	k->step = OVER;
	talk_free(k->talk);
	session_close(k->session, CODE_NONE, "the check is over");
	qmp_free(k->qmp);
	media_sums_free(k->sums);
	check_filters_free(k->filters);
	vmdesc_report_fini(&k->report);
	check_fini(&k->found);
	creds_free(k->creds);
	if (k->ev)
		event_free(k->ev);
	json_decref(k->wish);
	free(k);
}

/*
 * Prepare: the destination is asked, and says what it has checked and made. Nothing is touched here
 * meanwhile.
 */
#include "control/source/migrate_i.h"

#include <string.h>

#include "base/point.h"
#include "control/vm.h"
#include "control/wish.h"

static void enter(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (migrate_connect(m, &e) < 0)
		migrate_fail(m, &e);
}

/* secrets: what is in them, owned; NULL: there are none to be handed over. */
static void say_begin(struct migrate *m, json_t *secrets)
{
	json_t *msg = cookie_new(COOKIE_BEGIN, m->id);

	json_object_set(msg, "vm", m->report.vm);
	json_object_set(msg, "disks", m->report.disks);
	migrate_wish_tell(&m->config, msg);
	if (m->ram.preempt)
		json_object_set_new(msg, "preempt", json_true());
	if (secrets)
		json_object_set_new(msg, "secrets", secrets);
	if (migrate_say(m, msg) == 0)
		POINT("s-prepare");
}

static void on_secrets(void *ctx, json_t *secrets, const struct err *e)
{
	struct migrate *m = ctx;

	if (m->state != MIGRATE_PREPARE || !m->link.ready || !m->link.talk)
		json_decref(secrets);
	else if (secrets)
		say_begin(m, secrets);
	else
		migrate_fail(m, e);
}

/* Those that the QEMU over there gets; one that somebody else starts has its own. */
static void hand_over(struct migrate *m)
{
	if (m->config.dest_qmp || !json_array_size(m->report.secrets)) {
		say_begin(m, NULL);
	} else {
		secret_keep_from(m->report.secrets, session_peer(m->link.session));
		secret_fetch(m->qemu.qmp, m->report.secrets, on_secrets, m);
	}
}

static void session_ready(struct migrate *m)
{
	struct err e = ERR_INIT;

	if (migrate_open_talk(m, &e) < 0)
		migrate_fail(m, &e);
	else
		hand_over(m);
}

/* One node behind two disks would hold neither of them. nodes: those of disks, in their order. */
static int check_nodes(const json_t *disks, const json_t *nodes, struct err *e)
{
	size_t i, k;
	json_t *node;

	if (nodes && json_array_size(nodes) != json_array_size(disks))
		return err_set(e, ERR_PROTOCOL, "the destination named %zu nodes for %zu disks",
			       json_array_size(nodes), json_array_size(disks));
	json_array_foreach(nodes, i, node)
	{
		for (k = 0; k < i && !json_equal(node, json_array_get(nodes, k)); k++)
			;
		if (k < i)
			return err_set(e, ERR_PROTOCOL,
				       "the destination would copy disks %s and %s into one node, "
				       "%.100s",
				       json_string_value(json_array_get(disks, k)),
				       json_string_value(json_array_get(disks, i)),
				       json_string_value(node));
	}
	return 0;
}

/* What the destination opened to the copy must be exactly what is to be copied: a disk that
 * it left out would be missing from the VM there. */
static int check_prepared(struct migrate *m, const json_t *msg, struct err *e)
{
	const json_t *there = json_object_get(msg, "disks");
	size_t wanted = 0, matches, i, k;

	for (i = 0; i < m->desc.disk_count; i++) {
		struct vmdesc_disk *d = &m->desc.disks[i];

		if (!d->copy)
			continue;
		for (k = 0, matches = 0; k < json_array_size(there); k++)
			matches +=
			    strcmp(json_string_value(json_array_get(there, k)), d->name) == 0;
		if (d->read_only && matches == 0) {
			d->copy = false; /* it is there already */
			continue;
		}
		wanted++;
		if (matches != 1)
			return err_set(e, ERR_PROTOCOL,
				       "the destination prepared disk %s %zu times, not once",
				       d->name, matches);
	}
	if (check_nodes(there, json_object_get(msg, "nodes"), e) < 0)
		return e->code;
	if (json_array_size(there) != wanted)
		return err_set(e, ERR_PROTOCOL,
			       "the destination prepared %zu disks, and %zu are to be copied",
			       json_array_size(there), wanted);
	return 0;
}

static void prepared(struct migrate *m, const json_t *msg)
{
	struct err e = ERR_INIT;
	size_t i;
	json_t *note;

	if (check_prepared(m, msg, &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	m->prepared = json_incref((json_t *)msg);
	json_array_foreach(json_object_get(msg, "notes"), i, note)
	    migrate_note(m, "%s", json_string_value(note));
	if (migrate_record(m, "perform", &e) < 0) {
		migrate_fail(m, &e);
		return;
	}
	m->qemu.touched = true;
	if (migrate_list_disks(m, &e) < 0)
		migrate_fail(m, &e);
	else
		migrate_enter(m, m->disk_count ? MIGRATE_DISKS : MIGRATE_RAM);
}

static const struct phase_cookie cookies[] = {
    {COOKIE_PREPARED, prepared},
    {COOKIE_ABORT, migrate_take_abort},
    {0},
};

const struct phase phase_prepare = {
    .name = "prepare",
    .text = "the destination checks, and makes what the VM needs",
    .to = PHASE_TO(DISKS) | PHASE_TO(RAM) | PHASE_TO(UNDO),
    .is = PHASE_EARLY | PHASE_RETURNS,
    .enter = enter,
    .deadline = {.none = "the destination's disks may be long in the making: the session's "
			 "keepalive, and --timeout"},
    .cookies = cookies,
    .bad_word = migrate_fail,
    .talk_ended = migrate_connection_lost,
    .session_ready = session_ready,
    .session_ended = migrate_fail,
    .qemu_ended = migrate_qemu_lost,
    .time_up = migrate_time_up,
    .cancel = migrate_cancel_returns,
};

/* PREPARED: all is there, and what the source is told of it. */
#include "control/destination/arrival_i.h"

#include <stdio.h>

#include "base/point.h"

/* A note holds the source's own words: cut and made fit for a cookie. */
static json_t *note_text(const char *note)
{
	char text[1024];

	snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, note);
	return json_string(err_printable(text));
}

void arrival_prepared(struct arrival *a)
{
	char kept[4096];
	json_t *msg, *vm, *disks, *nodes, *notes;

	if (arrival_ports_wait(a, arrival_prepared))
		return;
	msg = cookie_new(COOKIE_PREPARED, a->id);
	disks = json_array();
	nodes = json_array();
	notes = json_array();
	vm = json_pack("{s:s,s:s,s:b}", "qemu", a->twin.qemu_version, "qmp", a->twin.qmp,
		       "launched", a->wish.launched ? 1 : 0);
	if (a->wish.launched) {
		json_object_set_new(vm, "dir", json_string(a->twin.dir));
		json_object_set_new(vm, "pid", json_integer(proc_pid(a->qemu.proc)));
	}
	if (a->wish.persistent) {
		arrival_keep_path(a, 0, true, kept, sizeof(kept));
		json_object_set_new(vm, "kept", json_string(kept));
	}
	for (size_t i = 0; i < a->disk_count; i++) {
		json_array_append_new(disks, json_string(a->disks[i].desc->name));
		json_array_append_new(nodes, json_string(a->disks[i].node));
	}
	for (size_t i = 0; i < a->twin.notes.count; i++)
		json_array_append_new(notes, note_text(a->twin.notes.at[i]));
	json_object_set_new(msg, "vm", vm);
	json_object_set_new(msg, "disks", disks);
	json_object_set_new(msg, "nodes", nodes);
	json_object_set_new(msg, "notes", notes);
	if (a->ram.preempt)
		json_object_set_new(msg, "preempt", json_true());
	json_object_set_new(msg, "host", json_string(arrival_record_host(a)));
	arrival_images_note(a);
	POINT("d-prepared");
	if (arrival_enter(a, ARRIVAL_READY))
		arrival_say(a, msg);
	else
		json_decref(msg);
}

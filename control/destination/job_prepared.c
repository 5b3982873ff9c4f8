/* PREPARED: all is there, and what the source is told of it. */
#include "control/destination/job_i.h"

#include <stdio.h>

#include "base/point.h"

/* A note holds the source's own words: cut and made fit for a cookie. */
static json_t *note_text(const char *note)
{
	char text[1024];

	snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, note);
	return json_string(err_printable(text));
}

void job_prepared(struct job *j)
{
	char kept[4096];
	json_t *msg = cookie_new(COOKIE_PREPARED, j->id), *vm, *disks = json_array(),
	       *nodes = json_array(), *notes = json_array();

	vm = json_pack("{s:s,s:s,s:b}", "qemu", j->twin.qemu_version, "qmp", j->twin.qmp,
		       "launched", j->wish.launched ? 1 : 0);
	if (j->wish.launched) {
		json_object_set_new(vm, "dir", json_string(j->twin.dir));
		json_object_set_new(vm, "pid", json_integer(proc_pid(j->qemu.proc)));
	}
	if (j->wish.persistent) {
		job_keep_path(j, 0, true, kept, sizeof(kept));
		json_object_set_new(vm, "kept", json_string(kept));
	}
	for (size_t i = 0; i < j->disk_count; i++) {
		json_array_append_new(disks, json_string(j->disks[i].desc->name));
		json_array_append_new(nodes, json_string(j->disks[i].node));
	}
	for (size_t i = 0; i < j->twin.notes.count; i++)
		json_array_append_new(notes, note_text(j->twin.notes.at[i]));
	json_object_set_new(msg, "vm", vm);
	json_object_set_new(msg, "disks", disks);
	json_object_set_new(msg, "nodes", nodes);
	json_object_set_new(msg, "notes", notes);
	if (j->ram.preempt)
		json_object_set_new(msg, "preempt", json_true());
	json_object_set_new(msg, "host", json_string(job_record_host(j)));
	job_images_note(j);
	POINT("d-prepared");
	if (job_enter(j, JOB_READY))
		job_say(j, msg);
	else
		json_decref(msg);
}

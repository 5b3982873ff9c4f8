/* What the unit tests of the twin's command line share: a VM's description made of a command
 * line, and what the plan of its twin has. */
#ifndef ADIT_TESTS_TEST_TWIN_FIXTURE_H
#define ADIT_TESTS_TEST_TWIN_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>

#include "control/twin/twin.h"

/* The folder of images. A group of tests makes it with the one, and removes it with the other. */
extern char twin_fixture_images[];
int twin_fixture_set_up(void **state);
int twin_fixture_tear_down(void **state);

#define JOB "0123456789abcdef0123456789abcdef"
#define DIR "/run/t/vms/vm-01234567"

struct plan {
	const char *exe, *name, *cwd, *rename;
	bool no_images, inc;
	bool no_nodes;		 /* no -blockdev of the start is there any more */
	json_t *disks, *secrets; /* stolen */
	const char *plugged;
	json_t *networks; /* stolen */
	const struct rights_network *allowed;
	unsigned allowed_count;
	const char *const *memory; /* rights */
	const char *swtpm;
	const char **storage; /* of the rights */
	const char *format;   /* of all of these */
	/* what came out */
	struct vmdesc d;
	struct twin t;
	struct err e;
};

/* A raw or other disk of 1 MiB, which is copied. */
json_t *disk(const char *name, const char *file, const char *format);
/* Plans the twin of a source with these arguments; words end with NULL. */
int plan_words(struct plan *p, const char *const *words);
#define plan(p, ...) plan_words(p, (const char *const[]){__VA_ARGS__, NULL})
void plan_fini(struct plan *p);
/* The value behind the nth option of this name (with its dash); NULL. */
const char *value(const struct plan *p, const char *option, unsigned n);
/* Whether one of the notes has this part. */
bool noted(const struct plan *p, const char *part);
/* It becomes exactly this (out "": the option is left out); no note, no error. */
void becomes(const char *option, const char *in, const char *out);
/* It is refused by name, with a part of the reason. */
void refused(const char *option, const char *in, const char *part);

#endif

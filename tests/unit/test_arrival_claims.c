/* What two disks, or two arrivals, may not both have: which images are one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/destination/arrival_i.h"

static char top[] = "/tmp/adit-claims-XXXXXX";

static const struct {
	const char *a, *b;
	bool one;
} cases[] = {
    {"d/x", "d/x", true},   {"d/x", "d//x", true},     {"d/x", "link/x", true},
    {"d/x", "d/y", false},  {"d/x", "e/x", false},     {"d/x", "none/x", false},
    {"d/x", "d/is", false}, {"d/is", "link/is", true},
};

static void path_of(const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", top, name);
}

/* Also those that are still to be made: the second would find the first one there. */
static void test_arrivals_know_an_image_by_each_of_its_names(void **state)
{
	const struct vmdesc_disk disks[2] = {{.name = "d0", .copy = true},
					     {.name = "d1", .copy = true}};
	struct service s = {0};
	struct arrival other = {.state = ARRIVAL_READY, .phases = arrival_phases},
		       a = {.state = ARRIVAL_WAITING, .phases = arrival_phases};
	struct twin_image images[2] = {{.disk = &disks[0]}, {.disk = &disks[1]}};
	struct twin plan = {.images = images, .image_count = 2};
	struct twin others = {.images = images, .image_count = 1};
	char path_a[64], path_b[64];

	(void)state;
	TAILQ_INIT(&s.arrivals);
	a.service = other.service = &s;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;

		path_of(cases[i].a, path_a, sizeof(path_a));
		path_of(cases[i].b, path_b, sizeof(path_b));
		images[0].path = path_a;
		images[1].path = path_b;
		assert_int_equal(arrival_check_image(&a, &plan, 1, &e),
				 cases[i].one ? ERR_REFUSED : 0);
		if (cases[i].one)
			assert_non_null(
			    strstr(e.text, access(path_b, F_OK) == 0 ? "remove one" : "--target"));
		/* another migration's */
		other.twin = others;
		TAILQ_INSERT_TAIL(&s.arrivals, &other, listed);
		assert_int_equal(arrival_image_is_planned(&a, path_b, true), cases[i].one);
		TAILQ_REMOVE(&s.arrivals, &other, listed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arrivals_know_an_image_by_each_of_its_names),
	};
	char command[128];
	int r;

	if (!mkdtemp(top))
		return 1;
	snprintf(command, sizeof(command), "cd %s && mkdir d e && ln -s d link && touch d/is", top);
	if (system(command) != 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -r %s", top);
	return system(command) == 0 ? r : 1;
}

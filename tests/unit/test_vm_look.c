/* What is read of QEMU's words about networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>

#include "control/vm.h"

static void expect(const char *text, const char *json)
{
	json_t *got = vm_look_networks(text), *want = json_loads(json, 0, NULL);
	char *said = json_dumps(got, JSON_COMPACT);

	assert_non_null(want);
	if (!json_equal(got, want))
		fail_msg("of \"%s\": %s", text, said);
	free(said);
	json_decref(got);
	json_decref(want);
}

/* As QEMU 7.2 and 10.0 say it, with backends that no card has, and what is no such text. */
static void test_networks_are_read(void **state)
{
	(void)state;
	expect("", "[]");
	expect("net0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\r\n"
	       " \\ n0: index=0,type=tap,fd=12\r\n"
	       "n1: index=0,type=tap,fd=13\r\n",
	       "[{\"nic\":\"net0\",\"model\":\"virtio-net-pci\",\"mac\":\"52:54:00:12:34:56\","
	       "\"backend\":\"n0: index=0,type=tap,fd=12\"}]");
	expect("hub 0\r\n"
	       " \\ hub0port1: #net059: index=0,type=user,net=10.0.2.0,restrict=off\r\n"
	       "e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:00:00:01\r\n",
	       "[{\"nic\":\"e1000.0\",\"model\":\"e1000\",\"mac\":\"52:54:00:00:00:01\","
	       "\"backend\":\"\"}]");
	expect("net0: index=0,type=nic", "[{\"nic\":\"net0\",\"model\":\"\",\"mac\":\"\","
					 "\"backend\":\"\"}]");
	expect(" \\ : ,type=nic\n\n\n:::\n \\\n", "[]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks_are_read)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

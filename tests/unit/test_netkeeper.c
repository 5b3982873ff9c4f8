/* The keeper of a port, with a tap and a script: that the tap is up, and what becomes of the script
 * as the tap has gone. In a network of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/host/netkeeper.h"
#include "control/host/tap.h"

enum { WAIT_S = 20 };

static char dir[] = "/tmp/adit-netkeeper-XXXXXX";
static struct netport port = {.kind = NETPORT_SCRIPT, .interface = "adit0n0", .network = "cable"};
static int tap = -1;

/* The kernel's answers that a keeper does not get. */
static pid_t test_pid;
static int unanswered;
unsigned __real_if_nametoindex(const char *name);
unsigned __wrap_if_nametoindex(const char *name);

unsigned __wrap_if_nametoindex(const char *name)
{
	if (getpid() != test_pid && unanswered > 0) {
		unanswered--;
		errno = ENFILE;
		return 0;
	}
	return __real_if_nametoindex(name);
}

/* A script that does that as it detaches, and notes what it has been called for. */
static void script_make(const char *detach)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/once", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/made", dir);
	unlink(path);
	snprintf(port.script, sizeof(port.script), "%s/script", dir);
	f = fopen(port.script, "w");
	assert_non_null(f);
	fprintf(f,
		"#!/bin/sh\ncd %s\nif [ $1 = detach ]; then :\n%s\nfi\n"
		"grep -q \" *$2:\" /proc/net/dev && here=here || here=gone\n"
		"echo $1 $here >>log\n",
		dir, detach);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(port.script, 0700), 0);
}

/* What it has noted, once that ends with last. */
static const char *noted(const char *last)
{
	static char text[500];
	char path[100];

	snprintf(path, sizeof(path), "%s/log", dir);
	for (int i = 0; i < WAIT_S * 20; i++) {
		FILE *f = fopen(path, "r");
		size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

		text[n] = 0;
		if (f)
			fclose(f);
		if (n >= strlen(last) && strcmp(text + n - strlen(last), last) == 0)
			break;
		usleep(50000);
	}
	return text;
}

static bool is_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", port.interface);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	close(fd);
	return r.ifr_flags & IFF_UP;
}

static void tap_make(void)
{
	struct err e = ERR_INIT;

	if (tap_open(port.interface, 1, true, 0, &tap, &e) < 0)
		fail_msg("%s", e.text);
	assert_false(is_up());
}

static void tap_end(void)
{
	close(tap);
	tap = -1;
}

static int end_what_is_left(void **state)
{
	(void)state;
	if (tap >= 0)
		tap_end();
	return 0;
}

/* The next tap of that name is there. */
static void note_made(void)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/made", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

static void keeper_start(void)
{
	struct err e = ERR_INIT;

	if (netkeeper_await(netkeeper_start(&port, &e), &port, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_the_interface_is_up_where_nobody_awaits_the_answer(void **state)
{
	struct err e = ERR_INIT;
	int fd;

	(void)state;
	script_make("");
	tap_make();
	fd = netkeeper_start(&port, &e);
	assert_true(fd >= 0);
	close(fd);
	assert_string_equal(noted("attach here\n"), "attach here\n");
	for (int i = 0; i < WAIT_S * 20 && !is_up(); i++)
		usleep(50000);
	assert_true(is_up());
	tap_end();
	assert_string_equal(noted("detach gone\n"), "attach here\ndetach gone\n");
}

static void test_what_detaches_is_not_ended_by_a_service_that_ends(void **state)
{
	(void)state;
	script_make("kill -TERM $$; kill -INT $$; kill -HUP $$\n"
		    "sh -c 'kill -TERM $$; echo child >>log'");
	tap_make();
	keeper_start();
	tap_end();
	assert_string_equal(noted("detach gone\n"), "attach here\nchild\ndetach gone\n");
}

static void test_what_was_killed_is_called_again(void **state)
{
	(void)state;
	script_make("[ -e once ] || { : >once; echo killed >>log; kill -KILL $$; }");
	tap_make();
	keeper_start();
	tap_end();
	assert_string_equal(noted("detach gone\n"), "attach here\nkilled\ndetach gone\n");
}

static void test_the_next_of_that_name_comes_behind(void **state)
{
	static const char all[] = "attach here\ndetach here\nattach here\ndetach gone\n";

	(void)state;
	/* (and for a moment more, in which the next would attach if it did not wait) */
	script_make(
	    "[ -e once ] || { : >once; while [ ! -e made ]; do sleep 0.05; done; sleep 1; }");
	tap_make();
	keeper_start();
	tap_end();
	tap_make();
	note_made();
	keeper_start();
	tap_end();
	assert_string_equal(noted(all), all);
}

static void test_a_look_that_fails_is_no_end(void **state)
{
	(void)state;
	script_make("");
	tap_make();
	unanswered = 2;
	keeper_start();
	unanswered = 0;
	sleep(1); /* (a keeper that errs has detached by then) */
	tap_end();
	assert_string_equal(noted("detach gone\n"), "attach here\ndetach gone\n");
}

static int make_network(void **state)
{
	(void)state;
	test_pid = getpid();
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_all(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

#define TEST(name) cmocka_unit_test_teardown(name, end_what_is_left)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_the_interface_is_up_where_nobody_awaits_the_answer),
	    TEST(test_what_detaches_is_not_ended_by_a_service_that_ends),
	    TEST(test_what_was_killed_is_called_again),
	    TEST(test_the_next_of_that_name_comes_behind),
	    TEST(test_a_look_that_fails_is_no_end),
	};
	struct err e = ERR_INIT;

	if (unshare(CLONE_NEWNET) < 0 || tap_may(&e) < 0) {
		printf("SKIP: no network of its own, or no taps in it: %s\n",
		       err_is_set(&e) ? e.text : strerror(errno));
		return 0;
	}
	return cmocka_run_group_tests(tests, make_network, remove_all);
}

/* The twin's sockets, logs, ports and displays: private to it, or left out by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "test_twin_fixture.h"

static void test_twin_makes_sockets_and_logs_private(void **state)
{
	static const char *const all[][3] = {
	    {"-serial", "stdio", "file:" DIR "/serial0.log"},
	    {"-serial", "mon:stdio", "file:" DIR "/serial0.log"},
	    {"-serial", "pty", "file:" DIR "/serial0.log"},
	    {"-serial", "file:/var/log/vm/../guest.log", "file:" DIR "/guest.log"},
	    {"-serial", "unix:/run/s,server,nowait",
	     "unix:" DIR "/serial0.sock,server=on,wait=off"},
	    {"-serial", "tcp::4444,server=on", "unix:" DIR "/serial0.sock,server=on,wait=off"},
	    {"-serial", "telnet::4444,server", "unix:" DIR "/serial0.sock,server=on,wait=off"},
	    {"-monitor", "stdio", "none"},
	    {"-monitor", "telnet:0.0.0.0:1,server,nowait",
	     "unix:" DIR "/monitor.sock,server=on,wait=off"},
	    {"-vnc", ":1,password=on,to=9", "vnc=unix:" DIR "/vnc.sock,password=on"},
	    {"-vnc", "unix:/run/v,tls-creds=t,sasl=on", "vnc=unix:" DIR "/vnc.sock"},
	    {"-vnc", ":1,password-secret=s", "vnc=unix:" DIR "/vnc.sock,password-secret=s"},
	    {"-spice", "port=1,disable-ticketing=on,tls-port=2,x509-dir=/x",
	     "unix=on,addr=" DIR "/spice.sock,disable-ticketing=on"},
	    {"-spice", "port=1,password=geheim,streaming-video=off",
	     "streaming-video=off,unix=on,addr=" DIR "/spice.sock"},
	    {"-vnc", "none", "none"},
	    {"-chardev", "socket,id=c,path=/run/s,server=on,wait=off",
	     "backend=socket,id=c,path=" DIR "/chardev-c.sock,server=on,wait=off"},
	    {"-chardev", "socket,id=c,host=0.0.0.0,port=1,server,nowait,telnet",
	     "backend=socket,id=c,path=" DIR "/chardev-c.sock,server=on,wait=off"},
	    {"-chardev", "socket,id=c,fd=7",
	     "backend=socket,id=c,path=" DIR "/chardev-c.sock,server=on,wait=off"},
	    {"-chardev", "file,id=c,path=/x/y.log,append=on",
	     "backend=file,id=c,path=" DIR "/y.log,append=on"},
	    {"-chardev", "null,id=c,logfile=/x/y.log", "backend=null,id=c,logfile=" DIR "/y.log"},
	    {"-audiodev", "pa,id=a,server=/run/pulse", "driver=none,id=a"},
	    {"-audiodev", "pa,id=a,,driver=wav,,path=/etc/x",
	     "driver=none,id=a,,driver=wav,,path=/etc/x"},
	    {"-audio", "pa,model=hda", "driver=none,model=hda"},
	    {"-audiodev", "{\"driver\":\"wav\",\"path\":\"/tmp/x\",\"id\":\"a,b\"}",
	     "driver=none,id=a,,b"},
	    {"-chardev", "spicevmc,id=c,name=vdagent", "backend=null,id=c,name=vdagent"},
	    {"-mon", "chardev=c,mode=control", "chardev=c,mode=control"},
	    {"-boot", "menu=on,splash=/usr/share/x.jpg,splash-time=5", "menu=on"},
	    {"-boot", "splash=/usr/share/x.jpg", ""},
	    {"-iscsi", "initiator-name=iqn.1993-08.org.debian:01:a", ""},
	    {"-id", "100", ""},
	    {"-display", "gtk,gl=on", "none"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		becomes(all[i][0], all[i][1], all[i][2]);
}

static void test_twin_leaves_out_a_monitor_at_a_program_of_the_source(void **state)
{
	static const char client[] = "socket,id=c,path=/run/events.sock,reconnect=5";
	struct plan p = {0};

	(void)state;
	assert_int_equal(plan(&p, "-mon", "chardev=c,mode=control", "-chardev", client), 0);
	assert_null(value(&p, "-chardev", 0));
	assert_null(value(&p, "-mon", 0));
	assert_true(noted(&p, "chardev=c is left out"));
	plan_fini(&p);
	/* one that the guest has, too, or that another one is over */
	assert_int_equal(plan(&p, "-chardev", client, "-mon", "c", "-device",
			      "{\"driver\":\"virtserialport\",\"chardev\":\"c\"}"),
			 ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "connected to a program"));
	plan_fini(&p);
	assert_int_equal(plan(&p, "-chardev", client, "-mon", "c", "-serial", "chardev:c"),
			 ERR_REFUSED);
	plan_fini(&p);
	assert_int_equal(
	    plan(&p, "-chardev", "mux,id=m,chardev=c", "-chardev", client, "-mon", "c"),
	    ERR_REFUSED);
	plan_fini(&p);
}

static void test_twin_has_spices_channels_with_spice(void **state)
{
	struct plan p = {0};

	(void)state;
	assert_int_equal(plan(&p, "-chardev", "spicevmc,id=r,name=usbredir", "-device",
			      "usb-redir,chardev=r,id=r0", "-spice", "port=1"),
			 0);
	assert_string_equal(value(&p, "-chardev", 0), "backend=spicevmc,id=r,name=usbredir");
	assert_true(p.t.spice);
	plan_fini(&p);
	assert_int_equal(plan(&p, "-chardev", "spicevmc,id=r,name=usbredir", "-device",
			      "usb-redir,chardev=r,id=r0"),
			 ERR_REFUSED);
	plan_fini(&p);
}

static void test_twin_keeps_sockets_apart(void **state)
{
	struct plan p = {0};
	const char *a, *b;

	(void)state;
	assert_int_equal(plan(&p, "-chardev", "socket,id=virtio-serial-port0,path=/a,server=on",
			      "-chardev", "socket,id=virtio-serial-port1,path=/b,server=on",
			      "-chardev", "socket,id=a/b,path=/c,server=on", "-chardev",
			      "socket,id=a.b,path=/d,server=on", "-chardev",
			      "file,id=l,path=/var/log/qemu.log", "-chardev",
			      "file,id=m,path=/x/qmp.sock", "-serial", "chardev:a/b", "-monitor",
			      "unix:/m0,server", "-monitor", "unix:/m1,server"),
			 0);
	for (unsigned i = 0; (a = value(&p, "-chardev", i)); i++) {
		const char *path = strstr(a, "path=");

		assert_null(strstr(a, "/qemu.log"));
		assert_null(strstr(a, "/qmp.sock"));
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(strstr(value(&p, "-chardev", k), "path="), path);
	}
	a = value(&p, "-monitor", 0);
	b = value(&p, "-monitor", 1);
	assert_string_not_equal(a, b);
	plan_fini(&p);
}

static void test_twin_counts_serial_ports(void **state)
{
	struct plan p = {0};

	(void)state;
	assert_int_equal(plan(&p, "-serial", "stdio", "-serial", "none", "-serial", "pty"), 0);
	assert_string_equal(value(&p, "-serial", 0), "file:" DIR "/serial0.log");
	assert_string_equal(value(&p, "-serial", 2), "file:" DIR "/serial2.log");
	assert_true(noted(&p, "-serial stdio"));
	plan_fini(&p);
}

static void test_twin_writes_nographic_out(void **state)
{
	struct plan p = {0};

	(void)state;
	assert_int_equal(plan(&p, "-nographic"), 0);
	assert_null(value(&p, "-nographic", 0));
	assert_string_equal(value(&p, "-display", 0), "none");
	assert_null(value(&p, "-display", 1));
	assert_string_equal(value(&p, "-serial", 0), "file:" DIR "/serial0.log");
	assert_true(noted(&p, "-nographic"));
	plan_fini(&p);
	assert_int_equal(plan(&p, "-nographic", "-serial", "null"), 0);
	assert_string_equal(value(&p, "-serial", 0), "null");
	assert_null(value(&p, "-serial", 1));
	plan_fini(&p);
}

static void test_twin_leaves_ports_out_and_says_so(void **state)
{
	struct plan p = {0};

	(void)state;
	assert_int_equal(plan(&p, "-netdev",
			      "user,id=n,hostfwd=tcp::2222-:22,hostfwd=tcp::80-:80,guestfwd=tcp:"
			      "10.0.2.1:1-cmd:/bin/sh",
			      "-gdb", "tcp::1234", "-trace", "x"),
			 0);
	assert_string_equal(value(&p, "-netdev", 0), "type=user,id=n");
	assert_true(noted(&p, "hostfwd"));
	assert_true(noted(&p, "guestfwd"));
	assert_null(value(&p, "-gdb", 0));
	assert_true(noted(&p, "-gdb"));
	assert_true(noted(&p, "-trace"));
	plan_fini(&p);
}

static void test_twin_shows_no_secret(void **state)
{
	static const char *const all[][2] = {
	    {"-object", "secret,id=s,data=geheim,file=/x"},
	    {"-object", "secret,id=s,data=geheim"},
	    {"-object", "secret_keyring,id=s,data=geheim"},
	    {"-object", "{\"qom-type\":\"secret\",\"data\":\"geheim\",\"file\":\"/x\"}"},
	    {"-drive", "file=https://me:geheim@h/x,if=none"},
	    {"-blockdev", "{\"driver\":\"https\",\"password-secret\":\"geheim\"}"},
	};
	struct plan p = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(plan(&p, all[i][0], all[i][1]), ERR_REFUSED);
		if (strstr(p.e.text, "geheim"))
			fail_msg("%s", p.e.text);
		plan_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_twin_makes_sockets_and_logs_private),
	    cmocka_unit_test(test_twin_leaves_out_a_monitor_at_a_program_of_the_source),
	    cmocka_unit_test(test_twin_has_spices_channels_with_spice),
	    cmocka_unit_test(test_twin_keeps_sockets_apart),
	    cmocka_unit_test(test_twin_counts_serial_ports),
	    cmocka_unit_test(test_twin_writes_nographic_out),
	    cmocka_unit_test(test_twin_leaves_ports_out_and_says_so),
	    cmocka_unit_test(test_twin_shows_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

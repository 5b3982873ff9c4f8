/* The twin's command line, from sources that are ordinary, odd or lying. (Its images:
 * test_twin_images.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_twin_fixture.h"

static void test_twin_loses_no_option_that_it_keeps(void **state)
{
	static const char *const kept[][2] = {
	    {"-cpu", "Skylake-Client,+vmx"},
	    {"-smp", "4,sockets=1"},
	    {"-m", "size=512M,slots=2,maxmem=1G"},
	    {"-numa", "node,nodeid=0"},
	    {"-name", "guest=a b,,c,debug-threads=on"},
	    {"-uuid", "11111111-2222-3333-4444-555555555555"},
	    {"-boot", "order=dc,menu=on"},
	    {"-rtc", "base=utc,driftfix=slew"},
	    {"-icount", "shift=auto,sleep=off"},
	    {"-global", "PIIX4_PM.disable_s3=1"},
	    {"-global", "driver=cfi.pflash01,property=secure,value=on"},
	    {"-global", "virtio-net-pci.romfile="},
	    {"-overcommit", "mem-lock=on"},
	    {"-sandbox", "on,obsolete=deny"},
	    {"-action", "panic=pause"},
	    {"-smbios", "type=1,manufacturer=A,,B,serial=0"},
	    {"-fw_cfg", "name=opt/x,string=a,,b"},
	    {"-append", "root=/dev/vda console=ttyS0,115200 quoted=\"x\""},
	    {"-vga", "qxl"},
	    {"-k", "de"},
	    {"-device", "virtio-net-pci,netdev=n,mac=52:54:00:00:00:01,romfile="},
	    {"-device", "{\"driver\":\"virtio-balloon-pci\",\"id\":\"b\"}"},
	    {"-object", "iothread,id=io0"},
	    {"-object", "{\"qom-type\":\"rng-random\",\"id\":\"r\",\"filename\":\"/dev/urandom\"}"},
	    {"-netdev", "type=user,id=n,net=10.0.2.0/24"},
	    {"-chardev", "backend=null,id=c"},
	    {"-chardev", "backend=ringbuf,id=c,size=64"},
	    {"-mon", "chardev=c,mode=readline"},
	    {"-serial", "none"},
	    {"-serial", "chardev:c"},
	    {"-usbdevice", "tablet"},
	    {"-watchdog-action", "pause"},
	    {"-bios", "bios-256k.bin"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		becomes(kept[i][0], kept[i][1], kept[i][1]);
}

static unsigned push_fails; /* the how manieth one; 0: none */

void __wrap_strvec_pushf(struct strvec *v, const char *fmt, ...);
void __wrap_strvec_pushf(struct strvec *v, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (push_fails && --push_fails == 0)
		v->failed = 1;
	else
		strvec_push(v, text);
}

/* Whatever list it was to go to: without it another disk could be taken for this one. */
static void test_twin_tells_that_memory_is_short(void **state)
{
	struct plan p = {0};
	unsigned n = 0;
	int r;

	(void)state;
	do {
		p.disks = json_pack("[o,o]", disk("ide0-hd0", "/src/a.qcow2", "qcow2"),
				    disk("ide0-hd1", "/src/b.qcow2", "qcow2"));
		push_fails = ++n;
		r = plan(&p, "-drive", "file=/src/a.qcow2,if=ide", "-drive",
			 "file=/src/b.qcow2,if=ide", "-nographic");
		if (push_fails == 0 && r == 0)
			fail_msg("push %u failed, and the plan is made all the same", n);
		r = push_fails == 0;
		push_fails = 0;
		plan_fini(&p);
	} while (r);
	assert_true(n > 4);
}

static void test_twin_takes_a_whole_command_line(void **state)
{
	struct plan p = {0};

	(void)state;
	p.disks = json_pack("[o]", disk("d0", "/src/a.qcow2", "qcow2"));
	assert_int_equal(plan(&p, "-enable-kvm", "-M", "pc,usb=off", "-m", "64", "-nodefaults",
			      "--drive", "file=/src/a.qcow2,if=none,id=d0,cache=none,aio=native",
			      "-device", "virtio-blk-pci,drive=d0", "-S", "-daemonize", "-pidfile",
			      "/run/x.pid", "-incoming", "tcp:0:1", "-qmp", "unix:/q,server=on"),
			 0);
	assert_string_equal(p.t.argv.at[0], "/usr/bin/qemu-system-x86_64");
	assert_non_null(value(&p, "-enable-kvm", 0));
	assert_non_null(value(&p, "-nodefaults", 0));
	assert_string_equal(value(&p, "-machine", 0), "type=pc-i440fx-7.2,usb=off");
	assert_null(value(&p, "-machine", 1));
	assert_string_equal(value(&p, "-device", 0), "virtio-blk-pci,drive=d0");
	assert_non_null(strstr(value(&p, "-drive", 0), "if=none,id=d0,cache=none,aio=native"));
	assert_non_null(strstr(value(&p, "-drive", 0), "format=qcow2"));
	assert_null(strstr(value(&p, "-drive", 0), "/src/"));
	assert_null(value(&p, "-daemonize", 0));
	assert_null(value(&p, "-pidfile", 0));
	assert_string_equal(value(&p, "-incoming", 0), "defer");
	assert_null(value(&p, "-incoming", 1));
	assert_string_equal(value(&p, "-qmp", 0), "unix:" DIR "/qmp.sock,server=on,wait=off");
	assert_null(value(&p, "-qmp", 1));
	assert_non_null(value(&p, "-S", 0));
	assert_string_equal(value(&p, "-display", 0), "none");
	assert_int_equal(p.t.image_count, 1);
	plan_fini(&p);
}

static void test_twin_pins_the_machine(void **state)
{
	(void)state;
	becomes("-machine", "pc,accel=tcg", "type=pc-i440fx-7.2,accel=tcg");
	becomes("-machine", "accel=tcg,type=q35,usb=on", "accel=tcg,type=pc-i440fx-7.2,usb=on");
	{
		struct plan p = {0}; /* the default, or options alone */

		assert_int_equal(plan(&p, "-m", "32"), 0);
		assert_string_equal(value(&p, "-machine", 0), "pc-i440fx-7.2");
		plan_fini(&p);
		assert_int_equal(plan(&p, "-machine", "usb=on"), 0);
		assert_non_null(strstr(value(&p, "-machine", 0), "type=pc-i440fx-7.2"));
		assert_non_null(strstr(value(&p, "-machine", 0), "usb=on"));
		plan_fini(&p);
	}
	refused("-machine", "pc,kernel=/etc/shadow", "file of the source");
	refused("-machine", "pc,boot.splash=/etc/shadow", "file of the source");
}

/* An option, its value, and what is said of it. */
static const char *const refused_by_name[][3] = {
    {"-never-heard-of", "x", "does not know"},
    {"-netdev", "tap,id=n,ifname=tap0", "network"},
    {"-netdev", "bridge,id=n,br=br0", "network"},
    {"-netdev", "vhost-user,id=n,chardev=c", "network"},
    {"-netdev", "socket,id=n,listen=:1", "network"},
    {"-nic", "tap", "network"},
    {"-net", "tap,script=/tmp/x", "network"},
    {"-netdev", "user,id=n,smb=/etc", "files"},
    {"-netdev", "user,id=n,tftp=/etc", "files"},
    {"-netdev", "{\"id\":\"a,type=user,b\",\"type\":\"tap\",\"script\":\"/tmp/x\"}", ""},
    {"-device", "vfio-pci,host=00:02.0", "does not move"},
    {"-device", "usb-host,hostbus=1", "does not move"},
    {"-device", "virtio-net-pci,driver=vfio-pci", "does not move"},
    {"-device", "{\"driver\":\"vfio-pci\"}", "does not move"},
    {"-device", "{'driver':'vfio-pci'}", ""},
    {"-device", "{\"driver\":\"e1000\",\"driver\":\"vfio-pci\"}", ""},
    {"-device", "vhost-user-fs-pci,chardev=c", "does not move"},
    {"-device", "e1000,romfile=/etc/shadow", "file"},
    {"-device", "e1000,romfile=etc/shadow", "file"},
    {"-device", "{\"driver\":\"e1000\",\"romfile\":\"/etc/shadow\"}", "file"},
    {"-device", "ipmi-bmc-sim,id=i,frudatafile=/etc/shadow", "file"},
    {"-device", "ipmi-bmc-sim,id=i,sdrfile=etc/shadow", "file"},
    {"-device", "canokey,file=/root/x", "file"},
    {"-device", "loader,file=/etc/shadow,addr=0", ""},
    {"-global", "e1000.romfile=/etc/shadow", "file"},
    {"-global", "driver=e1000,property=romfile,value=etc/shadow", "file"},
    {"-smbios", "type=11,path=/etc/shadow", "file"},
    {"-smbios", "file=/etc/shadow", "file"},
    {"-acpitable", "data=/etc/shadow", "file"},
    {"-fw_cfg", "name=opt/x,file=/etc/shadow", "file"},
    {"-icount", "shift=1,rr=record,rrfile=/tmp/x", "file"},
    {"-object", "memory-backend-file,id=m,mem-path=/dev/hugepages", "--memory-paths"},
    {"-object", "secret,id=s,file=/etc/shadow", "file"},
    {"-object", "rng-random,id=r,filename=/etc/shadow", "urandom"},
    {"-object", "tls-creds-x509,id=t,dir=/etc/pki", "source host"},
    {"-chardev", "socket,id=c,path=/run/other.sock", "connected"},
    {"-chardev", "socket,id=c,host=h,port=1,server=off", "connected"},
    {"-chardev", "pipe,id=c,path=/tmp/p", "source host"},
    {"-chardev", "udp,id=c,host=h,port=1", "source host"},
    {"-chardev", "file,id=c,path=/l,input-path=/etc/shadow", "reads"},
    {"-chardev", "file,id=c,path=/var/log/..", "not the path"},
    {"-serial", "/dev/ttyS0", "source host"},
    {"-serial", "unix:/run/x", "source host"},
    {"-serial", "pipe:/tmp/p", "source host"},
    {"-monitor", "tcp:host:1", "source host"},
    {"-drive", "file=nbd://h/x,if=none", "not a file"},
    {"-drive", "file=json:{\"driver\":\"nbd\"}", "storage of this kind"},
    {"-drive", "file=http://h/x.iso", "not a file"},
    {"-drive", "file=fat:rw:/etc,format=raw", "not a file"},
    {"-drive", "file.driver=nbd,file.host=h", "not moved"},
    {"-drive", "driver=vvfat,dir=/etc", "not moved"},
    {"-drive", "file=/gone.raw,format=raw", "no drive"},
    {"-blockdev", "driver=nbd,node-name=n,server.type=inet", "not moved"},
    {"-blockdev",
     "{\"driver\":\"qcow2\",\"node-name\":\"n\",\"file\":{\"driver\":\"https\","
     "\"url\":\"https://h/x\"}}",
     "not moved"},
    {"-blockdev", "{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}", "no drive"},
    {"-blockdev", "{\"driver\":\"file\"", "not a JSON object"},
    {"-blockdev", "{\"driver\":\"raw\",\"driver\":\"file\"}", "not a JSON object"},
    {"-kernel", "/boot/not-copied", "--images"},
    {"-initrd", "/boot/..", ""},
    {"-bios", "/root/mine.bin", "--images"},
    {"-bios", "/usr/share/qemu/../../../etc/shadow", "--images"},
    {"-fw_cfg", "name=opt/x,file=/etc/shadow", "copy it there"},
    {"-smbios", "type=11,path=/etc/shadow", "copy it there"},
    {"-acpitable", "sig=TEST,data=/etc/..", ""},
    {"-usbdevice", "serial:/dev/ttyS0", "source host"},
    {"-fsdev", "local,id=f,path=/etc,security_model=none", "folder"},
    {"-plugin", "/tmp/evil.so", "program"},
    {"-readconfig", "/etc/x", "file"},
    {"-mem-path", "/dev/hugepages", "--memory-paths"},
    {"-object", "memory-backend-file,id=m,size=1M,mem-path=/dev/shm", "--memory-paths"},
    {"-tpmdev", "passthrough,id=t,path=/dev/tpm0", "state"},
    {"-device", "usb-redir,chardev=c", "source host"},
    {"-device", "vfio-pci,host=01:00.0", "device_del"},
    {"-device", "usb-host,hostbus=1", "device_del"},
    {"-device", "{\"driver\":\"vhost-user-fs-pci\",\"chardev\":\"c\"}", "another process"},
    {"-accel", "kvm,device=/dev/other", ""},
    {"-netdev", "{\"type\":\"user\",\"id\":\"n\",\"dnssearch\":[{\"str\":\"a\"}]}", "JSON"},
    {"-netdev", "{\"type\":\"user\"", "JSON"},
    {"-netdev", "stream,id=n,addr.type=unix,addr.path=/run/passt.sock", "type stream"},
    {"-netdev", "dgram,id=n,local.type=inet", "type dgram"},
    {"-netdev", "passt,id=n", "type passt"},
    {"-device", "virtio-net-pci,failover_pair_id=n", "failover"},
    {"-device", "{\"driver\":\"virtio-net-pci\",\"failover_pair_id\":\"n\"}", "failover"},
    {"-audiodev", "{\"driver\":\"wav\"", "JSON"},
};

static void test_twin_refuses_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused_by_name) / sizeof(refused_by_name[0]); i++)
		if (!*refused_by_name[i][2] && strcmp(refused_by_name[i][0], "-accel") != 0) {
			struct plan p = {0}; /* "..": no file's name */

			assert_int_equal(plan(&p, refused_by_name[i][0], refused_by_name[i][1]),
					 ERR_REFUSED);
			plan_fini(&p);
		} else if (strcmp(refused_by_name[i][2], "not the path") == 0) {
			struct plan p = {0};

			assert_int_equal(plan(&p, refused_by_name[i][0], refused_by_name[i][1]),
					 ERR_REFUSED);
			assert_non_null(strstr(p.e.text, "not the path"));
			plan_fini(&p);
		} else {
			refused(refused_by_name[i][0], refused_by_name[i][1],
				refused_by_name[i][2]);
		}
}

static void test_twin_puts_ram_into_allowed_folders_only(void **state)
{
	static const char *const memory[] = {"/dev/shm", "/mnt/huge/", NULL};
	static const char *const taken[][2] = {
	    {"qom-type=memory-backend-file,id=m,size=1M,mem-path=/dev/shm,share=on,offset=4096",
	     "qom-type=memory-backend-file,id=m,size=1M,mem-path=/dev/shm,share=on"},
	    {"memory-backend-file,id=m,size=1M,mem-path=/dev/shm/libvirt/1-vm/ram0",
	     "qom-type=memory-backend-file,id=m,size=1M,mem-path=/dev/shm"},
	    {"memory-backend-file,id=m,size=1M,mem-path=/mnt/huge",
	     "qom-type=memory-backend-file,id=m,size=1M,mem-path=/mnt/huge/"},
	    {"memory-backend-ram,id=m,size=1M,host-nodes=0-1,policy=bind",
	     "qom-type=memory-backend-ram,id=m,size=1M"},
	    {"memory-backend-ram,id=m,size=1M", "memory-backend-ram,id=m,size=1M"},
	};
	static const char *const refused_too[] = {
	    "memory-backend-file,id=m,size=1M,mem-path=/dev/shmx",
	    "memory-backend-file,id=m,size=1M,mem-path=/dev/shm/../../etc",
	    "memory-backend-file,id=m,size=1M,mem-path=../dev/shm",
	    "memory-backend-file,id=m,size=1M,mem-path=/dev",
	    "memory-backend-file,id=m,size=1M",
	    "memory-backend-file,id=m,size=1M,mem-path=/dev/shm,mem-path=/etc",
	    "memory-backend-file,id=m,size=1M,mem-path=/dev/shm,pmem=on",
	    "memory-backend-file,id=m,size=1M,mem-path=/dev/shm,readonly=on",
	    "{\"qom-type\":\"memory-backend-file\",\"size\":4096,\"mem-path\":\"/etc\"}",
	    "{\"qom-type\":\"memory-backend-file\",\"size\":4096,\"mem-path\":7}",
	};
	struct plan p = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		p.memory = memory;
		if (plan(&p, "-object", taken[i][0]) != 0)
			fail_msg("%s: %s", taken[i][0], p.e.text);
		assert_string_equal(value(&p, "-object", 0), taken[i][1]);
		assert_int_equal(p.t.ram_count, i < 3);
		plan_fini(&p);
	}
	for (size_t i = 0; i < sizeof(refused_too) / sizeof(refused_too[0]); i++) {
		p.memory = memory;
		if (plan(&p, "-object", refused_too[i]) != ERR_REFUSED)
			fail_msg("%s was taken", refused_too[i]);
		plan_fini(&p);
	}
	p.memory = memory;
	assert_int_equal(plan(&p, "-mem-path", "/dev/shm/x"), 0);
	assert_string_equal(value(&p, "-mem-path", 0), "/dev/shm");
	plan_fini(&p);
	p.memory = memory;
	assert_int_equal(plan(&p, "-object", taken[0][0], "-device", "nvdimm,memdev=m"),
			 ERR_REFUSED);
	plan_fini(&p);
}

static void test_twin_has_a_tpm_of_its_own(void **state)
{
	static const char chardev[] = "socket,id=c,path=/run/swtpm/sock";
	struct plan p = {0};

	(void)state;
	p.swtpm = "/bin/sh";
	assert_int_equal(plan(&p, "-device", "tpm-crb,tpmdev=t", "-chardev", chardev, "-tpmdev",
			      "emulator,id=t,chardev=c"),
			 0);
	assert_string_equal(value(&p, "-chardev", 0),
			    "backend=socket,id=c,path=" DIR "/swtpm.sock");
	assert_string_equal(p.t.tpm.program, "/bin/sh");
	assert_string_equal(p.t.tpm.socket, DIR "/swtpm.sock");
	assert_int_equal(strncmp(p.t.tpm.dir, twin_fixture_images, strlen(twin_fixture_images)), 0);
	assert_non_null(strstr(p.t.tpm.dir, "/vm-01234567.tpm"));
	plan_fini(&p);
	p.swtpm = "none";
	assert_int_equal(plan(&p, "-chardev", chardev, "-tpmdev", "emulator,id=t,chardev=c"),
			 ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "swtpm = none"));
	plan_fini(&p);
	p.swtpm = "/nonexistent/swtpm";
	assert_int_equal(plan(&p, "-chardev", chardev, "-tpmdev", "emulator,id=t,chardev=c"),
			 ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "install swtpm"));
	plan_fini(&p);
	/* what is behind one is no TPM for any other device */
	p.swtpm = "/bin/sh";
	assert_int_equal(plan(&p, "-device", "tpm-crb,tpmdev=t"), ERR_REFUSED);
	plan_fini(&p);
}

static void test_twin_launches_only_what_is_listed(void **state)
{
	struct plan p = {0};

	(void)state;
	p.exe = "/usr/bin/evil";
	assert_int_equal(plan(&p, "-m", "32"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "evil"));
	assert_non_null(strstr(p.e.text, "--allow-launch"));
	plan_fini(&p);
	p.exe = "";
	assert_int_equal(plan(&p, "-m", "32"), ERR_REFUSED);
	plan_fini(&p);
	p.exe = "/opt/qemu/bin/qemu-system-x86_64 (deleted)"; /* the same program elsewhere */
	assert_int_equal(plan(&p, "-m", "32"), 0);
	assert_string_equal(p.t.argv.at[0], "/usr/bin/qemu-system-x86_64");
	plan_fini(&p);
}

static void test_twin_names_its_folder_safely(void **state)
{
	struct plan p = {0};

	(void)state;
	p.name = "../../etc";
	assert_int_equal(plan(&p, "-m", "32"), ERR_REFUSED);
	plan_fini(&p);
	p.name = "..";
	assert_int_equal(plan(&p, "-m", "32"), 0);
	assert_string_equal(p.t.dir, "/run/t/vms/__-01234567");
	plan_fini(&p);
	p.name = "a name\nof two lines";
	assert_int_equal(plan(&p, "-m", "32"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "--rename"));
	plan_fini(&p);
	p.name = "a name,server=on that is much longer than a file's name in here";
	assert_int_equal(plan(&p, "-m", "32"), 0);
	assert_int_equal(
	    strspn(p.t.dir + strlen("/run/t/vms/"), "abcdefghijklmnopqrstuvwxyz_-01234567"),
	    strlen(p.t.dir + strlen("/run/t/vms/")));
	plan_fini(&p);
}

static void test_twin_refuses_what_was_plugged_in(void **state)
{
	struct plan p = {0};

	(void)state;
	p.plugged = "net1";
	assert_int_equal(plan(&p, "-m", "32"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "net1"));
	assert_non_null(strstr(p.e.text, "--dest-qmp"));
	plan_fini(&p);
}

static void test_twin_survives_odd_words(void **state)
{
	static const char *const options[] = {
	    "-machine", "-drive",   "-blockdev",  "-hda",      "-chardev", "-serial", "-monitor",
	    "-vnc",	"-device",  "-object",	  "-netdev",   "-net",	   "-nic",    "-audiodev",
	    "-audio",	"-display", "-kernel",	  "-bios",     "-boot",	   "-smbios", "-global",
	    "-L",	"-icount",  "-usbdevice", "-parallel", "-accel",   "-append", ""};
	static const char *const words[] = {"",
					    ",",
					    ",,",
					    "=",
					    "=,",
					    ",=,",
					    "{",
					    "{}",
					    "[]",
					    "{\"a\":{}}",
					    "null",
					    ":",
					    "//",
					    "/",
					    ".",
					    "..",
					    "file=",
					    "file=,file=",
					    "id=",
					    "unix:",
					    "unix:,server",
					    "stdio,",
					    "%s%n",
					    "\n",
					    "\xc3\xa4",
					    "socket,id=,server",
					    "chardev:",
					    "mon:",
					    "con:",
					    "file:",
					    "vnc="};
	char *longest = malloc(70000);

	(void)state;
	assert_non_null(longest);
	memset(longest, 'a', 69999);
	longest[69999] = 0;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct plan p = {0};

		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
			plan(&p, options[i], words[k]);
			plan_fini(&p);
			p.disks = json_pack("[oo]", disk("d", words[k], "raw"), disk("", "", ""));
			plan(&p, options[i], words[k]);
			plan_fini(&p);
		}
		plan(&p, options[i], longest);
		plan_fini(&p);
		plan(&p, options[i]); /* its value is missing */
		plan_fini(&p);
	}
	free(longest);
}

/* A word of a peer's may be a quarter of a megabyte. */
static void test_twin_bears_what_no_vm_has(void **state)
{
	static char dots[240000], words[2000][100];
	static const char *args[4002];
	struct plan p = {0};
	char key[200];

	(void)state;
	/* levels without end, in what is read as a tree */
	for (size_t i = 0; i + 5 < sizeof(dots); i += 2)
		memcpy(dots + i, "a.", 3);
	strcat(dots, "a=1");
	plan(&p, "-blockdev", dots);
	plan_fini(&p);
	/* keys that are the same in their first 127 bytes */
	memset(key, 'k', 121);
	strcpy(key + 121, ".");
	snprintf(dots, sizeof(dots),
		 "file=/s/one.raw,format=raw,id=one,if=none,%sdrive=raw,%soffset=1", key, key);
	p = (struct plan){.disks = json_pack("[o]", disk("one", "/s/one.raw", "raw"))};
	plan(&p, "-drive", dots);
	plan_fini(&p);
	/* thousands of chardevs, of which each is looked up: this ends, and not in a minute */
	for (size_t i = 0; i < 2000; i++) {
		snprintf(words[i], sizeof(words[i]), "null,id=c%zu,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x",
			 i);
		args[2 * i] = "-chardev";
		args[2 * i + 1] = words[i];
	}
	p = (struct plan){0};
	plan_words(&p, args);
	plan_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_twin_bears_what_no_vm_has),
	    cmocka_unit_test(test_twin_loses_no_option_that_it_keeps),
	    cmocka_unit_test(test_twin_takes_a_whole_command_line),
	    cmocka_unit_test(test_twin_tells_that_memory_is_short),
	    cmocka_unit_test(test_twin_pins_the_machine),
	    cmocka_unit_test(test_twin_refuses_by_name),
	    cmocka_unit_test(test_twin_puts_ram_into_allowed_folders_only),
	    cmocka_unit_test(test_twin_has_a_tpm_of_its_own),
	    cmocka_unit_test(test_twin_launches_only_what_is_listed),
	    cmocka_unit_test(test_twin_names_its_folder_safely),
	    cmocka_unit_test(test_twin_refuses_what_was_plugged_in),
	    cmocka_unit_test(test_twin_survives_odd_words),
	};

	return cmocka_run_group_tests(tests, twin_fixture_set_up, twin_fixture_tear_down);
}

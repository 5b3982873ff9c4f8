/* The twin's command line, from sources that are ordinary, odd or lying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A disk behind a device, as the source's QEMU has it now. */
static json_t *attached(const char *qdev, const char *node, const char *file, bool removable)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:b,s:b,s:b}", "name", node, "qdev", qdev,
			 "node", node, "file", file, "format", "raw", "size", (json_int_t)1048576,
			 "read_only", removable, "empty", 0, "removable", removable, "copy",
			 !removable);
}

#define NODE(name, file)                                                                           \
	"-blockdev", "driver=file,node-name=" name "-file,filename=" file, "-blockdev",            \
	    "driver=raw,node-name=" name ",file=" name "-file"

/* Whatever a source says that its devices have, no disk goes into another one's image. */
static void test_twin_gives_each_disk_its_own_image(void **state)
{
	struct plan p = {0};

	(void)state;
	p.disks = json_pack("[o,o]", attached("dev0", "a", "/src/a.raw", false),
			    attached("dev1", "b", "/src/b.raw", false));
	assert_int_equal(plan(&p, NODE("a", "/src/a.raw"), NODE("b", "/src/b.raw"), "-device",
			      "scsi-hd,drive=a,id=dev0", "-device", "scsi-hd,drive=b,id=dev1"),
			 0);
	assert_int_equal(p.t.image_count, 2);
	plan_fini(&p);

	/* the devices have changed their disks */
	p.disks = json_pack("[o,o]", attached("dev1", "a", "/src/a.raw", false),
			    attached("dev0", "b", "/src/b.raw", false));
	assert_int_not_equal(plan(&p, NODE("a", "/src/a.raw"), NODE("b", "/src/b.raw"), "-device",
				  "scsi-hd,drive=a,id=dev0", "-device", "scsi-hd,drive=b,id=dev1"),
			     0);
	assert_non_null(strstr(p.e.text, "dev0 has another image"));
	plan_fini(&p);

	/* a disk that no option stands for */
	p.disks = json_pack("[o,o]", attached("dev0", "a", "/src/a.raw", false),
			    attached("dev1", "b", "/src/b.raw", false));
	assert_int_not_equal(
	    plan(&p, NODE("a", "/src/a.raw"), "-device", "scsi-hd,drive=a,id=dev0"), 0);
	assert_non_null(strstr(p.e.text, "b.raw"));
	plan_fini(&p);

	/* two nodes over one file */
	p.disks = json_pack("[o,o]", attached("dev0", "a", "/src/a.raw", false),
			    attached("dev1", "b", "/src/a.raw", false));
	assert_int_not_equal(plan(&p, NODE("a", "/src/a.raw"), NODE("b", "/src/a.raw"), "-device",
				  "scsi-hd,drive=a,id=dev0", "-device", "scsi-hd,drive=b,id=dev1"),
			     0);
	assert_non_null(strstr(p.e.text, "no image of its own"));
	plan_fini(&p);
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

/* A drive has the medium that it has now, by an option that QEMU reads. */
static void test_twin_follows_media(void **state)
{
	struct plan p = {0};
	char want[300];

	(void)state;
	p.no_nodes = true;
	p.disks = json_pack("[o]", attached("cd", "#block1", "/src/two.iso", true));
	assert_int_equal(plan(&p, NODE("cd0", "/src/one.iso"), "-device", "ide-cd,drive=cd0,id=cd"),
			 0);
	snprintf(want, sizeof(want), "\"filename\":\"%s/two.iso\"", twin_fixture_images);
	assert_non_null(strstr(p.t.argv.at[2], want));
	plan_fini(&p);
	/* QEMU takes no word on an image where a drive has none */
	p.disks = json_pack("[{s:s,s:s,s:i,s:b,s:b,s:b,s:b}]", "name", "cd0", "device", "cd0", "size", 0,
			    "read_only", 0, "empty", 1, "removable", 1, "copy", 0);
	assert_int_equal(plan(&p, "-drive",
			      "file=/src/one.iso,format=raw,if=none,id=cd0,media=cdrom,readonly=on,"
			      "cache=none,cache.direct=on,discard=unmap,node-name=n,aio=io_uring,"
			      "auto-read-only=on,detect-zeroes=on,bps=1000000,rerror=stop",
			      "-device", "ide-cd,drive=cd0"),
			 0);
	assert_string_equal(value(&p, "-drive", 0),
			    "if=none,id=cd0,media=cdrom,readonly=on,aio=io_uring,detect-zeroes=on,"
			    "bps=1000000,rerror=stop");
	plan_fini(&p);
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

static void test_twin_refuses_by_name(void **state)
{
	static const char *const all[][3] = {
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
	    {"-boot", "splash=/etc/shadow", "file"},
	    {"-icount", "shift=1,rr=record,rrfile=/tmp/x", "file"},
	    {"-object", "memory-backend-file,id=m,mem-path=/dev/hugepages", "source host"},
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
	    {"-drive", "file=json:{\"driver\":\"nbd\"}", "not a file"},
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
	    {"-spice", "port=1,password=geheim", "SPICE"},
	    {"-usbdevice", "serial:/dev/ttyS0", "source host"},
	    {"-fsdev", "local,id=f,path=/etc,security_model=none", "folder"},
	    {"-plugin", "/tmp/evil.so", "program"},
	    {"-readconfig", "/etc/x", "file"},
	    {"-mem-path", "/dev/hugepages", "file"},
	    {"-chroot", "/x", "folder"},
	    {"-tpmdev", "passthrough,id=t,path=/dev/tpm0", "state"},
	    {"-add-fd", "fd=3,set=1", "descriptor"},
	    {"-accel", "kvm,device=/dev/other", ""},
	    {"-netdev", "{\"type\":\"user\",\"id\":\"n\"}", "JSON"},
	    {"-audiodev", "{\"driver\":\"wav\",\"path\":\"/tmp/x\"}", "JSON"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i][0], "-initrd") == 0) {
			struct plan p = {0}; /* "..": no file's name */

			assert_int_equal(plan(&p, all[i][0], all[i][1]), ERR_REFUSED);
			plan_fini(&p);
		} else if (strcmp(all[i][2], "not the path") == 0) {
			struct plan p = {0};

			assert_int_equal(plan(&p, all[i][0], all[i][1]), ERR_REFUSED);
			assert_non_null(strstr(p.e.text, "not the path"));
			plan_fini(&p);
		} else {
			refused(all[i][0], all[i][1], all[i][2]);
		}
}

/* The image that an option was given lies in the folder, and nothing names the source's. */
static void check_image(struct plan *p, size_t i, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", twin_fixture_images, name);
	assert_true(p->t.image_count > i);
	assert_string_equal(p->t.images[i].path, path);
	for (size_t k = 0; k < p->t.argv.count; k++)
		assert_null(strstr(p->t.argv.at[k], "/src/"));
}

static void test_twin_puts_images_into_the_folder(void **state)
{
	struct plan p = {0};
	const char *nested = "{\"driver\":\"copy-on-read\",\"node-name\":\"top\",\"file\":"
			     "{\"driver\":\"qcow2\",\"backing\":\"base\",\"file\":{\"driver\":"
			     "\"file\",\"filename\":\"/src/deep/x.qcow2\"}}}";

	(void)state;
	p.disks = json_pack("[o]", disk("d", "/src/../etc/../src/x.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/../etc/../src/x.raw,id=d"), 0);
	check_image(&p, 0, "x.raw");
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/x.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "driver=file,filename=/src/x.raw,if=none,id=d"), 0);
	check_image(&p, 0, "x.raw");
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/a,b=c.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "id=d,file=/src/a,,b=c.raw,serial=1,,2"), 0);
	check_image(&p, 0, "a,b=c.raw");
	assert_non_null(strstr(value(&p, "-drive", 0), "/a,,b=c.raw,serial=1,,2"));
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("top", "/src/deep/x.qcow2", "qcow2"));
	assert_int_equal(plan(&p, "-blockdev", nested), 0);
	check_image(&p, 0, "x.qcow2");
	assert_non_null(strstr(value(&p, "-blockdev", 0), "\"backing\":null"));
	plan_fini(&p);

	p.cwd = "/src"; /* a relative name */
	p.disks = json_pack("[o]", disk("d", "x.raw", "raw"));
	assert_int_equal(plan(&p, "-hda", "x.raw"), 0);
	check_image(&p, 0, "x.raw");
	assert_non_null(strstr(value(&p, "-drive", 0), "media=disk"));
	assert_non_null(strstr(value(&p, "-drive", 0), "format=raw"));
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/x.raw", "raw"));
	assert_int_equal(plan(&p, "/src/x.raw"), 0); /* a bare name is -hda's */
	check_image(&p, 0, "x.raw");
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/x\ny.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/x\ny.raw,id=d"), ERR_REFUSED);
	assert_null(strchr(p.e.text, '\n'));
	plan_fini(&p);

	p.disks = json_pack("[o]", disk("d", "/src/..", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/..,id=d"), ERR_REFUSED);
	plan_fini(&p);
}

static void test_twin_tells_images_of_one_name_apart(void **state)
{
	struct plan p = {0};

	(void)state;
	p.disks =
	    json_pack("[oo]", disk("d0", "/src/a/x.raw", "raw"), disk("d1", "/src/b/x.raw", "raw"));
	assert_int_equal(
	    plan(&p, "-drive", "file=/src/a/x.raw,id=d0", "-drive", "file=/src/b/x.raw,id=d1"), 0);
	check_image(&p, 0, "x.raw");
	check_image(&p, 1, "d1-x.raw");
	assert_non_null(strstr(value(&p, "-drive", 1), "/d1-x.raw"));
	plan_fini(&p);

	/* the name that would tell them apart is another's */
	p.disks = json_pack("[ooo]", disk("d0", "/src/a/d2-x.raw", "raw"),
			    disk("d1", "/src/b/x.raw", "raw"), disk("d2", "/src/c/x.raw", "raw"));
	assert_int_equal(plan(&p, "-drive", "file=/src/a/d2-x.raw,id=d0", "-drive",
			      "file=/src/b/x.raw,id=d1", "-drive", "file=/src/c/x.raw,id=d2"),
			 ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "d2-x.raw"));
	plan_fini(&p);

	p.disks = json_pack("[ooo]", disk("n", "/src/a/x.raw", "raw"),
			    disk("n", "/src/b/x.raw", "raw"), disk("n", "/src/c/x.raw", "raw"));
	assert_int_equal(
	    plan(&p, "-hda", "/src/a/x.raw", "-hdb", "/src/b/x.raw", "-hdc", "/src/c/x.raw"),
	    ERR_REFUSED);
	plan_fini(&p);
}

static void test_twin_needs_a_folder_for_images(void **state)
{
	struct plan p = {0};
	json_t *d = disk("d", "/src/x.raw", "raw");

	(void)state;
	p.no_images = true;
	p.disks = json_pack("[O]", d);
	assert_int_equal(plan(&p, "-hda", "/src/x.raw"), ERR_REFUSED);
	assert_non_null(strstr(p.e.text, "--images"));
	plan_fini(&p);
	/* called empty, and named all the same */
	json_object_set_new(d, "empty", json_true());
	p.no_images = true;
	p.disks = json_pack("[O]", d);
	assert_int_equal(plan(&p, "-hda", "/src/x.raw"), ERR_REFUSED);
	plan_fini(&p);
	p.no_images = true;
	assert_int_equal(plan(&p, "-kernel", "/boot/k"), ERR_REFUSED);
	plan_fini(&p);
	p.no_images = true;
	assert_int_equal(plan(&p, "-m", "32"), 0);
	plan_fini(&p);
	json_decref(d);
}

static void test_twin_takes_what_the_guest_boots_from_the_folder(void **state)
{
	struct plan p = {0};
	char path[256];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/vmlinuz", twin_fixture_images);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(plan(&p, "-kernel", "/boot/../root/vmlinuz"), 0);
	assert_string_equal(value(&p, "-kernel", 0), path);
	plan_fini(&p);
	unlink(path);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_twin_loses_no_option_that_it_keeps),
	    cmocka_unit_test(test_twin_takes_a_whole_command_line),
	    cmocka_unit_test(test_twin_gives_each_disk_its_own_image),
	    cmocka_unit_test(test_twin_tells_that_memory_is_short),
	    cmocka_unit_test(test_twin_follows_media),
	    cmocka_unit_test(test_twin_pins_the_machine),
	    cmocka_unit_test(test_twin_refuses_by_name),
	    cmocka_unit_test(test_twin_puts_images_into_the_folder),
	    cmocka_unit_test(test_twin_tells_images_of_one_name_apart),
	    cmocka_unit_test(test_twin_needs_a_folder_for_images),
	    cmocka_unit_test(test_twin_takes_what_the_guest_boots_from_the_folder),
	    cmocka_unit_test(test_twin_launches_only_what_is_listed),
	    cmocka_unit_test(test_twin_names_its_folder_safely),
	    cmocka_unit_test(test_twin_refuses_what_was_plugged_in),
	    cmocka_unit_test(test_twin_survives_odd_words),
	};
	int r;

	if (!mkdtemp(twin_fixture_images))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(twin_fixture_images);
	return r;
}

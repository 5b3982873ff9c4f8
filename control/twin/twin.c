/* The twin's command line: see twin.h. Opens nothing and makes nothing. */
#include "control/twin/twin_i.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/user.h"
#include "control/host.h"

/* The part of path behind the last '/', all of it without one. */
static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Whether the listed binary, or what it is a link to, is called name. */
static bool is_called(const char *binary, const char *name)
{
	char *real;
	bool is;

	if (strcmp(base_of(binary), name) == 0)
		return true;
	real = realpath(binary, NULL);
	is = real && strcmp(base_of(real), name) == 0;
	free(real);
	return is;
}

const char *twin_binary(const struct vmdesc *d, const struct rights *rights, struct err *e)
{
	char exe[4096];
	const char *base, *found = NULL;
	char *deleted;

	snprintf(exe, sizeof(exe), "%s", d->exe);
	/* A QEMU that was upgraded while it ran. */
	deleted = strstr(exe, " (deleted)");
	if (deleted)
		*deleted = 0;
	base = base_of(exe);
	for (const char *const *b = rights->launch; b && *b; b++) {
		if (strcmp(*b, exe) == 0)
			return *b;
		if (!found && *base && is_called(*b, base))
			found = *b;
	}
	if (!found)
		err_set(e, ERR_REFUSED,
			"the source runs %s, which is not to be launched there: "
			"start the destination's adit serve with --allow-launch and that binary's "
			"path (launch = in adit.conf)",
			*base ? base : "a program without a name");
	return found;
}

/* RUN_DIR/vms/NAME-JOB, where NAME is what the VM's name leaves as a file's name. */
static int name_dir(struct twin_plan *p, const char *job)
{
	/* Room for the longest socket's name in it. */
	const size_t max = ADDR_UNIX_MAX - sizeof("/chardev-0123456789012345-99.sock");
	const char *name = *p->d->name ? p->d->name : "vm";
	char clean[33];
	size_t n = 0;
	int len;

	if (strchr(p->run_dir, ','))
		return err_set(p->e, ERR_CONFIG,
			       "a folder with a ',' in its name cannot be written "
			       "in QEMU's options: choose another --run-dir than %s",
			       p->run_dir);
	if (vmdesc_check_name(name, p->e) < 0) {
		p->e->code = ERR_REFUSED;
		return err_prefix(p->e, "the VM cannot be launched on the destination under its "
					"name (--rename gives it another)");
	}
	for (; *name && n < sizeof(clean) - 1; name++)
		clean[n++] = (*name >= '0' && *name <= '9') || (*name >= 'A' && *name <= 'Z') ||
				     (*name >= 'a' && *name <= 'z') || *name == '-' || *name == '_'
				 ? *name
				 : '_';
	clean[n] = 0;
	len = snprintf(p->t->dir, sizeof(p->t->dir), "%s/vms/%s-%.8s", p->run_dir, clean, job);
	if (len < 0 || (size_t)len > max || (size_t)len >= sizeof(p->t->dir))
		return err_set(p->e, ERR_CONFIG,
			       "%s/vms/%s-... is too long for sockets: start the "
			       "destination's adit serve with a shorter --run-dir",
			       p->run_dir, clean);
	snprintf(p->t->qmp, sizeof(p->t->qmp), "%s/qmp.sock", p->t->dir);
	return 0;
}

static int refuse_if(struct twin_plan *p, const struct qargs_item *it, const char *const *keys,
		     const char *why)
{
	struct qopts o = {0};
	int r = 0;

	if (qopts_parse(&o, it->value, NULL) < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	for (; *keys && !r; keys++)
		if (qopts_get(&o, *keys))
			r = twin_refuse(p, it->option->name, it->value, why);
	qopts_fini(&o);
	if (!r)
		twin_add(p, it->option->name, it->value);
	return r;
}

static int refuse_unless(struct twin_plan *p, const struct qargs_item *it,
			 const char *const *allowed, const char *why)
{
	for (; *allowed; allowed++) {
		if (strcmp(it->value, *allowed) == 0) {
			twin_add(p, it->option->name, it->value);
			return 0;
		}
	}
	return twin_refuse(p, it->option->name, it->value, why);
}

/* What audio's option is called, and which card it goes with. */
static int audio_read(struct twin_plan *p, const char *value, const char *const *keys,
		      struct qopts *none)
{
	struct qopts o = {0};
	json_t *json = *value == '{' ? json_loads(value, JSON_REJECT_DUPLICATES, NULL) : NULL;
	int r = 0;

	if (*value == '{' && !json)
		return twin_refuse(p, "audiodev", value, "it is not JSON");
	if (!json && qopts_parse(&o, value, "driver") < 0)
		r = -1;
	for (; r == 0 && *keys; keys++) {
		const char *is =
		    json ? json_string_value(json_object_get(json, *keys)) : qopts_get(&o, *keys);

		if (is)
			r = qopts_set(none, *keys, is);
	}
	qopts_fini(&o);
	json_decref(json);
	return r < 0 ? err_set(p->e, ERR_SPACE, "no memory for the command line") : 0;
}

/* Audio has nobody to listen to it there; the guest keeps its card. */
static int audio(struct twin_plan *p, const struct qargs_item *it)
{
	static const char *const keys[] = {"id", "model", NULL};
	struct qopts none = {0};
	char *text = NULL;
	int r = 0;

	if (qopts_set(&none, "driver", "none") < 0)
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	if (!r)
		r = audio_read(p, it->value, keys, &none);
	if (!r && !(text = qopts_text(&none)))
		r = err_set(p->e, ERR_SPACE, "no memory for the command line");
	if (!r)
		twin_add(p, it->option->name, text);
	free(text);
	qopts_fini(&none);
	return r;
}

/* No property is to name a file there: romfile would show it to the guest. What has
 * a '/' does, from whatever folder QEMU is started in. */
static int global(struct twin_plan *p, const struct qargs_item *it)
{
	if (strchr(it->value, '/'))
		return twin_refuse(p, "global", it->value,
				   "it names a file of the source host; " TWIN_ATTACH);
	twin_add(p, "global", it->value);
	return 0;
}

/* -name, with another name in it where the VM is to have one. */
static int vm_name(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	char *text = NULL;

	p->has_name = true;
	if (!p->d->renamed) {
		twin_add(p, "name", value);
		return 0;
	}
	if (qopts_parse(&o, value, "guest") == 0 && qopts_set(&o, "guest", p->d->name) == 0 &&
	    (text = qopts_text(&o)) != NULL)
		twin_add(p, "name", text);
	else
		err_set(p->e, ERR_SPACE, "no memory for the command line");
	free(text);
	qopts_fini(&o);
	return p->e->code;
}

/* -boot, without the picture that the firmware shows. */
static int boot(struct twin_plan *p, const char *value)
{
	struct qopts o = {0};
	int r = 0;

	if (qopts_parse(&o, value, "order") < 0)
		return err_set(p->e, ERR_SPACE, "no memory for the command line");
	if (!qopts_get(&o, "splash"))
		twin_add(p, "boot", value);
	else if (qopts_remove(&o, "splash") + qopts_remove(&o, "splash-time") > 0 && o.count)
		r = twin_add_options(p, "boot", &o);
	qopts_fini(&o);
	return r;
}

/* Options whose value may name a file of the source host's. */
static int refuse_files(struct twin_plan *p, const struct qargs_item *it)
{
	static const char *const device[] = {"device", NULL};
	static const char *const replay[] = {"rr", "rrfile", NULL};

	switch (it->option->rule) {
	case QARGS_ACCEL:
		return refuse_if(p, it, device, "it names a file of the source host");
	case QARGS_BOOT:
		return boot(p, it->value);
	case QARGS_ICOUNT:
		return refuse_if(p, it, replay, "it records to a file of the source host");
	default: /* -acpitable, -fw_cfg, -smbios */
		return twin_tables(p, it->option->name, it->value);
	}
}

static int data_dir(struct twin_plan *p, const char *value)
{
	if (strncmp(value, "/usr/share/", 11) == 0 && !strstr(value, ".."))
		twin_add(p, "L", value);
	else
		strvec_pushf(&p->t->notes, "-L %s: the destination's own data folder is used",
			     value);
	return 0;
}

static int take(struct twin_plan *p, const struct qargs_item *it)
{
	static const char *const usb[] = {"tablet", "mouse", "keyboard", NULL};
	const struct qargs_option *o = it->option;

	if (!o)
		return twin_image_option(p, it);
	switch (o->rule) {
	case QARGS_GLOBAL:
		return global(p, it);
	case QARGS_NAME:
		return vm_name(p, it->value);
	case QARGS_KEEP:
	case QARGS_NUMA:
		twin_add(p, o->name, it->value);
		return 0;
	case QARGS_DROP:
	case QARGS_PRIVATE_FILE:
	case QARGS_QMP: /* it gets one of its own */
		return 0;
	case QARGS_NOTE:
		strvec_pushf(&p->t->notes, "-%s: %s", o->name, o->text);
		return 0;
	case QARGS_REFUSE:
		return twin_refuse(p, o->name, it->value, o->text);
	case QARGS_TO_MACHINE:
		twin_add(p, "machine", o->text);
		return 0;
	case QARGS_MACHINE:
		return twin_machine(p, it->value);
	case QARGS_MEM_PATH:
		return twin_mem_path(p, it->value);
	case QARGS_TPMDEV:
		return twin_tpmdev(p, it->value);
	case QARGS_OBJECT:
		return twin_object(p, it->value);
	case QARGS_DEVICE:
		return twin_device(p, it->value);
	case QARGS_DRIVE:
		return twin_drive(p, it->value);
	case QARGS_BLOCKDEV:
		return twin_block_left_out(p, it->value) ? 0 : twin_blockdev(p, it->value);
	case QARGS_IMAGE:
		return twin_image_option(p, it);
	case QARGS_HOST_FILE:
		return twin_host_file(p, o->name, it->value);
	case QARGS_FIRMWARE:
		return twin_firmware(p, o->name, it->value);
	case QARGS_DATA_DIR:
		return data_dir(p, it->value);
	case QARGS_ACCEL:
	case QARGS_BOOT:
	case QARGS_SMBIOS:
	case QARGS_ACPITABLE:
	case QARGS_FW_CFG:
	case QARGS_ICOUNT:
		return refuse_files(p, it);
	case QARGS_NET:
		return twin_net(p, o->name, it->value);
	case QARGS_CHARDEV:
		return twin_chardev(p, it->value);
	case QARGS_CHAR:
		return twin_char(p, o->name, it->value);
	case QARGS_MON:
		return twin_mon(p, it->value);
	case QARGS_MONITOR:
		return twin_monitor(p, it->value);
	case QARGS_DISPLAY:
		return twin_display(p, it->value);
	case QARGS_NOGRAPHIC:
		return twin_nographic(p);
	case QARGS_SPICE:
		return twin_spice(p, it->value);
	case QARGS_VNC:
		return twin_vnc(p, it->value);
	case QARGS_AUDIO:
		return audio(p, it);
	case QARGS_USBDEVICE:
		return refuse_unless(p, it, usb, "it is of the source host; " TWIN_ATTACH);
	}
	return twin_refuse(p, o->name, it->value, "adit does not know it");
}

/* Devices that came or went after the start are not in the command line. */
static int check_plugged(struct twin_plan *p)
{
	const struct strvec *v = p->d->plugged.count ? &p->d->plugged : &p->d->unplugged;

	if (!v->count)
		return 0;
	return err_set(p->e, ERR_REFUSED,
		       "device %s was %s after the VM was started, so its command "
		       "line does not make it whole: " TWIN_ATTACH,
		       v->at[0], p->d->plugged.count ? "plugged in" : "unplugged");
}

int twin_plan(struct twin *t, const struct vmdesc *d, const struct rights *rights,
	      const char *run_dir, const char *job, struct err *e)
{
	struct twin_plan p = {
	    .t = t, .d = d, .rights = rights, .run_dir = run_dir, .job = job, .e = e};
	struct qargs args = {0};
	const char *binary = twin_binary(d, rights, e);
	char monitor[sizeof(t->dir) + 40];
	int r;

	if (!binary || name_dir(&p, job) < 0 || check_plugged(&p) < 0)
		return e->code;
	if (!rights->images) {
		bool needs = false;

		for (size_t i = 0; i < d->disk_count; i++)
			needs = needs || !d->disks[i].empty;
		if (needs)
			return err_set(e, ERR_REFUSED,
				       "there is no folder for the VM's images: start "
				       "the destination's adit serve with --images DIR (images = "
				       "in adit.conf)");
	}
	r = qargs_parse(&args, d->argv.at, d->argv.count, e);
	if (r < 0)
		return r;
	p.args = &args;
	strvec_push(&p.used, "qmp.sock");
	strvec_push(&p.used, "qemu.log");
	r = twin_behind_read(&p);
	if (r == 0)
		r = twin_tpm_plan(&p);
	if (r == 0)
		r = twin_crypt_check(&p);
	if (r == 0)
		r = twin_format_check(&p);
	if (r == 0)
		r = twin_find_below(&p);
	if (r == 0)
		r = twin_block_read(&p);
	strvec_push(&t->argv, binary);
	image_secret_words(&t->argv, "-object", d);
	for (size_t i = 0; r == 0 && i < args.count; i++)
		r = take(&p, &args.at[i]);
	if (r == 0)
		r = twin_block_end(&p);
	if (r == 0 && !p.remade.failed)
		r = twin_format_end(&p);
	if (r == 0 && d->renamed && !p.has_name)
		r = vm_name(&p, "");
	/* The default may be another machine there. */
	if (r == 0 && !p.has_machine && *d->machine)
		twin_add(&p, "machine", d->machine);
	if (r == 0 && !p.has_display) /* nobody's screen is there to open a window on */
		twin_add(&p, "display", "none");
	snprintf(monitor, sizeof(monitor), "unix:%s/qmp.sock,server=on,wait=off", t->dir);
	twin_add(&p, "qmp", monitor);
	twin_add(&p, "incoming", "defer");
	twin_add(&p, "S", NULL);
	qargs_fini(&args);
	if (r == 0 && (t->argv.failed || t->files.failed || t->notes.failed || p.used.failed ||
		       p.below.failed || p.places.failed || p.remade.failed))
		r = err_set(e, ERR_SPACE, "no memory for the command line");
	strvec_fini(&p.used);
	strvec_fini(&p.below);
	strvec_fini(&p.places);
	strvec_fini(&p.remade);
	twin_block_fini(&p);
	json_decref(p.behind);
	return r;
}

int twin_place(struct twin *t, const struct vmdesc *d, const char *run_dir, const char *job,
	       struct err *e)
{
	struct twin_plan p = {.t = t, .d = d, .run_dir = run_dir, .e = e};

	return name_dir(&p, job);
}

/* The folder that path is in lets u pass. */
static int check_dir(const char *path, const struct user *u, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
	return user_check_path(u, *dir ? dir : "/", X_OK, e);
}

static int check_image(const struct twin_image *image, const struct user *u, struct err *e)
{
	if (access(image->path, F_OK) == 0)
		return user_check_path(u, image->path, image->disk->read_only ? R_OK : R_OK | W_OK,
				       e);
	return check_dir(image->path, u, e); /* not there yet */
}

static int check_words(const struct strvec *v, const struct user *u, struct err *e)
{
	for (size_t i = 0; i < v->count; i++)
		if (user_check_path(u, v->at[i], R_OK, e) < 0)
			return e->code;
	return 0;
}

static int check_user(const struct twin *t, const struct user *u, struct err *e)
{
	if (t->argv.count && user_check_path(u, t->argv.at[0], X_OK, e) < 0)
		return e->code;
	for (size_t i = 0; i < t->image_count; i++)
		if (check_image(&t->images[i], u, e) < 0)
			return e->code;
	for (size_t i = 0; i < t->backing_count; i++)
		if (user_check_path(u, t->backings[i].path, R_OK, e) < 0)
			return e->code;
	for (size_t i = 0; i < t->ram_count; i++)
		if (t->ram[i].dir && user_check_path(u, t->ram[i].dir, W_OK | X_OK, e) < 0)
			return e->code;
	if (t->tpm.program &&
	    (user_check_path(u, t->tpm.program, X_OK, e) < 0 || check_dir(t->tpm.dir, u, e) < 0))
		return e->code;
	if (check_words(&t->chain, u, e) < 0)
		return e->code;
	return check_words(&t->files, u, e);
}

int twin_check_user(const struct twin *t, const struct user *u, struct err *e)
{
	if (!user_is_given(u) || check_user(t, u, e) == 0)
		return 0;
	return err_prefix(e, "the destination");
}

void twin_fini(struct twin *t)
{
	strvec_fini(&t->argv);
	strvec_fini(&t->notes);
	for (size_t i = 0; i < t->image_count; i++) {
		free(t->images[i].path);
		free(t->images[i].backing);
	}
	free(t->images);
	for (size_t i = 0; i < t->backing_count; i++)
		free(t->backings[i].path);
	free(t->backings);
	for (size_t i = 0; i < t->net_count; i++)
		free(t->nets[i].kept);
	free(t->nets);
	free(t->ram);
	for (size_t i = 0; i < t->firmware_count; i++)
		free(t->firmware[i].path);
	free(t->firmware);
	strvec_fini(&t->chain);
	strvec_fini(&t->files);
	memset(t, 0, sizeof(*t));
}

/*
 * --persistent: the destination keeps how to start the VM again once it is here, as a
 * script for people and as JSON for programs: STATE/vms/NAME.sh and NAME.json. Both are
 * written under other names before anything else is made, so that what forbids it fails
 * the arrival in time, and get their own in the decision.
 */
#include "control/destination/arrival_i.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KIND_SCRIPT, KIND_JSON, KIND_COUNT };

static const char *const kinds[KIND_COUNT] = {"sh", "json"};

/* STATE/vms/NAME.KIND, or the name that it has until the decision. */
void arrival_keep_path(const struct arrival *a, unsigned kind, bool decided, char *buf, size_t size)
{
	char none[40];

	snprintf(none, sizeof(none), "vm-%.8s", a->id);
	snprintf(buf, size, "%s/vms/%s%.200s%s%.8s.%s", a->service->config.state_dir,
		 decided ? "" : ".", *a->desc.name ? a->desc.name : none, decided ? "" : "-",
		 decided ? "" : a->id, kinds[kind]);
}

/* How many of the words at the end only a VM that arrives has: -incoming defer -S. */
static size_t words_to_keep(const struct twin *t)
{
	static const char *const last[] = {"-incoming", "defer", "-S"};
	size_t n = t->argv.count;

	for (size_t i = 0; i < 3; i++)
		if (n < 3 || strcmp(t->argv.at[n - 3 + i], last[i]) != 0)
			return n;
	return n - 3;
}

/* word as the shell reads it back. */
static void put_word(FILE *f, const char *word)
{
	fputc('\'', f);
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", f);
		else
			fputc(*word, f);
	fputc('\'', f);
}

/* The folder that dir is in. */
static void put_dir_of(FILE *f, const char *dir)
{
	char parent[TWIN_DIR_MAX];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", dir);
	slash = strrchr(parent, '/');
	if (slash)
		*slash = 0;
	put_word(f, parent);
}

/* What of the command line is only this start's: the descriptors of taps. */
static const char *kept_word(const struct arrival *a, size_t i)
{
	for (size_t k = 0; k < a->twin.net_count; k++)
		if (a->twin.nets[k].at == i)
			return a->twin.nets[k].kept;
	return a->twin.argv.at[i];
}

/* Behind "ip link set INTERFACE ...": it goes where netport.c puts it, and up. */
static void put_port(FILE *f, const struct netport *p)
{
	if (p->kind == NETPORT_BRIDGE) {
		fputs(" master ", f);
		put_word(f, p->bridge);
		fputs(" up || exit 1\n", f);
		return;
	}
	fputs(" || exit 1\n", f);
	if (p->kind == NETPORT_OPENVSWITCH) {
		fprintf(f, "ovs-vsctl --timeout=5 --if-exists del-port %s -- add-port ",
			p->interface);
		put_word(f, p->bridge);
		fprintf(f, " %s", p->interface);
		if (p->vlan)
			fprintf(f, " tag=%u", p->vlan);
		fprintf(f, " -- set Port %s other_config:transient=true", p->interface);
	} else {
		fprintf(f,
			"env -i PATH=" NETPORT_PATH
			" ADIT_INTERFACE=%s ADIT_NETWORK=%s ADIT_MAC=%s ADIT_JOB=%s ADIT_VM=",
			p->interface, p->network, p->mac, p->job);
		put_word(f, p->vm);
		fputc(' ', f);
		put_word(f, p->script);
		fprintf(f, " attach %s", p->interface);
	}
	/* (what it may leave behind is not to have the lock) */
	fprintf(f, " 9>&- && ip link set %s up || exit 1\n", p->interface);
}

/* Its taps, which stay when it ends: QEMU's user may open them, and no more. */
static void write_taps(const struct arrival *a, FILE *f)
{
	const struct user *u = &a->rights->launch_user;

	for (size_t i = 0; i < a->twin.net_count; i++) {
		const struct twin_net *n = &a->twin.nets[i];

		fprintf(f, "[ -e /sys/class/net/%s ] || ip tuntap add dev %s mode tap",
			n->port.interface, n->port.interface);
		if (user_is_given(u))
			fprintf(f, " user %u", (unsigned)u->uid);
		fprintf(f, "%s%s || exit 1\nip link set %s", n->queues > 1 ? " multi_queue" : "",
			n->from->no_vnet_hdr ? "" : " vnet_hdr", n->port.interface);
		/* as tap.c has it, and why */
		fprintf(f, " address fe:%.2s:%.2s:%.2s:%.2s:%02x", a->id, a->id + 2, a->id + 4,
			a->id + 6, (unsigned)i & 0xff);
		if (n->from->mtu && n->port.kind != NETPORT_BRIDGE)
			fprintf(f, " mtu %u", (unsigned)n->from->mtu);
		if (n->from->mtu && n->port.kind == NETPORT_BRIDGE) {
			fprintf(f, " mtu \"$(m=%u; b=$(cat /sys/class/net/",
				(unsigned)n->from->mtu);
			put_word(f, n->port.bridge);
			fputs("/mtu); [ \"$b\" -gt $m ] && m=$b; echo $m)\"", f);
		}
		put_port(f, &n->port);
	}
}

/* " setpriv ... --", where the VM is somebody's, or with more of its options. */
static void put_user(FILE *f, const struct user *u, const char *more)
{
	if (user_is_given(u) || *more)
		fprintf(f, " setpriv%s", more);
	if (!user_is_given(u)) {
		fputs(*more ? " --" : "", f);
		return;
	}
	fprintf(f, " --reuid=%u --regid=%u --groups=", (unsigned)u->uid, (unsigned)u->gid);
	for (int i = 0; i < u->group_count; i++)
		fprintf(f, "%s%u", i ? "," : "", (unsigned)u->groups[i]);
	fputs(" --inh-caps=-all --no-new-privs --", f);
}

/* What starts its TPM, before it; that ends with the VM. None where it has none. */
static json_t *tpm_words(const struct twin_tpm *tpm)
{
	if (!tpm->program)
		return NULL;
	return json_pack("[s,s,s*,s,s,o,s,o]", tpm->program, "socket", tpm->v12 ? NULL : "--tpm2",
			 "--terminate", "--tpmstate", json_sprintf("dir=%s,mode=0600", tpm->dir),
			 "--ctrl", json_sprintf("type=unixio,path=%s", tpm->socket));
}

/* It ends with the script, whatever that is by then, and the VM waits until it listens, for 5 s. */
static void put_tpm(FILE *f, const struct twin_tpm *tpm, const struct user *u)
{
	json_t *words = tpm_words(tpm), *word;
	size_t i;

	if (!words)
		return;
	fputs("rm -f ", f);
	put_word(f, tpm->socket);
	fputc('\n', f);
	put_user(f, u, " --pdeathsig=TERM");
	json_array_foreach(words, i, word)
	{
		fputc(' ', f);
		put_word(f, json_string_value(word));
	}
	fputs(" &\nn=0; until [ -S ", f);
	put_word(f, tpm->socket);
	fputs(" ]; do n=$((n + 1)); [ $n -le 50 ] || exit 1; sleep 0.1; done\n", f);
	json_decref(words);
}

/* A second QEMU would take the sockets of the first away before it found its disks in use. What is
 * kept is locked as by adit start; QEMU and all behind it have the lock until they end. */
static void put_guard(const struct arrival *a, FILE *f)
{
	char path[PATH_MAX], text[1024];

	arrival_keep_path(a, KIND_JSON, true, path, sizeof(path));
	fputs("exec 9<", f);
	put_word(f, path);
	fputs(" || exit 1\nif grep -qF ", f);
	snprintf(text, sizeof(text), " %.300s", a->twin.qmp);
	put_word(f, text);
	fputs(" /proc/net/unix || { command -v flock >/dev/null && ! flock -n 9; }; then\n"
	      "\tprintf '%s\\n' ",
	      f);
	snprintf(text, sizeof(text),
		 "VM %.300s runs already, or is being started: its monitor is %.300s", a->desc.name,
		 a->twin.qmp);
	put_word(f, text);
	fputs(" >&2\n\texit 1\nfi\n", f);
}

static void write_script(const struct arrival *a, FILE *f)
{
	const size_t n = words_to_keep(&a->twin);
	const struct user *u = &a->rights->launch_user;

	fprintf(f,
		"#!/bin/sh\n"
		"# Starts the VM that adit brought here in job %s.\n"
		"# Its monitor and other sockets are in a folder that goes when it ends.\n",
		a->id);
	if (user_is_given(u))
		fprintf(f, "# It runs as user %s: root runs this.\n", u->name);
	put_guard(a, f);
	fputs("(", f);
	/* What is above the folder, where it is not there, is to let that user pass. */
	if (user_is_given(u)) {
		fputs("umask 066 && mkdir -p ", f);
		put_dir_of(f, a->twin.dir);
		fputs(" && ", f);
	}
	fputs("umask 077 && mkdir -p ", f);
	put_word(f, a->twin.dir);
	if (user_is_given(u)) {
		fprintf(f, " && chown %u:%u ", (unsigned)u->uid, (unsigned)u->gid);
		put_word(f, a->twin.dir);
	}
	fputs(") || exit 1\n", f);
	write_taps(a, f);
	put_tpm(f, &a->twin.tpm, u);
	fputs("exec", f);
	put_user(f, u, "");
	for (size_t i = 0; i < n; i++) {
		fputs(i ? " \\\n\t" : " ", f);
		put_word(f, kept_word(a, i));
	}
	fputc('\n', f);
}

static int write_json(const struct arrival *a, FILE *f)
{
	const size_t n = words_to_keep(&a->twin);
	const struct user *u = &a->rights->launch_user;
	json_t *argv = json_array(), *images = json_array(), *o;
	int r;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(argv, json_string(kept_word(a, i)));
	for (size_t i = 0; i < a->twin.image_count; i++)
		json_array_append_new(images, json_string(a->twin.images[i].path));
	o = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:o,s:o}", "adit", COOKIE_VERSION, "name",
		      a->desc.name, "uuid", a->desc.uuid, "peer", a->peer, "job", a->id, "dir",
		      a->twin.dir, "argv", argv, "images", images);
	if (o && a->twin.tpm.program)
		json_object_set_new(o, "tpm", tpm_words(&a->twin.tpm));
	if (o && a->twin.net_count)
		json_object_set_new(o, "networks", arrival_net_list(a));
	if (o && user_is_given(u))
		json_object_set_new(o, "user",
				    json_pack("{s:s,s:I,s:I}", "name", u->name, "uid",
					      (json_int_t)u->uid, "gid", (json_int_t)u->gid));
	r = o ? json_dumpf(o, f, JSON_INDENT(2)) : -1;
	fputc('\n', f);
	json_decref(o);
	return r;
}

static int write_one(struct arrival *a, unsigned kind, struct err *e)
{
	char path[4096];
	FILE *f = NULL;
	int fd, r = 0;

	arrival_keep_path(a, kind, false, path, sizeof(path));
	if (guardian_add_file(a->guardian, path, e) < 0)
		return e->code;
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0700);
	if (fd >= 0 && guardian_made_file(a->guardian, path, fd, e) < 0) {
		close(fd);
		return e->code;
	}
	if (fd >= 0)
		f = fdopen(fd, "w");
	if (!f) {
		err_set_sys(e, errno, "%s cannot be made on the destination (--persistent)", path);
		if (fd >= 0)
			close(fd);
		return e->code;
	}
	if (kind == KIND_SCRIPT)
		write_script(a, f);
	else
		r = write_json(a, f);
	if (r < 0 || fflush(f) != 0 || fsync(fd) < 0)
		r = -1;
	if (r < 0)
		err_set_sys(e, errno, "%s cannot be written on the destination (--persistent)",
			    path);
	fclose(f);
	return r < 0 ? (int)e->code : 0;
}

int arrival_keep_check(const struct arrival *a, struct err *e)
{
	char path[4096];
	json_t *o;
	bool its;

	if (!a->wish.persistent || !*a->desc.name)
		return 0;
	arrival_keep_path(a, KIND_JSON, true, path, sizeof(path));
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	o = json_load_file(path, 0, NULL);
	its = o && strcmp(json_text(o, "peer"), a->peer) == 0;
	json_decref(o);
	if (its)
		return 0;
	return err_set(e, ERR_REFUSED,
		       "the destination keeps a VM named \"%s\" already, which %s did not bring "
		       "(--persistent): give this one another name there with --rename, or have %s "
		       "removed there",
		       a->desc.name, a->peer, path);
}

int arrival_keep_write(struct arrival *a, struct err *e)
{
	char dir[4096];

	if (!a->wish.persistent)
		return 0;
	snprintf(dir, sizeof(dir), "%s/vms", a->service->config.state_dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set_sys(e, errno, "%s cannot be made on the destination (--persistent)",
				   dir);
	for (unsigned i = 0; i < KIND_COUNT; i++)
		if (write_one(a, i, e) < 0)
			return e->code;
	return 0;
}

void arrival_keep_decided(struct arrival *a)
{
	char from[4096], to[4096];
	int fd;

	for (unsigned i = 0; a->wish.persistent && i < KIND_COUNT; i++) {
		arrival_keep_path(a, i, false, from, sizeof(from));
		arrival_keep_path(a, i, true, to, sizeof(to));
		if (rename(from, to) < 0)
			log_error(&a->about, "%s cannot be renamed to %s: %s", from, to,
				  strerror(errno));
	}
	if (!a->wish.persistent)
		return;
	snprintf(to, sizeof(to), "%s/vms", a->service->config.state_dir);
	fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

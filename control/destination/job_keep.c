/*
 * --persistent: the destination keeps how to start the VM again once it is here, as a
 * script for people and as JSON for programs: STATE/vms/NAME.sh and NAME.json. Both are
 * written under other names before anything else is made, so that what forbids it fails
 * the job in time, and get their own in the decision.
 */
#include "control/destination/job_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kinds[] = {"sh", "json"};

/* STATE/vms/NAME.KIND, or the name that it has until the decision. */
void job_keep_path(const struct job *j, unsigned kind, bool decided, char *buf, size_t size)
{
	char none[40];

	snprintf(none, sizeof(none), "vm-%.8s", j->id);
	snprintf(buf, size, "%s/vms/%s%.200s%s%.8s.%s", j->service->config.state_dir,
		 decided ? "" : ".", *j->desc.name ? j->desc.name : none, decided ? "" : "-",
		 decided ? "" : j->id, kinds[kind]);
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

static void write_script(const struct job *j, FILE *f)
{
	const size_t n = words_to_keep(&j->twin);
	const struct user *u = &j->rights->launch_user;

	fprintf(f,
		"#!/bin/sh\n"
		"# Starts the VM that adit brought here in job %s.\n"
		"# Its monitor and other sockets are in a folder that goes when it ends.\n",
		j->id);
	if (user_is_given(u))
		fprintf(f, "# It runs as user %s: root runs this.\n", u->name);
	fputs("(", f);
	/* What is above the folder, where it is not there, is to let that user pass. */
	if (user_is_given(u)) {
		fputs("umask 066 && mkdir -p ", f);
		put_dir_of(f, j->twin.dir);
		fputs(" && ", f);
	}
	fputs("umask 077 && mkdir -p ", f);
	put_word(f, j->twin.dir);
	if (user_is_given(u)) {
		fprintf(f, " && chown %u:%u ", (unsigned)u->uid, (unsigned)u->gid);
		put_word(f, j->twin.dir);
	}
	fputs(") || exit 1\nexec", f);
	if (user_is_given(u)) {
		fprintf(f, " setpriv --reuid=%u --regid=%u --groups=", (unsigned)u->uid,
			(unsigned)u->gid);
		for (int i = 0; i < u->group_count; i++)
			fprintf(f, "%s%u", i ? "," : "", (unsigned)u->groups[i]);
		fputs(" --inh-caps=-all --no-new-privs --", f);
	}
	for (size_t i = 0; i < n; i++) {
		fputs(i ? " \\\n\t" : " ", f);
		put_word(f, j->twin.argv.at[i]);
	}
	fputc('\n', f);
}

static int write_json(const struct job *j, FILE *f)
{
	const size_t n = words_to_keep(&j->twin);
	const struct user *u = &j->rights->launch_user;
	json_t *argv = json_array(), *images = json_array(), *o;
	int r;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(argv, json_string(j->twin.argv.at[i]));
	for (size_t i = 0; i < j->twin.image_count; i++)
		json_array_append_new(images, json_string(j->twin.images[i].path));
	o = json_pack("{s:i,s:s,s:s,s:s,s:s,s:o,s:o}", "adit", COOKIE_VERSION, "name", j->desc.name,
		      "uuid", j->desc.uuid, "job", j->id, "dir", j->twin.dir, "argv", argv,
		      "images", images);
	if (o && user_is_given(u))
		json_object_set_new(o, "user",
				    json_pack("{s:s,s:I,s:I}", "name", u->name, "uid",
					      (json_int_t)u->uid, "gid", (json_int_t)u->gid));
	r = o ? json_dumpf(o, f, JSON_INDENT(2)) : -1;
	fputc('\n', f);
	json_decref(o);
	return r;
}

static int write_one(struct job *j, unsigned kind, struct err *e)
{
	char path[4096];
	FILE *f = NULL;
	int fd, r = 0;

	job_keep_path(j, kind, false, path, sizeof(path));
	if (guardian_add_file(j->guardian, path, e) < 0)
		return e->code;
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0700);
	if (fd >= 0 && guardian_made_file(j->guardian, path, fd, e) < 0) {
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
	if (kind == 0)
		write_script(j, f);
	else
		r = write_json(j, f);
	if (r < 0 || fflush(f) != 0 || fsync(fd) < 0)
		r = -1;
	if (r < 0)
		err_set_sys(e, errno, "%s cannot be written on the destination (--persistent)",
			    path);
	fclose(f);
	return r < 0 ? (int)e->code : 0;
}

int job_keep_write(struct job *j, struct err *e)
{
	char dir[4096];

	if (!j->wish.persistent)
		return 0;
	snprintf(dir, sizeof(dir), "%s/vms", j->service->config.state_dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set_sys(e, errno, "%s cannot be made on the destination (--persistent)",
				   dir);
	for (unsigned i = 0; i < 2; i++)
		if (write_one(j, i, e) < 0)
			return e->code;
	return 0;
}

void job_keep_decided(struct job *j)
{
	char from[4096], to[4096];
	int fd;

	for (unsigned i = 0; j->wish.persistent && i < 2; i++) {
		job_keep_path(j, i, false, from, sizeof(from));
		job_keep_path(j, i, true, to, sizeof(to));
		if (rename(from, to) < 0)
			log_error(&j->about, "%s cannot be renamed to %s: %s", from, to,
				  strerror(errno));
	}
	if (!j->wish.persistent)
		return;
	snprintf(to, sizeof(to), "%s/vms", j->service->config.state_dir);
	fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

/*
 * A configuration file's lines: see config_file.h. Refuses what libinih would pass over or
 * cut: a line that is too long, a section that it has not all of, words behind a section.
 *
 * libinih asks for a line, and calls for the key in it before it asks for the next. So the
 * lines are counted where it asks, and sections are read there too: it keeps 49 bytes of
 * their names, and a certificate's subject may be longer.
 */
#include "cli/common/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct parse {
	FILE *f;
	const char *name;
	const struct config_file_ops *ops;
	void *ctx;
	struct err *e;
	char *line; /* getline's */
	size_t room;
	unsigned number; /* of the line; from 1 */
	unsigned failed; /* the first one with an error; 0: none */
};

/* Whether an error begins with "NAME:LINE: ". NAME and a colon alone may be a key's. */
static bool has_its_line(const char *text, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(text, name, len) != 0 || text[len] != ':')
		return false;
	text += len + 1;
	len = strspn(text, "0123456789");
	return len && strncmp(text + len, ": ", 2) == 0;
}

/* Tells where; what is wrong with a file is no misuse of the command. */
static void fail(struct parse *p, unsigned line)
{
	if (p->failed)
		return;
	p->failed = line;
	if (p->e->code != ERR_SPACE)
		p->e->code = ERR_CONFIG;
	/* A whole section is told of with the line that it begins in. */
	if (!has_its_line(p->e->text, p->name))
		err_prefix(p->e, "%s:%u", p->name, line);
}

static void fail_with(struct parse *p, const char *text)
{
	err_set(p->e, ERR_CONFIG, "%s", text);
	fail(p, p->number);
}

static void take_section(struct parse *p, char *text)
{
	char *end = strchr(text, ']'), *behind;

	if (!end) {
		fail_with(p, "a section's name ends with ]");
		return;
	}
	*end = '\0';
	behind = end + 1 + strspn(end + 1, " \t\r\n");
	if (*behind && *behind != ';' && *behind != '#')
		fail_with(p, "nothing stands behind a section's name");
	else if (p->ops->on_section(p->ctx, text, p->number, p->e) < 0)
		fail(p, p->number);
	*end = ']';
}

/* A line for libinih; NULL ends it. */
static char *next_line(char *buf, int size, void *ctx)
{
	struct parse *p = ctx;
	char *text;
	ssize_t len;

	if (p->failed)
		return NULL;
	errno = 0;
	len = getline(&p->line, &p->room, p->f);
	if (len < 0) {
		if (errno) {
			err_set_sys(p->e, errno, "cannot be read");
			fail(p, p->number + 1);
		}
		return NULL;
	}
	p->number++;
	if (strlen(p->line) != (size_t)len) {
		fail_with(p, "this is no text: it has a byte 0 in it");
		return NULL;
	}
	if (len + 3 > size) {
		err_set(p->e, ERR_CONFIG, "the line is too long: at most %d bytes", size - 3);
		fail(p, p->number);
		return NULL;
	}
	text = p->line;
	if (p->number == 1 && strncmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	if (text[0] == '[')
		take_section(p, text + 1);
	else if (text[strspn(text, " \t")] == '[')
		fail_with(p, "a section begins at the very left");
	if (p->failed)
		return NULL;
	memcpy(buf, p->line, (size_t)len + 1);
	return buf;
}

/* libinih does it in a key's own line, but not in those that go on. */
static void cut_comment(char *text)
{
	char *p = text;

	while (*p && !(*p == ';' && (p == text || strchr(" \t", p[-1]))))
		p++;
	while (p > text && strchr(" \t", p[-1]))
		p--;
	*p = '\0';
}

static int on_key(void *ctx, const char *section, const char *key, const char *value)
{
	struct parse *p = ctx;
	char text[1024];

	(void)section; /* perhaps cut */
	if (p->failed)
		return 0;
	snprintf(text, sizeof(text), "%s", value);
	value = text;
	cut_comment(text);
	if (!*value)
		err_set(p->e, ERR_CONFIG, "%s has no value", key);
	else if (strstr(value, " #") || strstr(value, "\t#"))
		err_set(p->e, ERR_CONFIG,
			"%s: a # begins a comment only at the beginning of a line: write ;", key);
	else if (p->ops->on_key(p->ctx, key, value, p->number, p->e) == 0)
		return 1;
	fail(p, p->number);
	return 0;
}

int config_file_parse(FILE *f, const char *name, const struct config_file_ops *ops, void *ctx,
		      struct err *e)
{
	struct parse p = {.f = f, .name = name, .ops = ops, .ctx = ctx, .e = e};
	int rc = ini_parse_stream(next_line, &p, on_key, &p);

	/* What it cannot make sense of it notes and reads on. */
	if (rc > 0 && (!p.failed || (unsigned)rc < p.failed)) {
		p.failed = 0;
		err_set(e, ERR_CONFIG,
			"this is neither a [section], nor KEY = VALUE, nor a comment");
		fail(&p, (unsigned)rc);
	} else if (rc < 0 && !p.failed) {
		err_set(e, ERR_SPACE, "%s: memory is short", name);
		p.failed = 1;
	}
	free(p.line);
	return p.failed ? (int)e->code : 0;
}

bool config_file_is_loose(const struct stat *st)
{
	return (st->st_mode & S_IWOTH) ||
	       ((st->st_mode & S_IWGRP) && st->st_gid != 0 && st->st_gid != getegid());
}

int config_file_read(const char *path, const struct config_file_ops *ops, void *ctx, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
	struct stat st;
	FILE *f;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_set_sys(e, errno, "%s", path);
		if (fd >= 0)
			close(fd);
		return e->code;
	}
	if (S_ISDIR(st.st_mode))
		err_set(e, ERR_CONFIG, "%s: this is a directory", path);
	else if (S_ISREG(st.st_mode) && st.st_uid != 0 && st.st_uid != geteuid())
		err_set(e, ERR_CONFIG, "%s: must belong to root or to the user who runs adit",
			path);
	else if (S_ISREG(st.st_mode) && config_file_is_loose(&st))
		err_set(e, ERR_CONFIG, "%s: %s may write to it: chmod go-w it", path,
			st.st_mode & S_IWOTH ? "everybody" : "its group");
	f = err_is_set(e) ? NULL : fdopen(fd, "r");
	if (!f) {
		if (!err_is_set(e))
			err_set_sys(e, errno, "%s", path);
		close(fd);
		return e->code;
	}
	rc = config_file_parse(f, path, ops, ctx, e);
	fclose(f);
	return rc;
}

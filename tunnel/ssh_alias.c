/* HostKeyAlias: see ssh_alias.h. What it cannot read it passes over: libssh reads the same
 * files and complains. Refuses to follow Include deeper than OpenSSH does. */
#include "tunnel/ssh_alias.h"

#include <fnmatch.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { DEPTH_MAX = 16, PATH_MAX_BYTES = 1024 };

struct search {
	const char *host;
	const char *folder; /* of Include lines that are not absolute */
	char *alias;
	size_t size;
	int found;
};

static const char *home(void)
{
	const struct passwd *pw = getpwuid(getuid());

	return pw ? pw->pw_dir : "/";
}

/* The next word of a line, "quoted" or plain; NULL at its end. Cuts the line up. */
static char *next_word(char **line)
{
	char *at = *line + strspn(*line, " \t\r\n"), *end;

	if (!*at || *at == '#')
		return NULL;
	if (*at == '"') {
		end = strchr(++at, '"');
		end = end ? end : at + strlen(at);
	} else {
		end = at + strcspn(at, " \t\r\n");
	}
	*line = *end ? end + 1 : end;
	*end = '\0';
	return at;
}

/* The keyword, behind which a '=' may stand. */
static char *keyword(char **line)
{
	char *at = *line + strspn(*line, " \t\r\n"), *end = at + strcspn(at, " \t\r\n=");
	char *value = end + strspn(end, " \t");

	if (!*at || *at == '#')
		return NULL;
	*line = *value == '=' ? value + 1 : value;
	if (*end && *line == end)
		(*line)++;
	*end = '\0';
	return at;
}

/* Whether one of a Host line's patterns matches, and none with a '!' does. */
static int host_matches(const char *host, char *patterns)
{
	int yes = 0;
	char *p;

	while ((p = next_word(&patterns)) != NULL) {
		if (*p == '!' && fnmatch(p + 1, host, FNM_CASEFOLD) == 0)
			return 0;
		yes |= *p != '!' && fnmatch(p, host, FNM_CASEFOLD) == 0;
	}
	return yes;
}

static void read_file(struct search *s, const char *file, unsigned depth);

/* An Include line: each of its words may name several files. */
static void include(struct search *s, char *words, unsigned depth)
{
	char path[PATH_MAX_BYTES];
	glob_t files;
	char *p;

	while (!s->found && (p = next_word(&words)) != NULL) {
		if (strncmp(p, "~/", 2) == 0)
			snprintf(path, sizeof(path), "%s/%s", home(), p + 2);
		else
			snprintf(path, sizeof(path), "%s%s%s", *p == '/' ? "" : s->folder,
				 *p == '/' ? "" : "/", p);
		if (glob(path, 0, NULL, &files) != 0)
			continue;
		for (size_t i = 0; i < files.gl_pathc && !s->found; i++)
			read_file(s, files.gl_pathv[i], depth + 1);
		globfree(&files);
	}
}

static void take(struct search *s, char *words)
{
	const char *alias = next_word(&words);

	if (alias && strlen(alias) < s->size) {
		strcpy(s->alias, alias);
		s->found = 1;
	}
}

static void read_file(struct search *s, const char *file, unsigned depth)
{
	FILE *f = depth < DEPTH_MAX ? fopen(file, "re") : NULL;
	char *line = NULL, *word, *rest;
	size_t size = 0;
	int ours = 1;

	while (f && !s->found && getline(&line, &size, f) > 0) {
		rest = line;
		word = keyword(&rest);
		if (!word)
			continue;
		if (strcasecmp(word, "Host") == 0)
			ours = host_matches(s->host, rest);
		else if (strcasecmp(word, "Match") == 0)
			ours = (word = next_word(&rest)) && strcasecmp(word, "all") == 0;
		else if (ours && strcasecmp(word, "Include") == 0)
			include(s, rest, depth);
		else if (ours && strcasecmp(word, "HostKeyAlias") == 0)
			take(s, rest);
	}
	free(line);
	if (f)
		fclose(f);
}

int ssh_alias_find(const char *config_file, const char *host, char *alias, size_t size)
{
	char folder[PATH_MAX_BYTES], file[PATH_MAX_BYTES + 8];
	struct search s = {.host = host, .folder = folder, .alias = alias, .size = size};

	snprintf(folder, sizeof(folder), "%s/.ssh", home());
	snprintf(file, sizeof(file), "%s/config", folder);
	read_file(&s, config_file ? config_file : file, 0);
	if (!s.found && !config_file) {
		s.folder = "/etc/ssh";
		read_file(&s, "/etc/ssh/ssh_config", 0);
	}
	return s.found;
}

/* adit keygen: a new key, in psktool's format. Never overwrites a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/commands.h"
#include "cli/common/options.h"
#include "cli/common/usage.h"

enum { KEY_BYTES = 32, IDENTITY_MAX = 127 };

static const char help[] =
    "usage: adit keygen [-o FILE] [IDENTITY]\n"
    "\n"
    "Prints a line IDENTITY:HEXKEY with a new random key of 256 bits, in the format of\n"
    "GnuTLS' psktool. Put it into a file on both hosts and give that to --psk; a server's\n"
    "file may have many lines, one for each peer. IDENTITY is a name for the peer that\n"
    "connects; left out, it is this host's name.\n"
    "\n"
    "  -o, --output FILE   write the line to FILE, made new with mode 0600; a file that is\n"
    "                      there already is left alone\n"
    "  -h, --help          this text\n";

/* Whether identity can stand before the ':' of a line, and before the '@' of DEST. */
static int check_identity(const char *identity, struct err *e)
{
	size_t len = strlen(identity);

	if (len == 0 || len > IDENTITY_MAX)
		return err_set(e, ERR_USAGE, "an identity has 1 to %d bytes, not %zu", IDENTITY_MAX,
			       len);
	if (identity[0] == '#')
		return err_set(e, ERR_USAGE,
			       "identity \"%s\": '#' at the beginning marks an identity in "
			       "hexadecimal",
			       identity);
	for (const char *p = identity; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == ':' || *p == '@' || *p == '/')
			return err_set(e, ERR_USAGE,
				       "identity \"%s\": use letters, digits and punctuation, but "
				       "neither spaces nor any of : @ /",
				       identity);
	return 0;
}

static int make_line(char *line, size_t size, const char *identity, struct err *e)
{
	unsigned char key[KEY_BYTES];
	size_t used;

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return err_set_sys(e, errno, "no random bytes");
	used = (size_t)snprintf(line, size, "%s:", identity);
	for (size_t i = 0; i < sizeof(key); i++)
		used += (size_t)snprintf(line + used, size - used, "%02x", key[i]);
	snprintf(line + used, size - used, "\n");
	explicit_bzero(key, sizeof(key));
	return 0;
}

static int write_file(const char *file, const char *line, struct err *e)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return err_set(e, ERR_CONFIG,
			       "%s is there already and is left as it is: choose another FILE, or "
			       "add a line with adit keygen IDENTITY >>%s",
			       file, file);
	if (fd < 0)
		return err_set(e, ERR_SYSTEM, "%s cannot be made: %s%s", file, strerror(errno),
			       errno == ENOENT ? " (make its folder first)" : "");
	/* The umask may take rights from the owner, too. */
	if (fchmod(fd, 0600) < 0 || fd_write_all(fd, line, strlen(line)) < 0 || fsync(fd) < 0) {
		err_set_sys(e, errno, "%s cannot be written", file);
		close(fd);
		unlink(file);
		return e->code;
	}
	close(fd);
	return 0;
}

int cmd_keygen(int argc, char **argv)
{
	static const struct option options[] = {
	    {"output", required_argument, NULL, 'o'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	char identity[IDENTITY_MAX + 2] = "", line[IDENTITY_MAX + 2 * KEY_BYTES + 8];
	const char *file = NULL;
	struct options o = {
	    .command = "keygen", .argc = argc, .argv = argv, .shorts = ":o:h", .longs = options};
	struct err e = ERR_INIT;
	int c, rc;

	while ((c = options_next(&o)) != OPTIONS_END) {
		switch (c) {
		case 'o':
			file = optarg;
			break;
		case 'h':
			return usage_help(help);
		default:
			return EXIT_USAGE;
		}
	}
	if (argc - optind > 1)
		return usage_error("keygen", "one IDENTITY, not %d", argc - optind);
	if (optind < argc)
		snprintf(identity, sizeof(identity), "%s", argv[optind]);
	else if (gethostname(identity, sizeof(identity) - 1) < 0)
		return usage_error("keygen", "this host has no name: give an IDENTITY");
	if (check_identity(identity, &e) < 0 || make_line(line, sizeof(line), identity, &e) < 0)
		return usage_fail("keygen", &e);
	if (file) {
		rc = write_file(file, line, &e);
	} else {
		rc = fd_write_all(STDOUT_FILENO, line, strlen(line)) < 0
			 ? err_set_sys(&e, errno, "standard output cannot be written")
			 : 0;
	}
	explicit_bzero(line, sizeof(line));
	return rc < 0 ? usage_fail("keygen", &e) : EXIT_SUCCESS;
}

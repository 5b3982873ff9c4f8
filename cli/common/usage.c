/* Help, misuse and failure in the same words everywhere: see usage.h. */
#include "cli/common/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_usage_error(const char *command, char *text)
{
	fprintf(stderr, "%sadit %s: %s; see adit %s --help\n", log_journal_prefix(LOG_LEVEL_ERROR),
		command, err_printable(text), command);
	return EXIT_USAGE;
}

int usage_error(const char *command, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return print_usage_error(command, text);
}

int usage_fail(const char *command, const struct err *e)
{
	if (e->code == ERR_USAGE)
		return usage_error(command, "%s", e->text);
	fprintf(stderr, "%sadit %s: %s\n", log_journal_prefix(LOG_LEVEL_ERROR), command, e->text);
	return EXIT_FAILURE;
}

int usage_help(const char *text)
{
	fputs(text, stdout);
	if (fflush(stdout) != 0) {
		perror("adit: standard output");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int usage_parse_log_level(enum log_level *level, const char *text, struct err *e)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {
	    {"error", LOG_LEVEL_ERROR},
	    {"warning", LOG_LEVEL_WARN},
	    {"info", LOG_LEVEL_INFO},
	    {"debug", LOG_LEVEL_DEBUG},
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(levels[i].name, text) == 0) {
			*level = levels[i].level;
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "--log-level \"%s\" is none of error, warning, info and debug",
		       text);
}

int usage_take_log_level(const char *text, struct err *e)
{
	/* set here as well: gcc 14 thinks that err_set might return 0 */
	enum log_level level = LOG_LEVEL_INFO;
	int rc = usage_parse_log_level(&level, text, e);

	if (rc == 0)
		log_set_level(level);
	return rc;
}

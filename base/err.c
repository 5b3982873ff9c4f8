/* Errors as values: see err.h. Prints nothing and never exits. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

char *err_printable(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	return s;
}

/* A text that needed n bytes, in a buffer of size: what was cut is seen to be. */
static void mark_cut(char *text, size_t size, int n)
{
	if (n >= 0 && (size_t)n >= size)
		memcpy(text + size - 4, "...", 4);
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!e)
		return code;
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	mark_cut(e->text, sizeof(e->text), n);
	err_printable(e->text);
	e->code = code;
	return code;
}

int err_set_sys(struct err *e, int errnum, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX - 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, ERR_SYSTEM, "%s: %s", text, strerror(errnum));
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char prefix[ERR_TEXT_MAX / 2], text[ERR_TEXT_MAX];
	va_list ap;
	int n;

	if (!e)
		return ERR_NONE;
	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	memcpy(text, e->text, sizeof(text));
	n = snprintf(e->text, sizeof(e->text), "%s: %s", prefix, text);
	mark_cut(e->text, sizeof(e->text), n);
	err_printable(e->text);
	return e->code;
}

const char *err_code_name(enum err_code code)
{
	switch (code) {
	case ERR_NONE:
		return "none";
	case ERR_SYSTEM:
		return "system";
	case ERR_USAGE:
		return "usage";
	case ERR_ADDRESS:
		return "address";
	case ERR_AUTH:
		return "auth";
	case ERR_PROTOCOL:
		return "protocol";
	case ERR_REFUSED:
		return "refused";
	case ERR_LIMIT:
		return "limit";
	case ERR_TIMEOUT:
		return "timeout";
	case ERR_CLOSED:
		return "closed";
	case ERR_CANCELLED:
		return "cancelled";
	case ERR_SPACE:
		return "space";
	case ERR_QEMU:
		return "qemu";
	case ERR_CONFIG:
		return "config";
	case ERR_INTERNAL:
		return "internal";
	}
	return "unknown";
}

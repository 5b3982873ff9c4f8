/* Names of the wire's error codes: see code.h. */
#include "tunnel/code.h"

const char *code_name(enum code code)
{
	static const char *const names[] = {
	    [CODE_NONE] = "NONE",
	    [CODE_PROTOCOL] = "PROTOCOL",
	    [CODE_VERSION] = "VERSION",
	    [CODE_FEATURE] = "FEATURE",
	    [CODE_LIMIT] = "LIMIT",
	    [CODE_REFUSED] = "REFUSED",
	    [CODE_UNREACHABLE] = "UNREACHABLE",
	    [CODE_ENDPOINT] = "ENDPOINT",
	    [CODE_CANCELLED] = "CANCELLED",
	    [CODE_TIMEOUT] = "TIMEOUT",
	    [CODE_SESSION] = "SESSION",
	    [CODE_INTERNAL] = "INTERNAL",
	    [CODE_DRAINING] = "DRAINING",
	};

	if ((unsigned)code < sizeof(names) / sizeof(names[0]) && names[code])
		return names[code];
	return "UNKNOWN";
}

enum err_code code_to_err(enum code code)
{
	switch (code) {
	case CODE_NONE:
		return ERR_NONE;
	case CODE_LIMIT:
		return ERR_LIMIT;
	case CODE_REFUSED:
	case CODE_DRAINING:
		return ERR_REFUSED;
	case CODE_UNREACHABLE:
		return ERR_ADDRESS;
	case CODE_ENDPOINT:
	case CODE_SESSION:
		return ERR_CLOSED;
	case CODE_CANCELLED:
		return ERR_CANCELLED;
	case CODE_TIMEOUT:
		return ERR_TIMEOUT;
	default:
		return ERR_PROTOCOL;
	}
}

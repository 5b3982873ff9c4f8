/* Error codes on the wire (docs/protocol.md, Codes): why a stream or a session ended. */
#ifndef ADIT_TUNNEL_CODE_H
#define ADIT_TUNNEL_CODE_H

#include "base/err.h"

enum code {
	CODE_NONE = 0,	      /* an orderly end */
	CODE_PROTOCOL = 1,    /* a frame that the protocol does not allow */
	CODE_VERSION = 2,     /* no version in common */
	CODE_FEATURE = 3,     /* a required feature is missing */
	CODE_LIMIT = 4,	      /* a limit was passed (R10) */
	CODE_REFUSED = 5,     /* a right is missing: the target is not allowed */
	CODE_UNREACHABLE = 6, /* the target cannot be connected to */
	CODE_ENDPOINT = 7,    /* the endpoint failed while in use */
	CODE_CANCELLED = 8,   /* the user's wish */
	CODE_TIMEOUT = 9,     /* the peer was silent for too long */
	CODE_SESSION = 10,    /* local only: the session has ended */
	CODE_INTERNAL = 11,   /* a fault of the sender's own */
	CODE_DRAINING = 12,   /* takes no new streams or sessions any more */
};

/* The code's name as the specification writes it ("REFUSED"); "UNKNOWN" for others. */
const char *code_name(enum code code);

/* The err code that stands for a wire code that a peer sent. */
enum err_code code_to_err(enum code code);

#endif

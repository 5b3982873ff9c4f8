/*
 * Frames: the bytes on a lane, as docs/protocol.md gives them. Packs and
 * unpacks; knows no state and does no I/O. Integers are big-endian.
 *
 *   0  u32  payload length, at most FRAME_PAYLOAD_MAX
 *   4  u8   type
 *   5  u8   flags, 0 in version 1
 *   6  u16  reserved, 0
 *   8  u32  stream, 0 for frames of the session
 *  12  u32  sequence: low 32 bits of the frame's number; 0 when not numbered
 */
#ifndef ADIT_TUNNEL_FRAME_H
#define ADIT_TUNNEL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tunnel/stream.h"

enum {
	FRAME_HEADER_LEN = 16,
	FRAME_MAX = 65536, /* header and payload: four full TLS records */
	FRAME_PAYLOAD_MAX = FRAME_MAX - FRAME_HEADER_LEN,
	FRAME_SMALL_MAX = 2048, /* payload of every frame but DATA */
	FRAME_VERSION = 1,
	FRAME_SESSION_ID_LEN = 16,
	FRAME_SOFTWARE_MAX = 64,
};

enum frame_type {
	/* not numbered: about this connection, or repeated after a reconnect */
	FRAME_HELLO = 1,
	FRAME_PING = 2,
	FRAME_PONG = 3,
	FRAME_ACK = 4,
	FRAME_CLOSE = 5,
	FRAME_CREDIT = 6,
	/* numbered, acknowledged, kept until then (R8) */
	FRAME_OPEN = 16,
	FRAME_DATA = 17,
	FRAME_EOF = 18,
	FRAME_RESET = 19,
	/* 64 to 127: not numbered; a receiver that does not know one skips it */
	FRAME_OPTIONAL_FIRST = 64,
	FRAME_OPTIONAL_LAST = 127,
};

/* Feature bits of HELLO. */
enum {
	FRAME_FEATURE_RESUME = 1u << 0,	 /* kept: to take a session up again at next_seq */
	FRAME_FEATURE_ALLOWED = 1u << 1, /* says whether a target is allowed (proxy/allowed.h) */
};

struct frame_header {
	uint32_t len; /* of the payload */
	uint8_t type;
	uint8_t flags;
	uint32_t stream;
	uint32_t seq;
};

struct frame_hello {
	uint16_t version_min, version_max;
	uint32_t features, required;
	uint8_t session[FRAME_SESSION_ID_LEN];
	uint16_t lane, lanes;
	uint64_t next_seq;     /* the number that the sender expects next; 0 in a new session */
	uint32_t window_bytes; /* initial credit of every stream, towards the sender of HELLO */
	uint32_t streams_max;
	uint32_t dead_ms; /* after this much silence it gives the peer up */
	char software[FRAME_SOFTWARE_MAX + 1];
};

struct frame_open {
	enum stream_class class;
	char target[STREAM_TARGET_MAX + 1];
};

struct frame_reason {
	uint32_t code;
	char reason[STREAM_REASON_MAX + 1];
};

int frame_is_numbered(uint8_t type);
const char *frame_type_name(uint8_t type);

void frame_pack_header(uint8_t out[FRAME_HEADER_LEN], const struct frame_header *h);

/* ERR_PROTOCOL: a payload too long for its type, reserved bits set, an unknown
 * type, a stream number where none belongs or none where one does. */
int frame_unpack_header(struct frame_header *h, const uint8_t in[FRAME_HEADER_LEN], struct err *e);

/* Payloads. Packers return the length and need FRAME_SMALL_MAX bytes; unpackers
 * return 0 or ERR_PROTOCOL. Texts are printable afterwards. */
size_t frame_pack_hello(uint8_t *out, const struct frame_hello *h);
int frame_unpack_hello(struct frame_hello *h, const uint8_t *in, size_t len, struct err *e);
size_t frame_pack_open(uint8_t *out, enum stream_class class, const char *target);
int frame_unpack_open(struct frame_open *o, const uint8_t *in, size_t len, struct err *e);
size_t frame_pack_reason(uint8_t *out, enum code code, const char *reason);
int frame_unpack_reason(struct frame_reason *r, const uint8_t *in, size_t len, struct err *e);
size_t frame_pack_u64(uint8_t *out, uint64_t v);
int frame_unpack_u64(uint64_t *v, const uint8_t *in, size_t len, struct err *e);

#endif

/* Frames: see frame.h and docs/protocol.md. No state, no I/O, no allocation. */
#include "tunnel/frame.h"

#include <string.h>

#include "base/wire.h"

static const uint8_t magic[4] = {'A', 'D', 'I', 'T'};

enum { HELLO_FIXED_LEN = 4 + 2 + 2 + 4 + 4 + FRAME_SESSION_ID_LEN + 2 + 2 + 8 + 4 + 4 + 4 + 2 };

int frame_is_numbered(uint8_t type)
{
	return type >= FRAME_OPEN && type <= FRAME_RESET;
}

const char *frame_type_name(uint8_t type)
{
	switch (type) {
	case FRAME_HELLO:
		return "HELLO";
	case FRAME_PING:
		return "PING";
	case FRAME_PONG:
		return "PONG";
	case FRAME_ACK:
		return "ACK";
	case FRAME_CLOSE:
		return "CLOSE";
	case FRAME_CREDIT:
		return "CREDIT";
	case FRAME_OPEN:
		return "OPEN";
	case FRAME_DATA:
		return "DATA";
	case FRAME_EOF:
		return "EOF";
	case FRAME_RESET:
		return "RESET";
	default:
		return "unknown";
	}
}

void frame_pack_header(uint8_t out[FRAME_HEADER_LEN], const struct frame_header *h)
{
	wire_put32(out, h->len);
	out[4] = h->type;
	out[5] = h->flags;
	wire_put16(out + 6, 0);
	wire_put32(out + 8, h->stream);
	wire_put32(out + 12, h->seq);
}

static int is_stream_frame(uint8_t type)
{
	return frame_is_numbered(type) || type == FRAME_CREDIT;
}

int frame_unpack_header(struct frame_header *h, const uint8_t in[FRAME_HEADER_LEN], struct err *e)
{
	uint32_t max = FRAME_SMALL_MAX;
	int known = 1;

	h->len = wire_get32(in);
	h->type = in[4];
	h->flags = in[5];
	h->stream = wire_get32(in + 8);
	h->seq = wire_get32(in + 12);
	if (h->type >= FRAME_OPTIONAL_FIRST && h->type <= FRAME_OPTIONAL_LAST)
		known = 0;
	else if (!(h->type >= FRAME_HELLO && h->type <= FRAME_CREDIT) &&
		 !frame_is_numbered(h->type))
		return err_set(e, ERR_PROTOCOL, "frame of unknown type %u", h->type);
	if (h->type == FRAME_DATA)
		max = FRAME_PAYLOAD_MAX;
	if (h->len > max)
		return err_set(e, ERR_PROTOCOL, "%s frame of %u bytes: at most %u are allowed",
			       frame_type_name(h->type), h->len, max);
	if (!known)
		return 0;
	if (h->flags || wire_get16(in + 6))
		return err_set(e, ERR_PROTOCOL, "%s frame with reserved bits set",
			       frame_type_name(h->type));
	if (is_stream_frame(h->type) != (h->stream != 0))
		return err_set(e, ERR_PROTOCOL, "%s frame with stream number %u",
			       frame_type_name(h->type), h->stream);
	if (!frame_is_numbered(h->type) && h->seq)
		return err_set(e, ERR_PROTOCOL, "%s frame with a sequence number",
			       frame_type_name(h->type));
	if ((h->type == FRAME_DATA && !h->len) || (h->type == FRAME_EOF && h->len))
		return err_set(e, ERR_PROTOCOL, "%s frame of %u bytes", frame_type_name(h->type),
			       h->len);
	return 0;
}

/* Cuts text at max bytes. */
static size_t text_len(const char *text, size_t max)
{
	return strnlen(text ? text : "", max);
}

size_t frame_pack_hello(uint8_t *out, const struct frame_hello *h)
{
	size_t n = text_len(h->software, FRAME_SOFTWARE_MAX);
	uint8_t *p = out;

	memcpy(p, magic, 4);
	wire_put16(p + 4, h->version_min);
	wire_put16(p + 6, h->version_max);
	wire_put32(p + 8, h->features);
	wire_put32(p + 12, h->required);
	memcpy(p + 16, h->session, FRAME_SESSION_ID_LEN);
	p += 16 + FRAME_SESSION_ID_LEN;
	wire_put16(p, h->lane);
	wire_put16(p + 2, h->lanes);
	wire_put64(p + 4, h->next_seq);
	wire_put32(p + 12, h->window_bytes);
	wire_put32(p + 16, h->streams_max);
	wire_put32(p + 20, h->dead_ms);
	wire_put16(p + 24, (uint16_t)n);
	memcpy(p + 26, h->software, n);
	return (size_t)HELLO_FIXED_LEN + n;
}

int frame_unpack_hello(struct frame_hello *h, const uint8_t *in, size_t len, struct err *e)
{
	const uint8_t *p = in;
	size_t n;

	if (len < 4 || memcmp(in, magic, 4) != 0)
		return err_set(e, ERR_PROTOCOL, "the peer does not speak adit's protocol");
	if (len < HELLO_FIXED_LEN)
		return err_set(e, ERR_PROTOCOL, "HELLO frame of %zu bytes is too short", len);
	memset(h, 0, sizeof(*h));
	h->version_min = wire_get16(p + 4);
	h->version_max = wire_get16(p + 6);
	h->features = wire_get32(p + 8);
	h->required = wire_get32(p + 12);
	memcpy(h->session, p + 16, FRAME_SESSION_ID_LEN);
	p += 16 + FRAME_SESSION_ID_LEN;
	h->lane = wire_get16(p);
	h->lanes = wire_get16(p + 2);
	h->next_seq = wire_get64(p + 4);
	h->window_bytes = wire_get32(p + 12);
	h->streams_max = wire_get32(p + 16);
	h->dead_ms = wire_get32(p + 20);
	n = wire_get16(p + 24);
	/* Bytes behind the name are a later version's: skipped. */
	if (n > FRAME_SOFTWARE_MAX || n > len - HELLO_FIXED_LEN)
		return err_set(e, ERR_PROTOCOL, "HELLO frame with a software name of %zu bytes", n);
	memcpy(h->software, p + 26, n);
	err_printable(h->software);
	return 0;
}

size_t frame_pack_open(uint8_t *out, enum stream_class class, const char *target)
{
	size_t n = text_len(target, STREAM_TARGET_MAX);

	out[0] = (uint8_t) class;
	out[1] = 0;
	wire_put16(out + 2, (uint16_t)n);
	memcpy(out + 4, target, n);
	return 4 + n;
}

int frame_unpack_open(struct frame_open *o, const uint8_t *in, size_t len, struct err *e)
{
	size_t n;

	if (len < 4 || (n = wire_get16(in + 2)) != len - 4 || n == 0 || n > STREAM_TARGET_MAX ||
	    in[1] || memchr(in + 4, 0, n))
		return err_set(e, ERR_PROTOCOL, "malformed OPEN frame");
	if (in[0] >= STREAM_CLASSES)
		return err_set(e, ERR_PROTOCOL, "OPEN frame with unknown class %u", in[0]);
	o->class = (enum stream_class)in[0];
	memcpy(o->target, in + 4, n);
	o->target[n] = 0;
	return 0;
}

size_t frame_pack_reason(uint8_t *out, enum code code, const char *reason)
{
	size_t n = text_len(reason, STREAM_REASON_MAX);

	wire_put32(out, (uint32_t)code);
	memcpy(out + 4, reason ? reason : "", n);
	if (reason && reason[n])
		memcpy(out + 4 + n - 3, "...", 3); /* a cut is to be seen */
	return 4 + n;
}

int frame_unpack_reason(struct frame_reason *r, const uint8_t *in, size_t len, struct err *e)
{
	if (len < 4 || len - 4 > STREAM_REASON_MAX)
		return err_set(e, ERR_PROTOCOL, "malformed reason of %zu bytes", len);
	r->code = wire_get32(in);
	memcpy(r->reason, in + 4, len - 4);
	r->reason[len - 4] = 0;
	err_printable(r->reason);
	return 0;
}

size_t frame_pack_u64(uint8_t *out, uint64_t v)
{
	wire_put64(out, v);
	return 8;
}

int frame_unpack_u64(uint64_t *v, const uint8_t *in, size_t len, struct err *e)
{
	if (len != 8)
		return err_set(e, ERR_PROTOCOL, "a payload of %zu bytes where 8 belong", len);
	*v = wire_get64(in);
	return 0;
}

/*
 * NBD's hello: see nbd.h. The numbers are those of the NBD protocol
 * (github.com/NetworkBlockDevice/nbd, doc/proto.md).
 *
 * Both halves gather a head, then the body that it tells of, in one buffer, and look at each when
 * it is whole. Extended headers are refused: whether the client would ask for them is not known
 * when the server is asked, and both have to agree to the same.
 */
#include "proxy/nbd.h"

#include <string.h>

#include "base/wire.h"

#define MAGIC UINT64_C(0x4e42444d41474943)	  /* "NBDMAGIC" */
#define OPTION_MAGIC UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define REPLY_MAGIC UINT64_C(0x0003e889045565a9)

#define CONTEXT "base:allocation"

enum { FIXED_NEWSTYLE = 1, NO_ZEROES = 2 }; /* of both sides' first flags */

enum option { OPT_ABORT = 2, OPT_GO = 7, OPT_STRUCTURED = 8, OPT_SET_CONTEXT = 10 };

#define REP_ACK 1u
#define REP_INFO 3u
#define REP_CONTEXT 4u
#define REP_ERROR 0x80000000u /* and above */
#define REP_UNSUPPORTED 0x80000001u
#define REP_INVALID 0x80000003u
#define REP_UNKNOWN 0x80000006u

enum { INFO_EXPORT = 0, INFO_BLOCKS = 3 };

enum { GREETING_LEN = 18, REPLY_LEN = 20, OPTION_LEN = 16, FLAGS_LEN = 4 };

enum state { FIRST, HEAD, BODY };

static void put(struct nbd_hello *h, const void *data, size_t len)
{
	if (h->out.off == h->out.len)
		h->out.off = h->out.len = 0;
	if (len > sizeof(h->out.data) - h->out.len)
		return; /* (room() was asked) */
	memcpy(h->out.data + h->out.len, data, len);
	h->out.len += len;
}

static void put16(struct nbd_hello *h, uint16_t v)
{
	uint8_t b[2];

	wire_put16(b, v);
	put(h, b, sizeof(b));
}

static void put32(struct nbd_hello *h, uint32_t v)
{
	uint8_t b[4];

	wire_put32(b, v);
	put(h, b, sizeof(b));
}

static void put64(struct nbd_hello *h, uint64_t v)
{
	uint8_t b[8];

	wire_put64(b, v);
	put(h, b, sizeof(b));
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "NBD's hello: %s", what);
}

/* Gathers up to `need` bytes; true when they are there, and then looks at the next ones. */
static bool gather(struct nbd_hello *h, size_t need, const uint8_t **data, size_t *len)
{
	size_t n = need - h->have < *len ? need - h->have : *len;

	if (n)
		memcpy(h->in + h->have, *data, n);
	h->have += n;
	*data += n;
	*len -= n;
	if (h->have < need)
		return false;
	h->have = 0;
	return true;
}

/* A head tells of a body of so many bytes. */
static int set_body(struct nbd_hello *h, uint32_t len, struct err *e)
{
	if (len > sizeof(h->in))
		return bad(e, "a message is too long");
	h->body_len = len;
	h->state = BODY;
	return 0;
}

/* ---- the client ---- */

static void ask(struct nbd_hello *h, uint32_t option, uint32_t len)
{
	put64(h, OPTION_MAGIC);
	put32(h, option);
	put32(h, len);
}

static void ask_all(struct nbd_hello *h)
{
	uint32_t name_len = (uint32_t)strlen(h->export.name);
	uint32_t context_len = (uint32_t)strlen(CONTEXT);

	put32(h, h->export.hello_flags & (FIXED_NEWSTYLE | NO_ZEROES));
	ask(h, OPT_STRUCTURED, 0);
	ask(h, OPT_SET_CONTEXT, 4 + name_len + 4 + 4 + context_len);
	put32(h, name_len);
	put(h, h->export.name, name_len);
	put32(h, 1);
	put32(h, context_len);
	put(h, CONTEXT, context_len);
	ask(h, OPT_GO, 4 + name_len + 2 + 2);
	put32(h, name_len);
	put(h, h->export.name, name_len);
	put16(h, 1);
	put16(h, INFO_BLOCKS);
	h->option = OPT_STRUCTURED;
}

static int take_greeting(struct nbd_hello *h, struct err *e)
{
	if (wire_get64(h->in) != MAGIC || wire_get64(h->in + 8) != OPTION_MAGIC)
		return bad(e, "what answers there is no NBD server");
	h->export.hello_flags = wire_get16(h->in + 16);
	if (!(h->export.hello_flags & FIXED_NEWSTYLE))
		return bad(e, "the server is too old");
	ask_all(h); /* all at once: one way there and back, however many they are */
	h->state = HEAD;
	return 0;
}

static int take_info(struct nbd_hello *h, struct err *e)
{
	struct nbd_export *x = &h->export;

	if (h->body_len < 2)
		return bad(e, "the server says nothing of its export");
	switch (wire_get16(h->in)) {
	case INFO_EXPORT:
		if (h->body_len != 12)
			return bad(e, "the server's word on its export has the wrong length");
		x->size = wire_get64(h->in + 2);
		x->flags = wire_get16(h->in + 10);
		h->has_export = true;
		break;
	case INFO_BLOCKS:
		if (h->body_len != 14)
			return bad(e, "the server's word on its blocks has the wrong length");
		x->block_min = wire_get32(h->in + 2);
		x->block_preferred = wire_get32(h->in + 6);
		x->block_max = wire_get32(h->in + 10);
		x->has_blocks = true;
		break;
	default:
		break;
	}
	return 0;
}

/* The answer to one option is whole: the next one's follows. */
static int next_option(struct nbd_hello *h, struct err *e)
{
	if (h->option == OPT_STRUCTURED) {
		h->option = OPT_SET_CONTEXT;
	} else if (h->option == OPT_SET_CONTEXT) {
		h->option = OPT_GO;
	} else {
		if (!h->has_export)
			return bad(e, "the server said nothing of its export");
		h->done = true;
	}
	return 0;
}

static int refused(struct nbd_hello *h, struct err *e)
{
	if (h->option == OPT_GO)
		return err_set(e, ERR_REFUSED, "the NBD server has no export %s for us (%.*s)",
			       h->export.name, (int)(h->body_len < 200 ? h->body_len : 200),
			       (const char *)h->in);
	if (h->option == OPT_SET_CONTEXT)
		h->export.has_context = false;
	return next_option(h, e);
}

static int take_reply(struct nbd_hello *h, struct err *e)
{
	h->state = HEAD;
	if (h->type >= REP_ERROR)
		return refused(h, e);
	if (h->type == REP_ACK) {
		if (h->option == OPT_STRUCTURED)
			h->export.structured = true;
		return next_option(h, e);
	}
	if (h->type == REP_INFO && h->option == OPT_GO)
		return take_info(h, e);
	if (h->type == REP_CONTEXT && h->option == OPT_SET_CONTEXT) {
		size_t len = strlen(CONTEXT);

		if (h->body_len != 4 + len || memcmp(h->in + 4, CONTEXT, len) != 0)
			return bad(e, "the server tells of a context that it was not asked for");
		h->export.has_context = true;
		h->export.context = wire_get32(h->in);
		return 0;
	}
	return bad(e, "the server's answer is not one to the question");
}

static int take_reply_head(struct nbd_hello *h, struct err *e)
{
	if (wire_get64(h->in) != REPLY_MAGIC || wire_get32(h->in + 8) != h->option)
		return bad(e, "the server answers something else");
	h->type = wire_get32(h->in + 12);
	return set_body(h, wire_get32(h->in + 16), e);
}

void nbd_client_begin(struct nbd_hello *h, const char *name)
{
	memset(h, 0, sizeof(*h));
	strncpy(h->export.name, name, NBD_NAME_MAX);
}

long nbd_client_input(struct nbd_hello *h, const uint8_t *data, size_t len, struct err *e)
{
	static const size_t heads[] = {[FIRST] = GREETING_LEN, [HEAD] = REPLY_LEN};
	const uint8_t *at = data;
	int rc = 0;

	while (!h->done && gather(h, h->state == BODY ? h->body_len : heads[h->state], &at, &len)) {
		if (h->state == FIRST)
			rc = take_greeting(h, e);
		else if (h->state == HEAD)
			rc = take_reply_head(h, e);
		else
			rc = take_reply(h, e);
		if (rc < 0)
			return -1;
	}
	return at - data;
}

/* ---- the server ---- */

static void reply(struct nbd_hello *h, uint32_t type, uint32_t len)
{
	put64(h, REPLY_MAGIC);
	put32(h, h->option);
	put32(h, type);
	put32(h, len);
}

static void say_export(struct nbd_hello *h)
{
	const struct nbd_export *x = &h->export;

	reply(h, REP_INFO, 12);
	put16(h, INFO_EXPORT);
	put64(h, x->size);
	put16(h, x->flags);
	if (x->has_blocks) {
		reply(h, REP_INFO, 14);
		put16(h, INFO_BLOCKS);
		put32(h, x->block_min);
		put32(h, x->block_preferred);
		put32(h, x->block_max);
	}
	reply(h, REP_ACK, 0);
}

/* The name at the body's beginning; its end in *at. -1: there is none. */
static int is_ours(const struct nbd_hello *h, size_t *at)
{
	uint32_t len = h->body_len >= 4 ? wire_get32(h->in) : 0;

	if (h->body_len < 4 || len > h->body_len - 4)
		return -1;
	*at = 4 + len;
	return len == strlen(h->export.name) && memcmp(h->in + 4, h->export.name, len) == 0;
}

static int go(struct nbd_hello *h, struct err *e)
{
	size_t at;
	int ours = is_ours(h, &at);

	if (ours <= 0) {
		reply(h, ours < 0 ? REP_INVALID : REP_UNKNOWN, 0);
		return 0;
	}
	if (h->structured != h->export.structured)
		return bad(e, "the client asks for no structured replies, and the server's are");
	say_export(h);
	h->done = true;
	return 0;
}

static void set_context(struct nbd_hello *h)
{
	size_t at, len = strlen(CONTEXT);
	int ours = is_ours(h, &at);
	bool wanted = false;
	uint32_t count;

	if (ours < 0 || !h->structured || h->body_len - at < 4) {
		reply(h, REP_INVALID, 0);
		return;
	}
	if (!ours) {
		reply(h, REP_UNKNOWN, 0);
		return;
	}
	count = wire_get32(h->in + at);
	at += 4;
	for (; count; count--) {
		uint32_t n = h->body_len - at >= 4 ? wire_get32(h->in + at) : 0;

		if (h->body_len - at < 4 || n > h->body_len - at - 4) {
			reply(h, REP_INVALID, 0);
			return;
		}
		wanted = wanted || (n == len && memcmp(h->in + at + 4, CONTEXT, len) == 0);
		at += 4 + n;
	}
	if (wanted && h->export.has_context) {
		reply(h, REP_CONTEXT, (uint32_t)(4 + len));
		put32(h, h->export.context);
		put(h, CONTEXT, len);
	}
	reply(h, REP_ACK, 0);
}

static int take_option(struct nbd_hello *h, struct err *e)
{
	h->state = HEAD;
	switch (h->option) {
	case OPT_STRUCTURED:
		if (h->export.structured && h->body_len == 0) {
			h->structured = true;
			reply(h, REP_ACK, 0);
			return 0;
		}
		break;
	case OPT_SET_CONTEXT:
		set_context(h);
		return 0;
	case OPT_GO:
		return go(h, e);
	case OPT_ABORT:
		return bad(e, "the client wants no more");
	default:
		break;
	}
	reply(h, REP_UNSUPPORTED, 0);
	return 0;
}

static int take_option_head(struct nbd_hello *h, struct err *e)
{
	if (wire_get64(h->in) != OPTION_MAGIC)
		return bad(e, "the client says something else");
	h->option = wire_get32(h->in + 8);
	return set_body(h, wire_get32(h->in + 12), e);
}

void nbd_server_begin(struct nbd_hello *h, const struct nbd_export *export)
{
	memset(h, 0, sizeof(*h));
	h->export = *export;
	put64(h, MAGIC);
	put64(h, OPTION_MAGIC);
	put16(h, export->hello_flags & (FIXED_NEWSTYLE | NO_ZEROES));
}

/* The longest answer fits. A client that reads none of them is none. */
static bool room(const struct nbd_hello *h)
{
	return h->out.off == h->out.len || sizeof(h->out.data) - h->out.len >= 256;
}

long nbd_server_input(struct nbd_hello *h, const uint8_t *data, size_t len, struct err *e)
{
	static const size_t heads[] = {[FIRST] = FLAGS_LEN, [HEAD] = OPTION_LEN};
	const uint8_t *at = data;

	while (!h->done && gather(h, h->state == BODY ? h->body_len : heads[h->state], &at, &len)) {
		int rc = 0;

		if (!room(h))
			rc = bad(e, "the client reads no answers");
		else if (h->state == HEAD)
			rc = take_option_head(h, e);
		else if (h->state == BODY)
			rc = take_option(h, e);
		else if (!(wire_get32(h->in) & FIXED_NEWSTYLE))
			rc = bad(e, "the client is too old");
		else
			h->state = HEAD;
		if (rc < 0)
			return -1;
	}
	return at - data;
}

/*
 * OpenSSL's BIO over a socket with large buffers: see tls_bio.h. Writing never
 * blocks and never refuses; its bound is the link's (the transport's unsent) and the
 * outbuf's own. Refuses to hand to OpenSSL what does not begin as TLS does.
 */
#include "tunnel/tls_bio.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

enum fill { FILL_OK, FILL_LATER, FILL_END };

/* Asks the socket for a chunk. The buffer is empty. */
static enum fill fill(struct tls_bio *io)
{
	ssize_t n;

	if (io->eof || io->foreign || io->recv_errno)
		return FILL_END;
	if (io->dry || io->turn_reads == 0)
		return FILL_LATER;
	if (!io->in && !(io->in = malloc(TLS_BIO_IN_SIZE))) {
		io->short_of_memory = 1;
		return FILL_END;
	}
	io->turn_reads--;
	do
		n = recv(io->fd, io->in, TLS_BIO_IN_SIZE, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		io->dry = 1;
		return FILL_LATER;
	}
	if (n < 0) {
		io->recv_errno = errno;
		return FILL_END;
	}
	if (n == 0) {
		io->eof = 1;
		return FILL_END;
	}
	io->dry = n < TLS_BIO_IN_SIZE;
	if (io->received_bytes == 0) {
		io->first_len = (size_t)n < SNIFF_LEN_MAX ? (size_t)n : SNIFF_LEN_MAX;
		memcpy(io->first, io->in, io->first_len);
		io->foreign = sniff(io->first, io->first_len) != SNIFF_TLS;
	}
	io->received_bytes += (uint64_t)n;
	if (io->foreign)
		return FILL_END;
	io->in_head = 0;
	io->in_len = (size_t)n;
	return FILL_OK;
}

static int bio_read(BIO *bio, char *buf, size_t size, size_t *got)
{
	struct tls_bio *io = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*got = 0;
	if (io->flooded)
		return 0;
	if (io->in_len == 0) {
		switch (fill(io)) {
		case FILL_OK:
			break;
		case FILL_LATER:
			BIO_set_retry_read(bio);
			return 0;
		case FILL_END:
			return 0;
		}
	}
	if (size > io->in_len)
		size = io->in_len;
	memcpy(buf, io->in + io->in_head, size);
	io->in_head += size;
	io->in_len -= size;
	*got = size;
	return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *put)
{
	struct tls_bio *io = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*put = 0;
	if (outbuf_append(&io->out, (const uint8_t *)data, len) < 0) {
		io->short_of_memory = 1;
		return 0;
	}
	*put = len;
	return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct tls_bio *io = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH: /* the transport's flush sends */
		return 1;
	case BIO_CTRL_EOF:
		return io->eof;
	default:
		return 0;
	}
}

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "adit");
	if (!method)
		return;
	BIO_meth_set_read_ex(method, bio_read);
	BIO_meth_set_write_ex(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
}

BIO *tls_bio_new(struct tls_bio *io)
{
	BIO *bio;

	pthread_once(&method_once, make_method);
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return NULL;
	BIO_set_data(bio, io);
	io->idle_left = TLS_BIO_IDLE_MAX;
	BIO_set_init(bio, 1);
	return bio;
}

void tls_bio_turn(struct tls_bio *io)
{
	io->turn_reads = TLS_BIO_TURN_READS;
	io->dry = 0;
}

void tls_bio_count(struct tls_bio *io, size_t data)
{
	if (!data && !io->idle_left)
		io->flooded = 1;
	if (!data) {
		io->idle_left -= io->idle_left > 0;
		return;
	}
	io->idle_paid += data;
	if (io->idle_left == TLS_BIO_IDLE_MAX || io->idle_paid < TLS_BIO_IDLE_BYTES)
		return;
	io->idle_left++;
	io->idle_paid = 0;
}

void tls_bio_count_early(struct tls_bio *io)
{
	if (++io->early > TLS_BIO_EARLY_MAX)
		io->flooded = 1;
}

void tls_bio_fini(struct tls_bio *io)
{
	outbuf_fini(&io->out);
	free(io->in);
	io->in = NULL;
}

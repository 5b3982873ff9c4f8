/*
 * Transport `ssh`: bytes to and from libssh.
 *
 * What comes in is taken out of libssh at once, by a callback, into rings of ours; what
 * goes out waits in another ring for the window that sshd has granted, and is given to
 * libssh only when that holds nothing more: its own buffer has no bound.
 */
#include "tunnel/transport_ssh_i.h"

#include <stdio.h>
#include <string.h>

enum {
	WRITE_MAX = 256 * 1024, /* given to libssh in one go */
	WINDOW = 16 << 20,	/* what sshd may send ahead; libssh's own is 1.25 MB */
};

/* Lets libssh look at its socket once. 1: something was done, 0: nothing to do. */
int transport_ssh_poll(struct transport_ssh *ssh)
{
	int r;

	if (ssh->broken)
		return 0;
	r = ssh_event_dopoll(ssh->event, 0);
	if (r == SSH_ERROR || !ssh_is_connected(ssh->session))
		ssh->broken = 1;
	return r == SSH_OK;
}

static int on_data(ssh_session session, ssh_channel channel, void *data, uint32_t len,
		   int is_stderr, void *ctx)
{
	struct transport_ssh *ssh = ctx;
	unsigned i = 0;

	(void)session;
	while (i < ssh->strands.count - 1 && ssh->channels[i] != channel)
		i++;
	/* All is always taken: nothing may be left in libssh's buffer (see widen). */
	if (is_stderr) {
		transport_ssh_far_words(ssh, data, len);
	} else if (outbuf_append(&ssh->strands.in[i], data, len) < 0) {
		err_set(&ssh->failed, ERR_LIMIT, "no memory for %u bytes that came in", len);
		ssh->broken = 1;
	}
	ssh->ungranted[i] += len;
	return (int)len;
}

static void on_exit_status(ssh_session session, ssh_channel channel, int status, void *ctx)
{
	struct transport_ssh *ssh = ctx;

	(void)session;
	if (channel == ssh->channels[0] || ssh->exit_status < 0)
		ssh->exit_status = status;
	ssh->lost |= channel != ssh->channels[0] && status != 0;
}

static void on_exit_signal(ssh_session session, ssh_channel channel, const char *name, int core,
			   const char *message, const char *lang, void *ctx)
{
	struct transport_ssh *ssh = ctx;

	(void)session;
	(void)core;
	(void)message;
	(void)lang;
	snprintf(ssh->exit_signal, sizeof(ssh->exit_signal), "%s", name ? name : "?");
	ssh->lost |= channel != ssh->channels[0];
}

void transport_ssh_io_init(struct transport_ssh *ssh)
{
	struct ssh_channel_callbacks_struct *cb = &ssh->channel_callbacks;

	ssh->strands.count = 1;
	ssh->exit_status = -1;
	cb->userdata = ssh;
	cb->channel_data_function = on_data;
	cb->channel_exit_status_function = on_exit_status;
	cb->channel_exit_signal_function = on_exit_signal;
	ssh_callbacks_init(cb);
}

/* Lets sshd send far ahead. libssh widens its window to what a read asks for; as nothing
 * is ever left in its buffer, this read returns nothing. */
static void widen(struct transport_ssh *ssh)
{
	uint32_t window = WINDOW / ssh->strands.count;
	uint8_t nothing[1];

	for (unsigned i = 0; i < ssh->strands.count && !ssh->broken; i++) {
		if (ssh->ungranted[i] < window / 4)
			continue;
		ssh->ungranted[i] = 0;
		ssh_channel_read_timeout(ssh->channels[i], nothing, window, 0, 0);
	}
}

int transport_ssh_closed(const struct transport_ssh *ssh)
{
	/* One of the others has gone: sshd keeps its channel open, as the first has its pipes. */
	if (ssh->strands.count > 1 && ssh->lost)
		return 1;
	for (unsigned i = 0; i < ssh->strands.count; i++)
		if (ssh_channel_is_closed(ssh->channels[i]))
			return 1;
	return ssh->broken;
}

int transport_ssh_flushed(struct transport_ssh *ssh)
{
	int r = ssh->broken ? SSH_OK : ssh_blocking_flush(ssh->session, 0);

	if (!ssh_is_connected(ssh->session))
		ssh->broken = 1;
	return r == SSH_OK || ssh->broken;
}

size_t transport_ssh_give(struct transport_ssh *ssh, unsigned i, const uint8_t *data, size_t len)
{
	int n;

	if (!ssh->broken && !ssh_channel_window_size(ssh->channels[i]))
		return 0;
	n = ssh->broken ? -1
			: ssh_channel_write(ssh->channels[i], data,
					    (uint32_t)(len < WRITE_MAX ? len : WRITE_MAX));
	if (!ssh_is_connected(ssh->session))
		ssh->broken = 1;
	return n < 0 ? len : (size_t)n;
}

/* One channel: as much of the ring as lies in one piece. What went. */
static size_t give_some(struct transport_ssh *ssh)
{
	const uint8_t *data;
	size_t len = outbuf_peek(&ssh->out, &data), n = transport_ssh_give(ssh, 0, data, len);

	outbuf_drop(&ssh->out, n);
	return n;
}

/* Several: the next piece, whole. 0 when its channel's window is too small. */
static size_t give_piece(struct transport_ssh *ssh)
{
	size_t n;

	if (!ssh->piece_len) {
		ssh->piece_to = ssh->strands.out_at;
		ssh->piece_len =
		    strands_piece(&ssh->strands, &ssh->out, ssh->piece, sizeof(ssh->piece));
	}
	if (!ssh->broken && ssh_channel_window_size(ssh->channels[ssh->piece_to]) < ssh->piece_len)
		return 0;
	n = transport_ssh_give(ssh, ssh->piece_to, ssh->piece, ssh->piece_len);
	if (n)
		ssh->piece_len = 0;
	return n;
}

int transport_ssh_drain(struct transport_ssh *ssh)
{
	size_t n = 1;
	int all;

	ssh->passed = 0;
	while ((all = transport_ssh_flushed(ssh)) && (ssh->out.len || ssh->piece_len) && n)
		n = ssh->strands.count > 1 ? give_piece(ssh) : give_some(ssh);
	if (!ssh->out.len && !ssh->piece_len && ssh->out.ending && !ssh->eof_sent && !ssh->broken) {
		ssh->eof_sent = 1;
		for (unsigned i = 0; i < ssh->strands.count; i++)
			ssh_channel_send_eof(ssh->channels[i]);
		all = transport_ssh_flushed(ssh);
	}
	ssh->t.unsent = ssh->out.len + ssh->piece_len + !all;
	return all ? 0 : TRANSPORT_WANT_WRITE;
}

/* Bytes that came in and were not read, of all channels. */
static size_t in_len(const struct transport_ssh *ssh)
{
	size_t len = 0;

	for (unsigned i = 0; i < ssh->strands.count; i++)
		len += ssh->strands.in[i].len;
	return len;
}

ssize_t transport_ssh_take(struct transport_ssh *ssh, uint8_t *buf, size_t size)
{
	enum { POLLS_A_TURN = 128 }; /* of 4 KiB each */
	ssize_t got;

	/* What is there may all be of channels whose turn it is not. */
	for (int i = 0; i < POLLS_A_TURN && (in_len(ssh) < size || !strands_ready(&ssh->strands)) &&
			transport_ssh_poll(ssh);
	     i++)
		;
	got = strands_read(&ssh->strands, buf, size, &ssh->failed);
	widen(ssh);
	/* A wider window of sshd's may have come; and libssh may have something to say itself. */
	transport_ssh_drain(ssh);
	return got;
}

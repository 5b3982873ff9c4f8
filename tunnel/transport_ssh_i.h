/* What the files of transport `ssh` share; nobody else includes it. */
#ifndef ADIT_TUNNEL_TRANSPORT_SSH_I_H
#define ADIT_TUNNEL_TRANSPORT_SSH_I_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include "tunnel/outbuf.h"
#include "tunnel/transport_ssh.h"
#include "tunnel/transport_stdio.h"

enum ssh_state {
	SSH_STATE_NEW,	 /* configured: only transport_ssh_begin and free */
	SSH_STATE_KEX,	 /* banners and keys are exchanged */
	SSH_STATE_NONE,	 /* asked sshd which proofs it takes */
	SSH_STATE_KEYS,	 /* the agent's keys and the files' are tried */
	SSH_STATE_OPEN,	 /* a channel was asked for */
	SSH_STATE_EXEC,	 /* the command was asked for */
	SSH_STATE_GREET, /* our greeting is out; the far adit's is waited for */
	SSH_STATE_UP,	 /* bytes of the session */
};

/* Owned by whoever holds the transport. */
struct transport_ssh {
	struct transport t;
	enum ssh_state state;
	ssh_session session;
	ssh_event event;
	ssh_channel channel;
	struct ssh_callbacks_struct callbacks;
	struct ssh_channel_callbacks_struct channel_callbacks;

	char *command, *request;
	char user[128], host[ADDR_HOST_MAX]; /* host: as the configuration says */
	uint16_t port;
	int proxy;	      /* a ProxyCommand connects */
	int let_in;	      /* sshd wants no proof */
	char locked_key[256]; /* a key that sshd takes and that needs a passphrase */

	struct outbuf out;  /* bytes for the channel */
	struct outbuf in;   /* and from it */
	size_t passed;	    /* went past the ring since the last flush: a turn has its end */
	uint64_t ungranted; /* bytes that came in since libssh's window was widened */
	int eof_sent;
	char line[TRANSPORT_STDIO_LINE_MAX]; /* of the greeting */
	size_t line_len;

	char far_line[256]; /* of the far side's standard error, as far as it has come */
	size_t far_len;
	char far_said[256]; /* the last whole one */
	int exit_status;    /* -1: not known */
	char exit_signal[32];

	int broken; /* the connection itself */
	int told;   /* the end was returned */
	struct err failed;
};

/* transport_ssh_auth.c: each goes on with its part: 0, WANT_READ (ask libssh for which), or
 * FAILED with ssh->failed set. */
int transport_ssh_check_host(struct transport_ssh *ssh);
int transport_ssh_ask_methods(struct transport_ssh *ssh);
int transport_ssh_try_keys(struct transport_ssh *ssh);

/* transport_ssh_end.c: what the far side says beside the session, and how it ended. */
void transport_ssh_far_words(struct transport_ssh *ssh, const char *data, size_t len);
void transport_ssh_up(struct transport_ssh *ssh); /* the session begins */
/* Sets ssh->failed for a far side that has ended, or a connection that broke. */
void transport_ssh_explain_end(struct transport_ssh *ssh);

#endif

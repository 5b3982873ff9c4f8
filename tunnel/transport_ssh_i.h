/* What the files of transport `ssh` share; nobody else includes it. */
#ifndef ADIT_TUNNEL_TRANSPORT_SSH_I_H
#define ADIT_TUNNEL_TRANSPORT_SSH_I_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include "tunnel/outbuf.h"
#include "tunnel/strands.h"
#include "tunnel/transport_ssh.h"
#include "tunnel/transport_stdio.h"

enum ssh_state {
	SSH_STATE_NEW,	 /* configured: only transport_ssh_begin and free */
	SSH_STATE_KEX,	 /* banners and keys are exchanged */
	SSH_STATE_NONE,	 /* asked sshd which proofs it takes */
	SSH_STATE_KEYS,	 /* the agent's keys and the files' are tried */
	SSH_STATE_OPEN,	 /* a channel was asked for */
	SSH_STATE_MORE,	 /* and further ones, where the path is long */
	SSH_STATE_EXEC,	 /* the command was asked for, in each */
	SSH_STATE_GREET, /* our greeting is out; the far adit's is waited for */
	SSH_STATE_JOIN,	 /* likewise in the other channels */
	SSH_STATE_UP,	 /* bytes of the session */
};

/* Owned by whoever holds the transport. */
struct transport_ssh {
	struct transport t;
	enum ssh_state state;
	ssh_session session;
	ssh_event event;
	ssh_channel channels[STRANDS_MAX]; /* the first is asked for the session */
	struct ssh_callbacks_struct callbacks;
	struct ssh_channel_callbacks_struct channel_callbacks;

	char *command, *request;
	char user[128], host[ADDR_HOST_MAX]; /* host: as the configuration says */
	char alias[ADDR_HOST_MAX];	     /* HostKeyAlias, where there is one */
	uint16_t port;
	int proxy;	      /* a ProxyCommand connects */
	int proxy_said;	      /* what it writes to standard error (ssh_proxy.h); -1 */
	char proxy_name[160]; /* it, for messages */
	char proxy_doing[256];
	int let_in;	      /* sshd wants no proof */
	char locked_key[256]; /* a key that sshd takes and that needs a passphrase */

	int may_split;					 /* the request is for a session */
	uint64_t opened_us;				 /* when the second channel was asked for */
	unsigned wanted;				 /* channels, by the length of the path */
	unsigned started;				 /* channels whose command runs */
	unsigned joined;				 /* channels whose greeting was answered */
	struct strands strands;				 /* what came in is in there */
	struct outbuf out;				 /* bytes for the channels */
	uint8_t piece[STRANDS_HEAD + STRANDS_PIECE_MAX]; /* on its way into one of several */
	size_t piece_len;
	unsigned piece_to;
	size_t passed; /* went past the ring since the last flush: a turn has its end */
	uint64_t ungranted[STRANDS_MAX]; /* came in since libssh's window was widened */
	int eof_sent;
	char line[TRANSPORT_STDIO_LINE_MAX]; /* of the greeting */
	size_t line_len;

	char far_line[256]; /* of the far side's standard error, as far as it has come */
	size_t far_len;
	char far_said[256]; /* the last whole one */
	int exit_status;    /* -1: not known */
	char exit_signal[32];

	int lost;   /* the process of one of several channels has ended */
	int broken; /* the connection itself */
	int told;   /* the end was returned */
	struct err failed;
};

/* transport_ssh_auth.c: each goes on with its part: 0, WANT_READ (ask libssh for which), or
 * FAILED with ssh->failed set. */
int transport_ssh_check_host(struct transport_ssh *ssh);
int transport_ssh_ask_methods(struct transport_ssh *ssh);
int transport_ssh_try_keys(struct transport_ssh *ssh);

/* transport_ssh_start.c: likewise. */
int transport_ssh_open(struct transport_ssh *ssh);
int transport_ssh_open_more(struct transport_ssh *ssh);
int transport_ssh_exec(struct transport_ssh *ssh);
int transport_ssh_greet(struct transport_ssh *ssh);
int transport_ssh_join(struct transport_ssh *ssh);
/* Sets ssh->failed to words of ours and libssh's complaint behind them; FAILED. */
int transport_ssh_complain(struct transport_ssh *ssh, enum err_code code, const char *what);

/* transport_ssh_io.c */
void transport_ssh_io_init(struct transport_ssh *ssh);
/* Lets libssh look at its socket once. 1: something was done, 0: nothing to do. */
int transport_ssh_poll(struct transport_ssh *ssh);
/* Whether the connection has broken, or a channel has come to its end. */
int transport_ssh_closed(const struct transport_ssh *ssh);
/* Whether libssh's own output buffer is empty; it sends what the socket takes first. */
int transport_ssh_flushed(struct transport_ssh *ssh);
/* Gives bytes for channel i to libssh, which sends them as far as the socket takes them,
 * and keeps the rest. The count that it took: less than len when sshd's window is used up,
 * or while new keys are being exchanged. What cannot be sent any more counts as taken:
 * reading says why. */
size_t transport_ssh_give(struct transport_ssh *ssh, unsigned i, const uint8_t *data, size_t len);
/* Bytes from the ring to the channels, as far as windows and socket take them: 0 or
 * WANT_WRITE. */
int transport_ssh_drain(struct transport_ssh *ssh);
/* Bytes that have come in: a count, 0, or -1 with ssh->failed. */
ssize_t transport_ssh_take(struct transport_ssh *ssh, uint8_t *buf, size_t size);

/* transport_ssh_end.c: what the far side says beside the session, and how it ended. */
/* Blots out the key that the request carries (ssh+tls) in what somebody there repeats. */
void transport_ssh_hide_key(const struct transport_ssh *ssh, char *line);
void transport_ssh_far_words(struct transport_ssh *ssh, const char *data, size_t len);
void transport_ssh_up(struct transport_ssh *ssh); /* the session begins */
/* Whether something there has taken the greeting for a command, and says that it is none. */
int transport_ssh_is_shell(const struct transport_ssh *ssh);
/* Sets ssh->failed for a far side that has ended, or a connection that broke. */
void transport_ssh_explain_end(struct transport_ssh *ssh);
/* What the program that connects has said last, behind words of ours; "" where there is none, or it
 * is silent. Returns buf. */
char *transport_ssh_proxy_words(const struct transport_ssh *ssh, char *buf, size_t size);
/* libssh's words for what failed, which are none now and then. Static, or libssh's. */
const char *transport_ssh_words(const struct transport_ssh *ssh);

#endif

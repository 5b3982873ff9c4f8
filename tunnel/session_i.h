/* What the session and the listener share; nobody else includes it. */
#ifndef ADIT_TUNNEL_SESSION_I_H
#define ADIT_TUNNEL_SESSION_I_H

#include <sys/queue.h>

#include "tunnel/link.h"
#include "tunnel/resolve.h"
#include "tunnel/session.h"

struct session {
	struct event_base *base;
	const struct session_ops *ops; /* the owner's; NULL once it has let go */
	void *ctx;
	struct session_config config;
	struct link *link;		   /* NULL before it is connected and after it has ended */
	char address[96];		   /* of the peer */
	char peer[256];			   /* who it is, once it has proved it */
	char dest[3 * ADDR_HOST_MAX + 96]; /* as the user wrote it, for errors */

	/* connecting */
	int connecting;
	struct creds *creds;
	char host[ADDR_HOST_MAX];
	struct resolve *lookup;	     /* of a name; NULL */
	char finding[ADDR_HOST_MAX]; /* that name */
	struct addr_resolved addresses;
	unsigned tried;
	int fd;
	struct event *ev;
	int last_error;
	uint64_t deadline_ms;

	/* where ssh has a hand in it (session_ssh.c) */
	struct transport *ssh;	 /* until it is the link's, or has carried the key */
	int ssh_proxy;		 /* a program connects it */
	int ssh_key_only;	 /* ssh+tls */
	struct addr data_to;	 /* ssh+tls: where the data go; host empty, port 0: as ssh says */
	struct creds *own_creds; /* ssh+tls: the key, owned */

	/* the listener that handed it out keeps count */
	TAILQ_ENTRY(session) listed;
	void (*on_gone)(void *ctx, struct session *s);
	void *gone_ctx;
};

/* A session over a link whose HELLO has come; owns the link from now on. */
struct session *session_from_link(struct link *l, const struct session_config *config,
				  const char *address, struct err *e);

/* session.c, for session_ssh.c: finds the addresses of a and connects to one of them, from the
 * loop (0, or *e); hands the transport over to a link; tells the owner that it is over. */
int session_find(struct session *s, const struct addr *a, struct err *e);
void session_start_link(struct session *s, struct transport *t, struct err *e);
void session_fail(struct session *s, const struct err *e);

/* session_ssh.c: reads ssh's configuration and says where to connect to; the connected
 * socket, or -1 with ssh_proxy; what is left. */
int session_ssh_prepare(struct session *s, const struct addr_dest *d, struct addr *a,
			struct err *e);
void session_ssh_connected(struct session *s, int fd);
void session_ssh_fini(struct session *s);

/* Socket options of every connection between two adits. */
void session_prepare_socket(int fd, uint32_t dead_ms);

#endif

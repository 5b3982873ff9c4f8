/*
 * Where connections come from that have not proved yet who they are: how many each address has, and
 * how much of the processor their handshakes have taken. An IPv4 address is one origin, of IPv6 a
 * /64, since whoever has one address there has them all. Does no I/O and asks no clock.
 */
#ifndef ADIT_TUNNEL_ORIGINS_H
#define ADIT_TUNNEL_ORIGINS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
	/* of an address's handshakes: so much of a processor at once, and then a quarter of one */
	ORIGIN_CPU_BURST_US = 500000,
	ORIGIN_CPU_PART = 4,
	/* addresses that are remembered for what they took; those with connections come on top */
	ORIGINS_IDLE_MAX = 1024,
};

/* An address. Owned by its table; the caller's between origins_enter and origins_leave. */
struct origin {
	TAILQ_ENTRY(origin) listed;
	uint8_t key[8];
	sa_family_t family;
	unsigned count;	 /* of its connections now */
	int64_t left_us; /* of the processor; below 0: too much was taken */
	uint64_t at_us;	 /* when left_us was right */
};

/* Embedded. */
struct origins {
	TAILQ_HEAD(origin_list, origin) list; /* who was here last, first */
	unsigned idle;			      /* with no connection */
};

void origins_init(struct origins *o);
void origins_fini(struct origins *o);

/* The origin of one more connection from sa, which it counts. NULL when memory is short. */
struct origin *origins_enter(struct origins *o, const struct sockaddr *sa, uint64_t now_us);

/* One connection less. */
void origins_leave(struct origins *o, struct origin *of);

/* Who has the most connections; of several the one that was here first. NULL when nobody has. */
struct origin *origins_fullest(const struct origins *o);

/* Its handshakes have taken that much of the processor. */
void origin_charge(struct origin *of, uint64_t us, uint64_t now_us);

/* Whether a handshake of it may begin now. */
bool origin_may(struct origin *of, uint64_t now_us);

#endif

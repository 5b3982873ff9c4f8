/* One-time keys: see creds_once.h. They lie in pages that stay out of core dumps, and are
 * wiped when used, when their time is up, and at the end. */
#include "tunnel/creds_once.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

struct waiting {
	struct creds_psk_key key; /* identity_len 0: nothing here */
	uint64_t until_ms;
	char peer[CREDS_ONCE_PEER_MAX + 1];
};

struct creds_once {
	atomic_uint refs;
	pthread_mutex_t lock; /* of all below */
	struct waiting at[CREDS_ONCE_MAX];
};

struct creds_once *creds_once_new(void)
{
	struct creds_once *o =
	    mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (o == MAP_FAILED)
		return NULL;
	madvise(o, sizeof(*o), MADV_DONTDUMP);
	atomic_init(&o->refs, 1);
	pthread_mutex_init(&o->lock, NULL);
	return o;
}

struct creds_once *creds_once_ref(struct creds_once *o)
{
	if (o)
		atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void creds_once_unref(struct creds_once *o)
{
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&o->lock);
	OPENSSL_cleanse(o, sizeof(*o));
	munmap(o, sizeof(*o));
}

static void forget(struct waiting *w)
{
	OPENSSL_cleanse(w, sizeof(*w));
}

/* The one of that identity, or NULL; those whose time is up are forgotten on the way. */
static struct waiting *find(struct creds_once *o, const uint8_t *identity, size_t len)
{
	uint64_t now_ms = clock_ms();
	struct waiting *found = NULL;

	for (size_t i = 0; i < CREDS_ONCE_MAX; i++) {
		struct waiting *w = &o->at[i];

		if (w->key.identity_len && now_ms >= w->until_ms)
			forget(w);
		else if (len && w->key.identity_len == len &&
			 memcmp(w->key.identity, identity, len) == 0)
			found = w;
	}
	return found;
}

int creds_once_add(struct creds_once *o, const struct creds_psk_key *k, const char *peer,
		   struct err *e)
{
	struct waiting *w = NULL;
	int rc = 0;

	pthread_mutex_lock(&o->lock);
	if (find(o, (const uint8_t *)k->identity, k->identity_len))
		rc = err_set(e, ERR_USAGE, "a one-time key of that name waits already");
	for (size_t i = 0; rc == 0 && !w && i < CREDS_ONCE_MAX; i++)
		if (!o->at[i].key.identity_len)
			w = &o->at[i];
	if (rc == 0 && !w)
		rc = err_set(e, ERR_LIMIT, "%d one-time keys wait to be used already",
			     CREDS_ONCE_MAX);
	if (rc == 0) {
		w->key = *k;
		w->until_ms = clock_ms() + CREDS_ONCE_MS;
		snprintf(w->peer, sizeof(w->peer), "%s", peer);
	}
	pthread_mutex_unlock(&o->lock);
	return rc;
}

int creds_once_find(struct creds_once *o, const uint8_t *identity, size_t identity_len,
		    struct creds_psk_key *k)
{
	struct waiting *w;

	pthread_mutex_lock(&o->lock);
	w = find(o, identity, identity_len);
	if (w)
		*k = w->key;
	pthread_mutex_unlock(&o->lock);
	return w != NULL;
}

int creds_once_take(struct creds_once *o, const char *identity, char *peer)
{
	struct waiting *w;

	pthread_mutex_lock(&o->lock);
	w = find(o, (const uint8_t *)identity, strlen(identity));
	if (w) {
		memcpy(peer, w->peer, sizeof(w->peer));
		forget(w);
	}
	pthread_mutex_unlock(&o->lock);
	return w != NULL;
}

/* SipHash-1-3: see keyed.h. Keeps the key for as long as the process lives. */
#include "base/keyed.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t key[2];

static void make_key(void)
{
	struct timespec t;

	if (getrandom(key, sizeof(key), 0) == sizeof(key))
		return;
	/* A kernel without: worse to guess than none. */
	clock_gettime(CLOCK_REALTIME, &t);
	key[0] ^= (uint64_t)t.tv_nsec << 32 ^ (uint64_t)getpid();
	key[1] ^= (uint64_t)(uintptr_t)&t ^ (uint64_t)t.tv_sec << 20;
}

static uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void mix(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t keyed_hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t v[4], word, last = (uint64_t)len << 56;

	pthread_once(&once, make_key);
	v[0] = key[0] ^ 0x736f6d6570736575u;
	v[1] = key[1] ^ 0x646f72616e646f6du;
	v[2] = key[0] ^ 0x6c7967656e657261u;
	v[3] = key[1] ^ 0x7465646279746573u;
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		mix(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	mix(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		mix(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

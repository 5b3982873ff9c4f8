/*
 * Keys from a file of psktool: `identity:hexkey`, one a line; `#hex:hexkey` for an
 * identity that is written in hexadecimal, as psktool does for odd ones. Empty
 * lines, and lines that begin with "# ", are passed over. Keys lie in pages that
 * stay out of core dumps, from the read on, and are wiped when freed. No sentence
 * shows a key, nor a line's text that might be one.
 */
#include "tunnel/creds_psk.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tunnel/creds_impl.h"
#include "tunnel/tls_psk.h"

enum { FILE_SIZE_MAX = 16 * 1024 * 1024 };

/* Owned by its set. */
struct creds_psk {
	size_t map_size; /* of this struct and the keys behind it */
	size_t count;
	const struct creds_psk_key **sorted; /* qsort may copy what it sorts: not the keys */
	struct creds_psk_key keys[];
};

/* Pages that no core dump holds. */
static void *map_private(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTDUMP);
	return p;
}

static void unmap_private(void *p, size_t size)
{
	if (!p)
		return;
	OPENSSL_cleanse(p, size);
	munmap(p, size);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* len hexadecimal digits to bytes; their count, or -1. */
static int from_hex(uint8_t *out, size_t size, const char *hex, size_t len)
{
	if (len % 2 || len / 2 > size)
		return -1;
	for (size_t i = 0; i < len; i += 2) {
		int hi = hex_digit(hex[i]), lo = hex_digit(hex[i + 1]);

		if (hi < 0 || lo < 0)
			return -1;
		out[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return (int)(len / 2);
}

/* Reads an identity. 0 or -1. */
static int parse_identity(struct creds_psk_key *k, const char *text, size_t len)
{
	int n;

	if (len && text[0] == '#') {
		n = from_hex((uint8_t *)k->identity, CREDS_PSK_IDENTITY_MAX, text + 1, len - 1);
		if (n < 0)
			return -1;
		len = (size_t)n;
	} else if (len <= CREDS_PSK_IDENTITY_MAX) {
		memcpy(k->identity, text, len);
	}
	if (len == 0 || len > CREDS_PSK_IDENTITY_MAX)
		return -1;
	/* It becomes the peer's name in rules and logs, so it is one as it stands. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)k->identity[i] < 0x20 || k->identity[i] == 0x7f)
			return -1;
	k->identity[len] = '\0';
	k->identity_len = len;
	return 0;
}

int creds_psk_parse(struct creds_psk_key *k, const char *identity, size_t identity_len,
		    const char *hex, size_t hex_len)
{
	int n = from_hex(k->key, sizeof(k->key), hex, hex_len);

	if (n < CREDS_PSK_KEY_MIN || parse_identity(k, identity, identity_len) < 0)
		return -1;
	k->key_len_bytes = (size_t)n;
	return 0;
}

static int parse_line(struct creds_psk_key *k, const char *line, size_t len, const char *file,
		      unsigned number, struct err *e)
{
	const char *colon = memrchr(line, ':', len);
	size_t identity_len;
	int n;

	if (!colon)
		return err_set(e, ERR_CONFIG,
			       "%s, line %u: no ':' between identity and key; a line is "
			       "identity:hexkey, as adit keygen and psktool make it",
			       file, number);
	identity_len = (size_t)(colon - line);
	if (parse_identity(k, line, identity_len) < 0)
		return err_set(e, ERR_CONFIG,
			       "%s, line %u: the identity must have 1 to %d printable bytes", file,
			       number, CREDS_PSK_IDENTITY_MAX);
	n = from_hex(k->key, sizeof(k->key), colon + 1, len - identity_len - 1);
	if (n < CREDS_PSK_KEY_MIN)
		return err_set(
		    e, ERR_CONFIG,
		    "%s, line %u: the key of \"%s\" must be %d to %d bytes in hexadecimal; "
		    "adit keygen makes a good one",
		    file, number, k->identity, CREDS_PSK_KEY_MIN, CREDS_PSK_KEY_MAX);
	k->key_len_bytes = (size_t)n;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct creds_psk_key *x = *(const struct creds_psk_key *const *)a;
	const struct creds_psk_key *y = *(const struct creds_psk_key *const *)b;

	if (x->identity_len != y->identity_len)
		return x->identity_len < y->identity_len ? -1 : 1;
	return memcmp(x->identity, y->identity, x->identity_len);
}

static int sort(struct creds_psk *psk, const char *file, struct err *e)
{
	psk->sorted = calloc(psk->count, sizeof(psk->sorted[0]));
	if (!psk->sorted)
		return err_set(e, ERR_SYSTEM, "No memory for the PSK file %s", file);
	for (size_t i = 0; i < psk->count; i++)
		psk->sorted[i] = &psk->keys[i];
	qsort(psk->sorted, psk->count, sizeof(psk->sorted[0]), compare);
	for (size_t i = 1; i < psk->count; i++)
		if (compare(&psk->sorted[i - 1], &psk->sorted[i]) == 0)
			return err_set(e, ERR_CONFIG,
				       "%s has identity \"%s\" twice: leave one of the lines", file,
				       psk->sorted[i]->identity);
	return 0;
}

static int parse_file(struct creds_psk *psk, const char *text, size_t size, const char *file,
		      struct err *e)
{
	unsigned number = 0;

	for (const char *line = text, *end = text + size, *next; line < end; line = next) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((newline ? newline : end) - line);

		next = newline ? newline + 1 : end;
		number++;
		while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
			len--;
		if (len == 0 || line[0] == '\0' || (line[0] == '#' && (len == 1 || line[1] == ' ')))
			continue;
		if (parse_line(&psk->keys[psk->count], line, len, file, number, e) < 0)
			return -1;
		psk->count++;
	}
	if (psk->count == 0)
		return err_set(e, ERR_CONFIG, "%s holds no key: make one with adit keygen", file);
	return sort(psk, file, e);
}

/* Opens the file and holds it to its mode. The descriptor, or -1. */
static int open_file(const char *file, size_t *size, struct err *e)
{
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_set_sys(e, errno, "Cannot read the PSK file %s", file);
		goto config;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_CONFIG, "The PSK file %s is not a file", file);
		goto config;
	}
	if (st.st_mode & 077) {
		err_set(
		    e, ERR_CONFIG,
		    "The PSK file %s can be read by others than its owner (mode %04o): chmod 600 "
		    "%s",
		    file, (unsigned)(st.st_mode & 07777), file);
		goto config;
	}
	if (st.st_size > FILE_SIZE_MAX) {
		err_set(e, ERR_CONFIG, "The PSK file %s is larger than %d MiB", file,
			FILE_SIZE_MAX >> 20);
		goto config;
	}
	*size = (size_t)st.st_size;
	return fd;
config:
	if (e)
		e->code = ERR_CONFIG;
	if (fd >= 0)
		close(fd);
	return -1;
}

static struct creds_psk *read_file(const char *file, struct err *e)
{
	struct creds_psk *psk = NULL;
	size_t size, used = 0, lines = 1, map_size;
	ssize_t n = 0;
	char *text;
	int fd = open_file(file, &size, e);

	if (fd < 0)
		return NULL;
	text = map_private(size + 1);
	while (text && used < size && (n = read(fd, text + used, size - used)) > 0)
		used += (size_t)n;
	if (text && n < 0) {
		err_set_sys(e, errno, "Cannot read the PSK file %s", file);
		goto out;
	}
	for (size_t i = 0; i < used; i++)
		lines += text[i] == '\n';
	map_size = sizeof(*psk) + lines * sizeof(psk->keys[0]);
	psk = text ? map_private(map_size) : NULL;
	if (!psk) {
		err_set(e, ERR_SYSTEM, "No memory for the PSK file %s", file);
		goto out;
	}
	psk->map_size = map_size;
	if (parse_file(psk, text, used, file, e) < 0) {
		creds_psk_free(psk);
		psk = NULL;
	}
out:
	unmap_private(text, size + 1);
	close(fd);
	return psk;
}

const struct creds_psk_key *creds_psk_find(const struct creds_psk *psk, const uint8_t *identity,
					   size_t identity_len)
{
	struct creds_psk_key want = {.identity_len = identity_len};
	const struct creds_psk_key *key = &want, **found;

	if (!psk->count || identity_len == 0 || identity_len > CREDS_PSK_IDENTITY_MAX)
		return NULL;
	memcpy(want.identity, identity, identity_len);
	found = bsearch(&key, psk->sorted, psk->count, sizeof(psk->sorted[0]), compare);
	return found ? *found : NULL;
}

void creds_psk_free(struct creds_psk *psk)
{
	if (!psk)
		return;
	free(psk->sorted);
	unmap_private(psk, psk->map_size);
}

/* "a, b, c", cut with dots. */
static char *list_identities(const struct creds_psk *psk, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < psk->count; i++) {
		const struct creds_psk_key *k = &psk->keys[i];

		if (used + k->identity_len + 8 > size) {
			snprintf(buf + used, size - used, ", ...");
			break;
		}
		used +=
		    (size_t)snprintf(buf + used, size - used, "%s%s", i ? ", " : "", k->identity);
	}
	return buf;
}

int creds_identity(struct creds *c, size_t i, char *buf, size_t size)
{
	struct creds_set *set = creds_set_get(c);
	int there = set->psk && i < set->psk->count;

	if (there)
		snprintf(buf, size, "%s", set->psk->keys[i].identity);
	creds_set_unref(set);
	return there;
}

/* The key that a client shows. */
static const struct creds_psk_key *choose(const struct creds_psk *psk, const char *file,
					  const char *identity, struct err *e)
{
	const struct creds_psk_key *k;
	char names[256];

	if (identity && *identity) {
		k = creds_psk_find(psk, (const uint8_t *)identity, strlen(identity));
		if (!k)
			err_set(e, ERR_CONFIG, "%s has no identity \"%s\"; it has: %s", file,
				identity, list_identities(psk, names, sizeof(names)));
		return k;
	}
	if (psk->count > 1) {
		err_set(e, ERR_CONFIG,
			"%s has several identities (%s): say which, as in tls://IDENTITY@HOST, "
			"with --identity, or in adit.conf, [client]",
			file, list_identities(psk, names, sizeof(names)));
		return NULL;
	}
	return &psk->keys[0];
}

struct creds_set *creds_psk_make(enum creds_role role, const struct creds_psk_key *k, struct err *e)
{
	struct creds_set *set = creds_set_new(CREDS_PSK, role, "the one-time key", e);
	const size_t size = sizeof(struct creds_psk) + sizeof(*k);

	if (!set)
		return NULL;
	set->psk = map_private(size);
	if (!set->psk) {
		err_set(e, ERR_SYSTEM, "No memory for a key");
		goto fail;
	}
	set->psk->map_size = size;
	if (k) {
		set->psk->keys[0] = *k;
		set->psk->count = 1;
	}
	if (k && sort(set->psk, set->where, e) < 0)
		goto fail;
	set->own = role == CREDS_CLIENT && k ? &set->psk->keys[0] : NULL;
	if (tls_psk_setup(set, e) < 0)
		goto fail;
	return set;
fail:
	creds_set_unref(set);
	return NULL;
}

struct creds_set *creds_psk_load(enum creds_role role, const char *file, const char *identity,
				 struct err *e)
{
	struct creds_set *set = creds_set_new(CREDS_PSK, role, file, e);

	if (!set)
		return NULL;
	set->psk = read_file(file, e);
	if (!set->psk)
		goto fail;
	if (role == CREDS_CLIENT) {
		set->own = choose(set->psk, file, identity, e);
		if (!set->own)
			goto fail;
	}
	if (tls_psk_setup(set, e) < 0)
		goto fail;
	return set;
fail:
	creds_set_unref(set);
	return NULL;
}

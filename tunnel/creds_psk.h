/* Pre-shared keys from a file in the format of GnuTLS' psktool. */
#ifndef ADIT_TUNNEL_CREDS_PSK_H
#define ADIT_TUNNEL_CREDS_PSK_H

#include <stddef.h>
#include <stdint.h>

enum { CREDS_PSK_IDENTITY_MAX = 127, CREDS_PSK_KEY_MIN = 16, CREDS_PSK_KEY_MAX = 64 };

struct creds_psk;

struct creds_psk_key {
	size_t identity_len;
	size_t key_len_bytes;
	char identity[CREDS_PSK_IDENTITY_MAX + 1]; /* printable */
	uint8_t key[CREDS_PSK_KEY_MAX];
};

/* The key of an identity, or NULL. */
const struct creds_psk_key *creds_psk_find(const struct creds_psk *psk, const uint8_t *identity,
					   size_t identity_len);

/* Reads an identity (its bytes, or # and hexadecimal) and a key in hexadecimal, as a line of
 * a key file has them. 0, or -1 when they are not good. */
int creds_psk_parse(struct creds_psk_key *k, const char *identity, size_t identity_len,
		    const char *hex, size_t hex_len);

/* Wipes and frees. NULL is fine. */
void creds_psk_free(struct creds_psk *psk);

#endif

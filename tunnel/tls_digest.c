/* SHA-256, as OpenSSL has it: see tls_digest.h. */
#include "tunnel/tls_digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_digest {
	EVP_MD_CTX *ctx;
	bool failed;
};

struct tls_digest *tls_digest_new(void)
{
	struct tls_digest *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->ctx = EVP_MD_CTX_new();
	if (d->ctx && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1)
		return d;
	tls_digest_free(d);
	return NULL;
}

void tls_digest_free(struct tls_digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

bool tls_digest_add(struct tls_digest *d, const void *bytes, size_t len)
{
	d->failed = d->failed || EVP_DigestUpdate(d->ctx, bytes, len) != 1;
	return !d->failed;
}

bool tls_digest_end(struct tls_digest *d, char text[TLS_DIGEST_TEXT])
{
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	text[0] = 0;
	if (d->failed || EVP_DigestFinal_ex(d->ctx, out, &len) != 1 || len != 32)
		return false;
	for (unsigned i = 0; i < len; i++)
		snprintf(text + 2 * (size_t)i, 3, "%02x", out[i]);
	return true;
}

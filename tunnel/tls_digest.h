/* SHA-256 of bytes that come piece by piece: by it two hosts know that files are the same. */
#ifndef ADIT_TUNNEL_TLS_DIGEST_H
#define ADIT_TUNNEL_TLS_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

enum { TLS_DIGEST_TEXT = 65 };

struct tls_digest;

/* NULL when memory is short. */
struct tls_digest *tls_digest_new(void);
void tls_digest_free(struct tls_digest *d);

/* false when OpenSSL failed; then the end fails too. */
bool tls_digest_add(struct tls_digest *d, const void *bytes, size_t len);

/* Of all that was added, 64 hexadecimal digits and a zero byte; d may only be freed then. */
bool tls_digest_end(struct tls_digest *d, char text[TLS_DIGEST_TEXT]);

#endif

/* rekey: a peer with a good key that asks for new keys without a pause, over TLS 1.3.
 *
 *     rekey HOST PORT KEYFILE CONNECTIONS SECONDS
 *
 * Makes CONNECTIONS with the first key of KEYFILE, prints "begun", and sends KeyUpdates on each for
 * SECONDS, a block of BLOCK at a time. Prints how many it sent, and how many connections the other
 * side has left open. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, BLOCK = 2000 };

struct connection {
	int fd;
	SSL *ssl;
	BIO *out;
	const char *at; /* what of out is not sent */
	size_t left;
};

static struct connection connections[CONNECTIONS_MAX];
static char identity[256];
static unsigned char key[64];
static size_t key_len;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_key(const char *file)
{
	char hex[2 * sizeof(key) + 1];
	FILE *f = fopen(file, "r");

	if (!f || fscanf(f, "%255[^:]:%128[0-9a-fA-F]", identity, hex) != 2) {
		fputs("rekey: no key\n", stderr);
		exit(2);
	}
	fclose(f);
	for (; key_len < strlen(hex) / 2; key_len++)
		sscanf(hex + 2 * key_len, "%2hhx", &key[key_len]);
}

static int on_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
		  SSL_SESSION **session)
{
	static const unsigned char cipher[] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */

	(void)md;
	*session = SSL_SESSION_new();
	*id = (const unsigned char *)identity;
	*id_len = strlen(identity);
	return SSL_SESSION_set1_master_key(*session, key, key_len) &&
	       SSL_SESSION_set_cipher(*session, SSL_CIPHER_find(ssl, cipher)) &&
	       SSL_SESSION_set_protocol_version(*session, TLS1_3_VERSION);
}

static void connect_to(struct connection *c, SSL_CTX *ctx, const char *host, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	inet_pton(AF_INET, host, &to.sin_addr);
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0 || SSL_connect(c->ssl) != 1) {
		fputs("rekey: no connection\n", stderr);
		exit(1);
	}
	/* From here on into memory, so that a block goes with one call. */
	c->out = BIO_new(BIO_s_mem());
	SSL_set0_wbio(c->ssl, c->out);
}

/* Returns how many KeyUpdates were made; the connection may have ended. */
static int turn(struct connection *c)
{
	int made = 0;
	char *data;
	ssize_t n;

	if (!c->left) {
		BIO_reset(c->out);
		for (; made < BLOCK; made++)
			if (!SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) ||
			    SSL_do_handshake(c->ssl) != 1)
				exit(1);
		c->left = (size_t)BIO_get_mem_data(c->out, &data);
		c->at = data;
	}
	n = send(c->fd, c->at, c->left, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0) {
		c->at += n;
		c->left -= (size_t)n;
	} else if (errno != EAGAIN && errno != EINTR) {
		close(c->fd);
		c->fd = -1;
	}
	return made;
}

int main(int argc, char **argv)
{
	static struct pollfd fds[CONNECTIONS_MAX];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	unsigned long sent = 0;
	double until;
	int count, left;

	if (argc != 6 || (count = atoi(argv[4])) < 1 || count > CONNECTIONS_MAX) {
		fputs("usage: rekey HOST PORT KEYFILE CONNECTIONS SECONDS\n", stderr);
		return 2;
	}
	read_key(argv[3]);
	SSL_CTX_set_psk_use_session_callback(ctx, on_psk);
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	for (int i = 0; i < count; i++)
		connect_to(&connections[i], ctx, argv[1], argv[2]);
	puts("begun");
	fflush(stdout);
	until = now() + atof(argv[5]);
	do {
		left = 0;
		for (int i = 0; i < count; i++) {
			fds[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLOUT};
			left += connections[i].fd >= 0;
		}
		if (left)
			poll(fds, (nfds_t)count, 100);
		for (int i = 0; i < count; i++)
			if (fds[i].revents && connections[i].fd >= 0)
				sent += (unsigned long)turn(&connections[i]);
	} while (left && now() < until);
	printf("sent %lu left %d of %d\n", sent, left, count);
	return 0;
}

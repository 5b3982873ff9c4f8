/* tlsflood: a peer with a good key whose TLS records are few bytes, or none that carry data.
 *
 *     tlsflood WHAT HOST PORT KEYFILE CONNECTIONS SECONDS    connects, again where it is sent away
 *     tlsflood WHAT listen KEYFILE                           serves whoever comes, one after
 * another; prints "listening PORT"
 *
 * WHAT is, once the handshake is over (TLS_AES_128_GCM_SHA256), without a pause
 *
 *   empty        records of application data without any
 *   tiny         frames of adit's, a byte a record
 *   alerts       warnings (user_canceled)
 *   closed       close_notify, then frames
 *   ccs          ChangeCipherSpec, in the clear
 *   fragments    a handshake message, a byte a record
 *   tickets      NewSessionTicket, as many as a few records take, then frames
 *   request      CertificateRequest
 *
 * and before it, without a key of any use,
 *
 *   hello        a ClientHello as long as there may be, a byte a record
 *
 * Prints "begun" when all is set up, and at the end how often the other side has ended one. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 64,
	BLOCK = 64 * 1024,
	RECORD_MAX = 16384,
	OVERHEAD = 5 + 1 + 16,
	CCS = 20,
	ALERT = 21,
	HANDSHAKE = 22,
	DATA = 23,
	FRAME_HEAD = 16,
	FEW = 20,
};

struct connection {
	int fd;
	SSL *ssl;
	EVP_CIPHER_CTX *gcm;
	uint8_t iv[12];
	uint64_t seq, said; /* records; bytes of what they carry */
	uint8_t out[BLOCK + RECORD_MAX + OVERHEAD];
	size_t len, at;
};

static struct connection connections[CONNECTIONS_MAX];
static const char *what;
static char identity[256];
static unsigned char key[64], secret[32];
static size_t key_len;

static void __attribute__((noreturn)) die(const char *why)
{
	fprintf(stderr, "tlsflood: %s\n", why);
	exit(1);
}

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

	if (!f || fscanf(f, "%255[^:]:%128[0-9a-fA-F]", identity, hex) != 2)
		die("no key");
	fclose(f);
	for (; key_len < strlen(hex) / 2; key_len++)
		sscanf(hex + 2 * key_len, "%2hhx", &key[key_len]);
}

static SSL_SESSION *psk(SSL *ssl)
{
	static const unsigned char cipher[] = {0x13, 0x01};
	SSL_SESSION *session = SSL_SESSION_new();

	if (!SSL_SESSION_set1_master_key(session, key, key_len) ||
	    !SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, cipher)) ||
	    !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		die("no session");
	return session;
}

static int on_use(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
		  SSL_SESSION **session)
{
	(void)md;
	*session = psk(ssl);
	*id = (const unsigned char *)identity;
	*id_len = strlen(identity);
	return 1;
}

static int on_find(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session)
{
	(void)id;
	(void)id_len;
	*session = psk(ssl);
	return 1;
}

/* The secret by which this side's records are made. */
static void on_keylog(const SSL *ssl, const char *line)
{
	const char *name =
	    SSL_is_server(ssl) ? "SERVER_TRAFFIC_SECRET_0" : "CLIENT_TRAFFIC_SECRET_0";

	if (strncmp(line, name, strlen(name)) != 0)
		return;
	line = strrchr(line, ' ') + 1;
	for (size_t i = 0; i < sizeof(secret); i++)
		sscanf(line + 2 * i, "%2hhx", &secret[i]);
}

/* RFC 8446, 7.1 */
static void expand(const char *label, uint8_t *to, size_t len)
{
	uint8_t info[64] = {0, (uint8_t)len, (uint8_t)(6 + strlen(label))}, hash[EVP_MAX_MD_SIZE];
	size_t used = 3 + (size_t)snprintf((char *)info + 3, 40, "tls13 %s", label);

	info[used++] = 0;
	info[used++] = 1;
	HMAC(EVP_sha256(), secret, sizeof(secret), info, used, hash, NULL);
	memcpy(to, hash, len);
}

static void take_keys(struct connection *c)
{
	uint8_t k[16];

	expand("key", k, sizeof(k));
	expand("iv", c->iv, sizeof(c->iv));
	c->gcm = EVP_CIPHER_CTX_new();
	EVP_EncryptInit_ex(c->gcm, EVP_aes_128_gcm(), NULL, k, NULL);
	c->seq = 0;
}

static void head(struct connection *c, uint8_t type, size_t len)
{
	uint8_t bytes[5] = {type, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};

	memcpy(c->out + c->len, bytes, sizeof(bytes));
	c->len += sizeof(bytes);
}

static void record(struct connection *c, uint8_t type, const uint8_t *data, size_t len)
{
	uint8_t nonce[12], *at = c->out + c->len;
	int n;

	head(c, DATA, len + 1 + 16);
	memcpy(nonce, c->iv, sizeof(nonce));
	for (int i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(c->seq >> 8 * i);
	c->seq++;
	EVP_EncryptInit_ex(c->gcm, NULL, NULL, NULL, nonce);
	EVP_EncryptUpdate(c->gcm, NULL, &n, at, 5);
	if (len)
		EVP_EncryptUpdate(c->gcm, at + 5, &n, data, (int)len);
	EVP_EncryptUpdate(c->gcm, at + 5 + len, &n, &type, 1);
	EVP_EncryptFinal_ex(c->gcm, at + 5 + len + 1, &n);
	EVP_CIPHER_CTX_ctrl(c->gcm, EVP_CTRL_GCM_GET_TAG, 16, at + 5 + len + 1);
	c->len += len + 1 + 16;
}

/* The next byte of a session without end: HELLO, then PONGs. */
static uint8_t frame_byte(struct connection *c)
{
	static const uint8_t
	    hello[FRAME_HEAD +
		  58] = {[3] = 58,   [4] = 1,	[16] = 'A', [17] = 'D', [18] = 'I', [19] = 'T',
			 [21] = 1,   [23] = 1,	[51] = 1,   [60] = 255, [61] = 255, [62] = 255,
			 [63] = 255, [66] = 16, [69] = 9,   [70] = 39,	[71] = 192},
		  pong[FRAME_HEAD + 8] = {
		      [3] = 8, [4] = 3, [16] = 255, [17] = 255, [18] = 255, [19] = 255};
	uint64_t at = c->said++;

	return at < sizeof(hello) ? hello[at] : pong[(at - sizeof(hello)) % sizeof(pong)];
}

static void frames(struct connection *c)
{
	uint8_t byte = frame_byte(c);

	record(c, DATA, &byte, 1);
}

static void tickets(struct connection *c)
{
	static const uint8_t ticket[] = {4, 0, 0, 15, 0, 0, 14, 16, 0, 0,
					 0, 0, 1, 7,  0, 1, 9,	0,  0};
	uint8_t data[RECORD_MAX];
	size_t len = 0;

	for (; len + sizeof(ticket) <= sizeof(data); len += sizeof(ticket))
		memcpy(data + len, ticket, sizeof(ticket));
	record(c, HANDSHAKE, data, len);
}

static void one(struct connection *c)
{
	static const uint8_t canceled[] = {1, 90}, notify[] = {1, 0},
			     request[] = {13, 0, 0, 3, 0, 0, 0}, start[] = {1, 1, 255, 240};

	if (strcmp(what, "empty") == 0) {
		record(c, DATA, NULL, 0);
	} else if (strcmp(what, "tiny") == 0) {
		frames(c);
	} else if (strcmp(what, "alerts") == 0) {
		record(c, ALERT, canceled, sizeof(canceled));
	} else if (strcmp(what, "closed") == 0) {
		if (!c->seq)
			record(c, ALERT, notify, sizeof(notify));
		frames(c);
	} else if (strcmp(what, "ccs") == 0) {
		head(c, CCS, 1);
		c->out[c->len++] = 1;
	} else if (strcmp(what, "fragments") == 0) {
		record(c, HANDSHAKE, start, 1);
	} else if (strcmp(what, "tickets") == 0) {
		if (c->seq < FEW)
			tickets(c);
		else
			frames(c);
	} else if (strcmp(what, "request") == 0) {
		record(c, HANDSHAKE, request, sizeof(request));
	} else if (strcmp(what, "hello") == 0) {
		head(c, HANDSHAKE, 1);
		c->out[c->len++] = c->said < sizeof(start) ? start[c->said] : 0;
		c->said++;
	} else {
		die("what?");
	}
}

static void end(struct connection *c)
{
	EVP_CIPHER_CTX_free(c->gcm);
	SSL_free(c->ssl);
	close(c->fd);
	*c = (struct connection){.fd = -1};
}

/* Whether it stands. */
static int turn(struct connection *c)
{
	ssize_t n;

	if (c->at == c->len) {
		c->at = c->len = 0;
		while (c->len < BLOCK)
			one(c);
	}
	n = send(c->fd, c->out + c->at, c->len - c->at, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return 0;
	c->at += n > 0 ? (size_t)n : 0;
	return 1;
}

static int connect_to(struct connection *c, SSL_CTX *ctx, const char *host, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	*c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM, 0)};
	inet_pton(AF_INET, host, &to.sin_addr);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return 0;
	if (strcmp(what, "hello") == 0)
		return 1;
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	if (SSL_connect(c->ssl) != 1)
		return 0;
	take_keys(c);
	return 1;
}

static void attack(char **argv, SSL_CTX *ctx)
{
	static struct pollfd fds[CONNECTIONS_MAX];
	int count = atoi(argv[5]);
	double until = now() + atof(argv[6]);
	unsigned long ended = 0;

	if (count < 1 || count > CONNECTIONS_MAX)
		die("how many?");
	for (int i = 0; i < count; i++)
		if (!connect_to(&connections[i], ctx, argv[2], argv[3]))
			die("no connection");
	puts("begun");
	fflush(stdout);
	while (now() < until) {
		for (int i = 0; i < count; i++)
			fds[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLOUT};
		poll(fds, (nfds_t)count, 100);
		for (int i = 0; i < count; i++) {
			struct connection *c = &connections[i];

			if (c->fd >= 0 && (!fds[i].revents || turn(c)))
				continue;
			ended++;
			if (c->fd >= 0)
				end(c);
			if (!connect_to(c, ctx, argv[2], argv[3]))
				end(c);
		}
	}
	printf("ended %lu\n", ended);
}

static void serve(SSL_CTX *ctx)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&in, len) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&in, &len) < 0)
		die(strerror(errno));
	printf("listening %u\n", ntohs(in.sin_port));
	fflush(stdout);
	for (;;) {
		struct connection *c = &connections[0];

		*c = (struct connection){.fd = accept(fd, NULL, NULL)};
		c->ssl = SSL_new(ctx);
		SSL_set_fd(c->ssl, c->fd);
		if (SSL_accept(c->ssl) == 1) {
			struct pollfd p = {.fd = c->fd, .events = POLLOUT};

			take_keys(c);
			while (turn(c))
				poll(&p, 1, 100);
		}
		end(c);
	}
}

int main(int argc, char **argv)
{
	int serves = argc == 4 && strcmp(argv[2], "listen") == 0;
	SSL_CTX *ctx = SSL_CTX_new(serves ? TLS_server_method() : TLS_client_method());

	if (!serves && argc != 7) {
		fputs("usage: see the top of tlsflood.c\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	what = argv[1];
	read_key(argv[serves ? 3 : 4]);
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_keylog_callback(ctx, on_keylog);
	SSL_CTX_set_psk_use_session_callback(ctx, on_use);
	SSL_CTX_set_psk_find_session_callback(ctx, on_find);
	SSL_CTX_set_num_tickets(ctx, 0);
	if (serves)
		serve(ctx);
	else
		attack(argv, ctx);
	SSL_CTX_free(ctx);
	return 0;
}

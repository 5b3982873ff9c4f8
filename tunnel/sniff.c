/* Recognising foreign protocols by their first bytes: see sniff.h. */
#include "tunnel/sniff.h"

#include <stdio.h>
#include <string.h>

static int begins(const uint8_t *p, size_t len, const char *word)
{
	size_t n = strlen(word);

	return len >= n && memcmp(p, word, n) == 0;
}

enum sniff sniff(const uint8_t *first, size_t len)
{
	static const char *const http[] = {"HTTP/", "GET ",	"POST ",    "PUT ",
					   "HEAD ", "CONNECT ", "OPTIONS ", "PRI * HTTP"};

	if (len == 0)
		return SNIFF_UNKNOWN;
	/* A handshake or an alert, in a record of version 3.x. */
	if ((first[0] == 0x16 || first[0] == 0x15) && (len < 2 || first[1] == 3))
		return SNIFF_TLS;
	/* HELLO: a small length, type 1, and its magic behind 16 bytes of header. */
	if (first[0] == 0 && (len < 5 || first[4] == 1) &&
	    (len < 20 || memcmp(first + 16, "ADIT", 4) == 0))
		return SNIFF_ADIT;
	if (begins(first, len, "SSH-"))
		return SNIFF_SSH;
	for (size_t i = 0; i < sizeof(http) / sizeof(http[0]); i++)
		if (begins(first, len, http[i]))
			return SNIFF_HTTP;
	for (size_t i = 0; i < len && i < SNIFF_LEN_MAX; i++) {
		if (first[i] == '\r' || first[i] == '\n')
			return i ? SNIFF_TEXT : SNIFF_UNKNOWN;
		if (first[i] < 0x20 || first[i] > 0x7e)
			return SNIFF_UNKNOWN;
	}
	return SNIFF_TEXT;
}

/* The first line, as far as it was looked at. */
static void first_line(char out[SNIFF_LEN_MAX + 1], const uint8_t *first, size_t len)
{
	size_t n = 0;

	while (n < len && n < SNIFF_LEN_MAX && first[n] != '\r' && first[n] != '\n') {
		out[n] = (char)first[n];
		n++;
	}
	out[n] = '\0';
}

int sniff_explain(struct err *e, const char *peer, int tls, const uint8_t *first, size_t len)
{
	const char *expected = tls ? "TLS" : "adit without TLS";
	char line[SNIFF_LEN_MAX + 1];

	switch (sniff(first, len)) {
	case SNIFF_TLS:
		if (tls)
			break;
		return err_set(
		    e, ERR_PROTOCOL,
		    "The %s speaks TLS, and this side does not (--insecure, tcp://): give both "
		    "sides --psk or --tls-creds, and use tls://",
		    peer);
	case SNIFF_ADIT:
		if (!tls)
			break;
		return err_set(e, ERR_PROTOCOL,
			       "The %s speaks adit without TLS (--insecure, tcp://), and this side "
			       "expects TLS: give both sides --psk or --tls-creds, and use tls://",
			       peer);
	case SNIFF_SSH:
		first_line(line, first, len);
		return err_set(e, ERR_PROTOCOL,
			       "The %s speaks ssh (\"%s\"), not %s: is this the port of adit?",
			       peer, line, expected);
	case SNIFF_HTTP:
		return err_set(
		    e, ERR_PROTOCOL,
		    "The %s speaks HTTP, not %s: is this the port of adit, and is there no "
		    "web proxy in between?",
		    peer, expected);
	case SNIFF_TEXT:
		first_line(line, first, len);
		return err_set(
		    e, ERR_PROTOCOL,
		    "The %s speaks something else (\"%s\"), not %s: is this the port of adit?",
		    peer, line, expected);
	case SNIFF_UNKNOWN:
		break;
	}
	return err_set(e, ERR_PROTOCOL,
		       "The %s speaks something that is not %s: is this the port of adit?", peer,
		       expected);
}

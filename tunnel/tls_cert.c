/* Certificates as text: see tls_cert.h. */
#include "tunnel/tls_cert.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

int tls_cert_name(const X509_NAME *name, char *buf, size_t size)
{
	BIO *mem = BIO_new(BIO_s_mem());
	char *text;
	long len;

	buf[0] = '\0';
	if (!mem || X509_NAME_print_ex(mem, name, 0, XN_FLAG_RFC2253) < 0) {
		BIO_free(mem);
		return -1;
	}
	len = BIO_get_mem_data(mem, &text);
	snprintf(buf, size, "%.*s", (int)len, text);
	BIO_free(mem);
	return (int)len;
}

static void add(char *buf, size_t size, const char *text)
{
	size_t used = strlen(buf);

	snprintf(buf + used, size - used, "%s%s", used ? ", " : "", text);
}

static void add_general_name(char *buf, size_t size, const GENERAL_NAME *gn)
{
	char text[INET6_ADDRSTRLEN];
	const ASN1_OCTET_STRING *ip;
	int len;

	if (gn->type == GEN_DNS) {
		add(buf, size, (const char *)ASN1_STRING_get0_data(gn->d.dNSName));
	} else if (gn->type == GEN_IPADD) {
		ip = gn->d.iPAddress;
		len = ASN1_STRING_length(ip);
		if ((len == 4 || len == 16) &&
		    inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text,
			      sizeof(text)))
			add(buf, size, text);
	}
}

char *tls_cert_hosts(X509 *cert, char *buf, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	buf[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		add_general_name(buf, size, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	if (!buf[0])
		X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, buf,
					  (int)size);
	if (!buf[0])
		snprintf(buf, size, "no name");
	return err_printable(buf);
}

char *tls_cert_date(const ASN1_TIME *t, char *buf)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(t, &tm) ||
	    !strftime(buf, TLS_CERT_DATE_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(buf, TLS_CERT_DATE_MAX, "an unknown date");
	return buf;
}

/*
 * Certificates in QEMU's and libvirt's directory layout: ca-cert.pem, ca-crl.pem
 * (may be missing), ROLE-cert.pem and ROLE-key.pem. What is wrong with our own is
 * found here, when it is read; what is wrong with the peer's is found in the
 * handshake (tls_error.c has the words). Never asks for a passphrase.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "tunnel/creds_impl.h"
#include "tunnel/tls_cert.h"
#include "tunnel/tls_error.h"
#include "tunnel/tls_psk.h"

enum { FILE_NAME_MAX = 4096 };

static const char *role_name(enum creds_role role)
{
	return role == CREDS_CLIENT ? "client" : "server";
}

/* DIR/NAME, and whether it can be read. */
static int find_file(char *out, const char *dir, const char *name, struct err *e)
{
	int n = snprintf(out, FILE_NAME_MAX, "%s/%s", dir, name);

	if (n >= FILE_NAME_MAX)
		return err_set(e, ERR_CONFIG, "The folder of certificates has too long a name");
	if (access(out, R_OK) < 0) {
		err_set_sys(e, errno, "Cannot read %s", out);
		if (e)
			e->code = ERR_CONFIG;
		return ERR_CONFIG;
	}
	return 0;
}

/* OpenSSL's last word on a file that it could not take. */
static const char *last_word(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "not in PEM format";
}

static int load_trust(struct creds_set *set, const char *dir, struct err *e)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(set->ctx);
	char file[FILE_NAME_MAX];
	X509_LOOKUP *lookup;

	if (find_file(file, dir, "ca-cert.pem", e) < 0)
		return -1;
	if (!SSL_CTX_load_verify_locations(set->ctx, file, NULL))
		return err_set(e, ERR_CONFIG, "%s holds no CA certificate that can be used: %s",
			       file, last_word());
	/* What is in ca-cert.pem is trusted, root or not, as GnuTLS has it. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_purpose(param, set->role == CREDS_CLIENT ? X509_PURPOSE_SSL_SERVER
								       : X509_PURPOSE_SSL_CLIENT);
	snprintf(file, sizeof(file), "%s/ca-crl.pem", dir);
	if (access(file, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (find_file(file, dir, "ca-crl.pem", e) < 0)
		return -1;
	lookup = X509_STORE_add_lookup(SSL_CTX_get_cert_store(set->ctx), X509_LOOKUP_file());
	if (!lookup || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) <= 0)
		return err_set(e, ERR_CONFIG, "%s holds no revocation list that can be used: %s",
			       file, last_word());
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

/* Our own certificate: in force, and made for what we are? */
static int check_own(const struct creds_set *set, const char *file, struct err *e)
{
	X509 *cert = SSL_CTX_get0_certificate(set->ctx);
	uint32_t usage = X509_get_extended_key_usage(cert); /* all ones when it does not say */
	bool says = X509_get_extension_flags(cert) & EXFLAG_XKUSAGE;
	uint32_t need = set->role == CREDS_CLIENT ? XKU_SSL_CLIENT : XKU_SSL_SERVER;
	char date[TLS_CERT_DATE_MAX];

	if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return err_set(e, ERR_CONFIG, "%s expired on %s: renew it", file,
			       tls_cert_date(X509_get0_notAfter(cert), date));
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		return err_set(e, ERR_CONFIG,
			       "%s is not valid before %s: is this host's clock right?", file,
			       tls_cert_date(X509_get0_notBefore(cert), date));
	if (!says || !(usage & need))
		return err_set(e, ERR_CONFIG,
			       "%s is not made for a TLS %s: its extended key usage must have %s",
			       file, role_name(set->role),
			       set->role == CREDS_CLIENT ? "clientAuth" : "serverAuth");
	return 0;
}

/* In place of OpenSSL's prompt on the terminal. */
static int refuse_passphrase(char *buf, int size, int writing, void *asked)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(int *)asked = 1;
	return -1;
}

static int load_key(struct creds_set *set, const char *cert_file, const char *file, struct err *e)
{
	int *asked = SSL_CTX_get_default_passwd_cb_userdata(set->ctx);
	struct stat st;
	int ok;

	if (stat(file, &st) == 0 && (st.st_mode & 077))
		log_warn(NULL, "%s can be read by others than its owner (mode %04o): chmod 600 it",
			 file, (unsigned)(st.st_mode & 07777));
	ok = SSL_CTX_use_PrivateKey_file(set->ctx, file, SSL_FILETYPE_PEM);
	if (*asked)
		return err_set(
		    e, ERR_CONFIG,
		    "The key %s has a passphrase, which nobody is there to give: take it off "
		    "with openssl pkey -in %s -out NEW",
		    file, file);
	if (!ok && ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
		return err_set(e, ERR_CONFIG, "The key %s does not belong to %s", file, cert_file);
	if (!ok)
		return err_set(e, ERR_CONFIG, "%s holds no private key that can be used: %s", file,
			       last_word());
	if (!SSL_CTX_check_private_key(set->ctx))
		return err_set(e, ERR_CONFIG, "The key %s does not belong to %s", file, cert_file);
	return 0;
}

static int load_own(struct creds_set *set, const char *dir, struct err *e)
{
	char cert[FILE_NAME_MAX], key[FILE_NAME_MAX], name[32];

	snprintf(name, sizeof(name), "%s-cert.pem", role_name(set->role));
	if (find_file(cert, dir, name, e) < 0)
		return -1;
	snprintf(name, sizeof(name), "%s-key.pem", role_name(set->role));
	if (find_file(key, dir, name, e) < 0)
		return -1;
	if (!SSL_CTX_use_certificate_chain_file(set->ctx, cert))
		return err_set(e, ERR_CONFIG, "%s holds no certificate that can be used: %s", cert,
			       last_word());
	ERR_clear_error();
	if (load_key(set, cert, key, e) < 0)
		return -1;
	return check_own(set, cert, e);
}

struct creds_set *creds_x509_load(enum creds_role role, const char *dir, struct err *e)
{
	struct creds_set *set = creds_set_new(CREDS_X509, role, dir, e);
	int mode = SSL_VERIFY_PEER, asked = 0, r;

	if (!set)
		return NULL;
	SSL_CTX_set_default_passwd_cb(set->ctx, refuse_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(set->ctx, &asked);
	r = load_trust(set, dir, e) < 0 ? -1 : load_own(set, dir, e);
	SSL_CTX_set_default_passwd_cb_userdata(set->ctx, NULL);
	SSL_CTX_set_default_passwd_cb(set->ctx, NULL);
	if (r < 0)
		goto fail;
	if (role == CREDS_SERVER) {
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
		tls_psk_setup_x509_server(set);
	}
	SSL_CTX_set_verify(set->ctx, mode, tls_error_on_verify);
	ERR_clear_error();
	return set;
fail:
	ERR_clear_error();
	creds_set_unref(set);
	return NULL;
}

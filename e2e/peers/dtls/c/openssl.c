/* OpenSSL. */
#include "peer.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

/* The first timeout of a flight in microseconds; the library's is a second. */
static unsigned int timeout_after(SSL *ssl, unsigned int last)
{
	(void)ssl;
	return last == 0 ? 200000 : 2 * last > 3200000 ? 3200000 : 2 * last;
}

static int believe(int ok, X509_STORE_CTX *store)
{
	(void)ok, (void)store;
	return 1;
}

static void check(const char *what, int ok)
{
	char why[256];

	if (ok > 0)
		return;
	ERR_error_string_n(ERR_get_error(), why, sizeof why);
	failed(what, why);
}

/* Returns whether a call is to be made again: a timer has run out. */
static int is_again(SSL *ssl, int code)
{
	int error = SSL_get_error(ssl, code);

	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		return 0;
	return DTLSv1_handle_timeout(ssl) >= 0;
}

void run(const struct options *options, int fd)
{
	SSL_CTX *context = SSL_CTX_new(DTLS_method());
	SSL *ssl;
	BIO *bio = BIO_new_dgram(fd, BIO_CLOSE);
	BIO_ADDR *address = BIO_ADDR_new();
	struct sockaddr_in peer;
	socklen_t length = sizeof peer;
	int code;

	SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION);
	check("certificate", SSL_CTX_use_certificate_file(context, options->pem, SSL_FILETYPE_PEM));
	check("key", SSL_CTX_use_PrivateKey_file(context, options->pem, SSL_FILETYPE_PEM));
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, believe);
	if (!options->with_ems)
		SSL_CTX_set_options(context, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	ssl = SSL_new(context);
	DTLS_set_timer_cb(ssl, timeout_after);
	if (options->mtu > 0) {
		SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
		SSL_set_mtu(ssl, options->mtu);
	}
	getpeername(fd, (struct sockaddr *)&peer, &length);
	BIO_ADDR_rawmake(address, AF_INET, &peer.sin_addr, sizeof peer.sin_addr, peer.sin_port);
	BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, address);
	SSL_set_bio(ssl, bio, bio);
	if (options->is_server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	do
		code = SSL_do_handshake(ssl);
	while (code <= 0 && is_again(ssl, code));
	check("handshake", code);
	connected(SSL_get_version(ssl), SSL_get_cipher_name(ssl), SSL_get_extms_support(ssl) == 1);
	for (;;) {
		char message[LONGEST];
		int read = SSL_read(ssl, message, sizeof message);

		if (read <= 0 && SSL_get_error(ssl, read) == SSL_ERROR_ZERO_RETURN) {
			closed();
			return;
		}
		if (read <= 0 && is_again(ssl, read))
			continue;
		check("read", read);
		check("write", SSL_write(ssl, message, read));
		if (is_goodbye(message, (size_t)read)) {
			SSL_shutdown(ssl);
			return;
		}
	}
}

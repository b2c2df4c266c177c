/* wolfSSL as Debian builds it: DTLS 1.2. Its servers ask for a cookie. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "peer.h"

/* Seconds. */
enum { CLIENT_TIMEOUT = 20 };

static int believe(int ok, WOLFSSL_X509_STORE_CTX *store)
{
	(void)ok, (void)store;
	return 1;
}

static void check(const char *what, int ok)
{
	if (ok != WOLFSSL_SUCCESS)
		failed(what, "refused");
}

/* Waits for a datagram or the timer of a flight. Returns whether a call is to be made again. */
static int is_again(WOLFSSL *ssl, int code, int is_handshake)
{
	int error = wolfSSL_get_error(ssl, code);
	struct pollfd waiting = { .fd = wolfSSL_get_fd(ssl), .events = POLLIN };

	if (error != WOLFSSL_ERROR_WANT_READ && error != WOLFSSL_ERROR_WANT_WRITE)
		return 0;
	if (poll(&waiting, 1, is_handshake ? 1000 * wolfSSL_dtls_get_current_timeout(ssl) : -1) != 0)
		return 1;
	return wolfSSL_dtls_got_timeout(ssl) == WOLFSSL_SUCCESS;
}

void run(const struct options *options, int fd)
{
	WOLFSSL_CTX *context;
	WOLFSSL *ssl;
	int code;

	wolfSSL_Init();
	context = wolfSSL_CTX_new(options->is_server ? wolfDTLSv1_2_server_method() : wolfDTLSv1_2_client_method());
	check("certificate", wolfSSL_CTX_use_certificate_file(context, options->pem, WOLFSSL_FILETYPE_PEM));
	check("key", wolfSSL_CTX_use_PrivateKey_file(context, options->pem, WOLFSSL_FILETYPE_PEM));
	wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, believe);
	if (!options->with_ems && !options->is_server)
		check("ems", wolfSSL_CTX_DisableExtendedMasterSecret(context));
	ssl = wolfSSL_new(context);
	check("socket", wolfSSL_set_fd(ssl, fd));
	/* Its clients give up at their first timeout. */
	wolfSSL_dtls_set_timeout_init(ssl, options->is_server ? 1 : CLIENT_TIMEOUT);
	wolfSSL_dtls_set_using_nonblock(ssl, 1);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	do
		code = options->is_server ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl);
	while (code != WOLFSSL_SUCCESS && is_again(ssl, code, 1));
	if (code != WOLFSSL_SUCCESS) {
		char why[WOLFSSL_MAX_ERROR_SZ];

		failed("handshake", wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(ssl, code), why));
	}
	connected(wolfSSL_get_version(ssl), wolfSSL_get_cipher(ssl), options->with_ems);
	for (;;) {
		char message[LONGEST];
		int length = wolfSSL_read(ssl, message, sizeof message);

		if (length <= 0 && wolfSSL_get_error(ssl, length) == WOLFSSL_ERROR_ZERO_RETURN) {
			closed();
			return;
		}
		if (length <= 0 && is_again(ssl, length, 0))
			continue;
		if (length <= 0) {
			char why[WOLFSSL_MAX_ERROR_SZ];

			failed("read", wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(ssl, length), why));
		}
		wolfSSL_write(ssl, message, length);
		if (is_goodbye(message, (size_t)length)) {
			wolfSSL_shutdown(ssl);
			return;
		}
	}
}

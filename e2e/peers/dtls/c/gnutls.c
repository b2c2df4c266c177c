/* GnuTLS, whose servers ask for a cookie here. */
#include "peer.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Milliseconds until a flight is sent again, and until the handshake has to be complete. */
enum { FIRST_TIMEOUT = 200, WHOLE_TIMEOUT = 50000 };

static int believe(gnutls_session_t session)
{
	unsigned int count = 0;

	return gnutls_certificate_get_peers(session, &count) != NULL && count > 0 ? 0 : GNUTLS_E_NO_CERTIFICATE_FOUND;
}

static void check(const char *what, int code)
{
	if (code < 0)
		failed(what, gnutls_strerror(code));
}

static ssize_t push(gnutls_transport_ptr_t to, const void *bytes, size_t size)
{
	return send((int)(intptr_t)to, bytes, size, 0);
}

/* Answers the first ClientHello without keeping anything of it. */
static void prove_address(gnutls_session_t session, int fd)
{
	gnutls_datum_t key;
	gnutls_dtls_prestate_st state;

	check("cookie key", gnutls_key_generate(&key, GNUTLS_COOKIE_KEY_SIZE));
	for (;;) {
		unsigned char hello[65536];
		ssize_t length = recv(fd, hello, sizeof hello, MSG_PEEK);

		if (length < 0)
			failed("recv", "the socket has failed");
		memset(&state, 0, sizeof state);
		if (gnutls_dtls_cookie_verify(&key, "peer", 4, hello, (size_t)length, &state) >= 0)
			break;
		gnutls_dtls_cookie_send(&key, "peer", 4, &state, (gnutls_transport_ptr_t)(intptr_t)fd, push);
		recv(fd, hello, sizeof hello, 0);
	}
	gnutls_dtls_prestate_set(session, &state);
	gnutls_free(key.data);
}

void run(const struct options *options, int fd)
{
	const char *priority = "NORMAL:-VERS-ALL:+VERS-DTLS1.2";
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
	int code;

	check("credentials", gnutls_certificate_allocate_credentials(&credentials));
	check("certificate",
	      gnutls_certificate_set_x509_key_file(credentials, options->pem, options->pem, GNUTLS_X509_FMT_PEM));
	gnutls_certificate_set_verify_function(credentials, believe);
	check("session", gnutls_init(&session, GNUTLS_DATAGRAM | (options->is_server ? GNUTLS_SERVER : GNUTLS_CLIENT)));
	if (!options->with_ems)
		priority = "NORMAL:-VERS-ALL:+VERS-DTLS1.2:%NO_SESSION_HASH";
	check("priority", gnutls_priority_set_direct(session, priority, NULL));
	check("credentials", gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials));
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_transport_set_int(session, fd);
	gnutls_dtls_set_timeouts(session, FIRST_TIMEOUT, WHOLE_TIMEOUT);
	if (options->mtu > 0)
		gnutls_dtls_set_mtu(session, (unsigned int)options->mtu);
	if (options->is_server)
		prove_address(session, fd);
	do
		code = gnutls_handshake(session);
	while (code < 0 && gnutls_error_is_fatal(code) == 0);
	check("handshake", code);
	connected(gnutls_protocol_get_name(gnutls_protocol_get_version(session)), gnutls_ciphersuite_get(session),
		  (gnutls_session_get_flags(session) & GNUTLS_SFLAGS_EXT_MASTER_SECRET) != 0);
	for (;;) {
		char message[LONGEST];
		ssize_t length = gnutls_record_recv(session, message, sizeof message);

		if (length == 0) {
			closed();
			return;
		}
		if (length < 0 && gnutls_error_is_fatal((int)length) == 0)
			continue;
		check("recv", (int)length);
		check("send", (int)gnutls_record_send(session, message, (size_t)length));
		if (is_goodbye(message, (size_t)length)) {
			gnutls_bye(session, GNUTLS_SHUT_WR);
			return;
		}
	}
}

/* Mbed TLS, whose servers ask for a cookie. */
#include "peer.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/timing.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

/* Milliseconds until a flight is sent again, and the longest such time. */
enum { FIRST_TIMEOUT = 200, LONGEST_TIMEOUT = 3200 };

static void check(const char *what, int code)
{
	char why[128];

	if (code >= 0)
		return;
	mbedtls_strerror(code, why, sizeof why);
	failed(what, why);
}

static int believe(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	(void)context, (void)certificate, (void)depth;
	*flags = 0;
	return 0;
}

void run(const struct options *options, int fd)
{
	mbedtls_net_context net = { .fd = fd };
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_ssl_config config;
	mbedtls_ssl_context ssl;
	mbedtls_ssl_cookie_ctx cookies;
	mbedtls_timing_delay_context timer;
	mbedtls_x509_crt certificate;
	mbedtls_pk_context key;
	int code;

	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_ssl_config_init(&config);
	mbedtls_ssl_init(&ssl);
	mbedtls_ssl_cookie_init(&cookies);
	mbedtls_x509_crt_init(&certificate);
	mbedtls_pk_init(&key);
	check("random", mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0));
	check("certificate", mbedtls_x509_crt_parse_file(&certificate, options->pem));
	check("key", mbedtls_pk_parse_keyfile(&key, options->pem, NULL));
	check("config",
	      mbedtls_ssl_config_defaults(&config, options->is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
					  MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT));
	mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
	/* Without an authority nothing is checked, and with one only what is said here. */
	mbedtls_ssl_conf_ca_chain(&config, &certificate, NULL);
	mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_verify(&config, believe, NULL);
	check("own certificate", mbedtls_ssl_conf_own_cert(&config, &certificate, &key));
	mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_handshake_timeout(&config, FIRST_TIMEOUT, LONGEST_TIMEOUT);
	mbedtls_ssl_conf_extended_master_secret(&config, options->with_ems ? MBEDTLS_SSL_EXTENDED_MS_ENABLED :
									      MBEDTLS_SSL_EXTENDED_MS_DISABLED);
	check("cookies", mbedtls_ssl_cookie_setup(&cookies, mbedtls_ctr_drbg_random, &random));
	mbedtls_ssl_conf_dtls_cookies(&config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &cookies);
	check("setup", mbedtls_ssl_setup(&ssl, &config));
	if (options->mtu > 0)
		mbedtls_ssl_set_mtu(&ssl, (uint16_t)options->mtu);
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
	mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
	do {
		if (options->is_server)
			check("client", mbedtls_ssl_set_client_transport_id(&ssl, (const unsigned char *)"peer", 4));
		code = mbedtls_ssl_handshake(&ssl);
		if (code == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED)
			check("another hello", mbedtls_ssl_session_reset(&ssl));
	} while (code == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED || code == MBEDTLS_ERR_SSL_WANT_READ ||
		 code == MBEDTLS_ERR_SSL_WANT_WRITE);
	check("handshake", code);
	if (mbedtls_ssl_get_peer_cert(&ssl) == NULL)
		failed("handshake", "no certificate came");
	connected(mbedtls_ssl_get_version(&ssl), mbedtls_ssl_get_ciphersuite(&ssl), options->with_ems);
	for (;;) {
		unsigned char message[LONGEST];
		int length = mbedtls_ssl_read(&ssl, message, sizeof message);

		if (length == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
			closed();
			return;
		}
		if (length == MBEDTLS_ERR_SSL_WANT_READ || length == MBEDTLS_ERR_SSL_TIMEOUT)
			continue;
		check("read", length);
		check("write", mbedtls_ssl_write(&ssl, message, (size_t)length));
		if (is_goodbye((const char *)message, (size_t)length)) {
			mbedtls_ssl_close_notify(&ssl);
			return;
		}
	}
}

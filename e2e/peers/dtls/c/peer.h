/* A DTLS peer around the library of another: the part that all of them share.
 *
 *   PROGRAM client|server PORT PEM [mtu=BYTES] [ems=off]
 *
 * PEM has the key and the certificate. The peer asks for a certificate and believes every one; it
 * sends back what it receives, and closes after the message "bye". It writes a JSON object a line:
 * "ready" (a server listens), "connected", "closed" (the other side has closed), "error".
 */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>

struct options {
	int is_server;
	const char *pem;
	/* Bytes of the largest datagram; 0 for the library's default. */
	int mtu;
	int with_ems;
};

/* The longest message. */
enum { LONGEST = 4096 };

/* Whether a message is the last one. */
int is_goodbye(const char *message, size_t length);

void connected(const char *version, const char *cipher, int with_ems);
void closed(void);
/* Reports what went wrong, and ends the program. */
void failed(const char *what, const char *why);

/* A library: the handshake over a connected socket, then the echo. */
void run(const struct options *options, int socket);

#endif

#include "peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int is_goodbye(const char *message, size_t length)
{
	return length == 3 && memcmp(message, "bye", 3) == 0;
}

void connected(const char *version, const char *cipher, int with_ems)
{
	printf("{\"event\":\"connected\",\"version\":\"%s\",\"cipher\":\"%s\",\"ems\":%s}\n", version, cipher,
	       with_ems ? "true" : "false");
	fflush(stdout);
}

void closed(void)
{
	puts("{\"event\":\"closed\"}");
	fflush(stdout);
}

void failed(const char *what, const char *why)
{
	printf("{\"event\":\"error\",\"message\":\"%s: %s\"}\n", what, why);
	exit(1);
}

static int usage(void)
{
	fputs("the arguments are: client|server PORT PEM [mtu=BYTES] [ems=off]\n", stderr);
	return 2;
}

int main(int count, char **arguments)
{
	struct options options = { .with_ems = 1 };
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd;

	if (count < 4)
		return usage();
	options.is_server = strcmp(arguments[1], "server") == 0;
	options.pem = arguments[3];
	for (int i = 4; i < count; i++) {
		if (strncmp(arguments[i], "mtu=", 4) == 0)
			options.mtu = atoi(arguments[i] + 4);
		else if (strcmp(arguments[i], "ems=off") == 0)
			options.with_ems = 0;
		else
			return usage();
	}
	address.sin_port = htons((unsigned short)atoi(arguments[2]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (options.is_server) {
		char first;
		socklen_t length = sizeof address;

		if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
			failed("bind", "the port is in use");
		puts("{\"event\":\"ready\"}");
		fflush(stdout);
		if (recvfrom(fd, &first, 1, MSG_PEEK, (struct sockaddr *)&address, &length) < 0)
			failed("recvfrom", "no datagram came");
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		failed("connect", "no way");
	run(&options, fd);
	return 0;
}

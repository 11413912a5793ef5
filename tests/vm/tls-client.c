/* SPDX-License-Identifier: MIT */
/*
 * Asks for files over TLS, all on one connection, and compares what comes with the files: run by
 * tests/vm/checks.
 *
 *   tls-client [OPTION…] VERSION CIPHERS FOLDER PATH[@FIRST-LAST]…
 *     -p PORT   443
 *     -c        the last request says Connection: close, and its end must be said by close_notify
 *     -s        a slow reader with little room
 *     -w BYTES  one with little room that stops for a while before the last so many bytes
 *     -k, -K    in the midst of the first body keys of its own are changed; -K: new ones are wanted
 *     -g        there a record is sent that was never enciphered
 *     -n        nothing is compared
 * Ends with 0 and what was agreed on; with 1 and what was wrong; with 2 and the alert that came.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 * 1024, SLOW_BYTES = 4096, SLOW_ROOM_BYTES = 8192 };

static struct {
        int port;
        size_t stop_bytes;
        bool closes, slow, updates, wants_update, garbage, blind;
} with = { .port = 443 };

static int fd;
static SSL *ssl;
static char alert[100];

static void end(const char *what) {
        char text[200] = "";

        ERR_error_string_n(ERR_get_error(), text, sizeof(text));
        printf("%s: %s%s\n", what, alert[0] ? alert : text, alert[0] ? " alert" : "");
        exit(alert[0] ? 2 : 1);
}

static void note_alert(const SSL *of, int where, int value) {
        if (where == SSL_CB_READ_ALERT && (value & 0xff))
                snprintf(alert, sizeof(alert), "%s", SSL_alert_desc_string_long(value));
}

static void connect_to(int version, const char *ciphers) {
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)with.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        int room = SLOW_ROOM_BYTES;

        SSL_CTX_set_min_proto_version(context, version);
        SSL_CTX_set_max_proto_version(context, version);
        if (version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(context, ciphers) != 1
                                      : SSL_CTX_set_cipher_list(context, ciphers) != 1)
                end("ciphers");
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (with.slow || with.stop_bytes)
                setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                perror("connect");
                exit(1);
        }
        ssl = SSL_new(context);
        SSL_set_info_callback(ssl, note_alert);
        SSL_set_tlsext_host_name(ssl, "x");
        SSL_set_fd(ssl, fd);
        if (SSL_connect(ssl) != 1)
                end("handshake");
}

static void ask(const char *path, const char *range, bool last) {
        char request[500];
        int n = snprintf(request, sizeof(request), "GET /%s HTTP/1.1\r\nHost: x\r\n%s%s%s%s\r\n",
                         path, range ? "Range: bytes=" : "", range ? range : "",
                         range ? "\r\n" : "", last ? "Connection: close\r\n" : "");

        if (SSL_write(ssl, request, n) != n)
                end("request");
}

/* Bytes up to the end of the head, one at a time; the length of the body. */
static size_t read_head(const char *wanted) {
        char head[4096], *length;
        size_t n = 0;

        while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
                if (n == sizeof(head) - 1 || SSL_read(ssl, head + n, 1) != 1)
                        end("head");
                n++;
        }
        head[n] = '\0';
        length = strcasestr(head, "\r\ncontent-length:");
        if (strncmp(head + 9, wanted, 3) != 0 || !length) {
                printf("not %s: %s", wanted, head);
                exit(1);
        }
        return strtoull(length + 17, NULL, 10);
}

static void in_the_midst(void) {
        static const char record[] = "\27\3\3\0\30 this was never enciphered";

        if (with.updates) {
                if (SSL_key_update(ssl, with.wants_update ? SSL_KEY_UPDATE_REQUESTED
                                                          : SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
                    SSL_do_handshake(ssl) != 1)
                        end("KeyUpdate");
        }
        if (with.garbage && write(fd, record, 29) != 29)
                end("garbage");
        with.updates = with.garbage = false;
}

static void read_body(const char *file, size_t offset, size_t bytes) {
        static char data[PIECE_BYTES];
        struct timespec rest = { .tv_nsec = 200000 };
        size_t done = 0;

        while (done < bytes) {
                size_t most = with.slow ? SLOW_BYTES : sizeof(data);
                int n = SSL_read(ssl, data, (int)(most < bytes - done ? most : bytes - done));

                if (n <= 0)
                        end("body");
                if (file && memcmp(data, file + offset + done, (size_t)n) != 0) {
                        printf("other bytes than in the file, behind byte %zu\n", offset + done);
                        exit(1);
                }
                done += (size_t)n;
                if (done >= bytes / 2)
                        in_the_midst();
                if (with.stop_bytes && bytes - done <= with.stop_bytes) {
                        with.stop_bytes = 0;
                        usleep(300000);
                }
                if (with.slow)
                        nanosleep(&rest, NULL);
        }
}

static void fetch(const char *folder, char *path, bool last) {
        char *range = strchr(path, '@'), name[500], *file;
        size_t offset = 0, bytes;
        struct stat st;
        int at;

        if (range) {
                *range++ = '\0';
                offset = strtoull(range, NULL, 10);
        }
        snprintf(name, sizeof(name), "%s/%s", folder, path);
        at = open(name, O_RDONLY | O_CLOEXEC);
        if (at < 0 || fstat(at, &st) < 0) {
                perror(name);
                exit(1);
        }
        file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, at, 0);
        close(at);
        ask(path, range, last);
        bytes = read_head(range ? "206" : "200");
        if (offset + bytes > (size_t)st.st_size) {
                printf("%s: %zu bytes announced\n", name, bytes);
                exit(1);
        }
        read_body(with.blind ? NULL : file, offset, bytes);
        munmap(file, (size_t)st.st_size);
}

static void expect_end(void) {
        char c;
        int n = SSL_read(ssl, &c, 1);

        if (n > 0 || SSL_get_error(ssl, n) != SSL_ERROR_ZERO_RETURN)
                end("no close_notify");
        /* and behind it the end of the stream, no reset */
        if (read(fd, &c, 1) != 0) {
                perror("no end behind close_notify");
                exit(1);
        }
}

int main(int argc, char *argv[]) {
        int option;

        while ((option = getopt(argc, argv, "p:csw:kKgn")) != -1) {
                switch (option) {
                case 'p': with.port = atoi(optarg); break;
                case 'c': with.closes = true; break;
                case 's': with.slow = true; break;
                case 'w': with.stop_bytes = strtoull(optarg, NULL, 10); break;
                case 'K': with.wants_update = true; /* fall through */
                case 'k': with.updates = true; break;
                case 'g': with.garbage = true; break;
                case 'n': with.blind = true; break;
                default: return 64;
                }
        }
        if (argc - optind < 4)
                return 64;
        connect_to(strcmp(argv[optind], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION,
                   argv[optind + 1]);
        for (int i = optind + 3; i < argc; i++)
                fetch(argv[optind + 2], argv[i], with.closes && i == argc - 1);
        if (with.closes)
                expect_end();
        printf("%s %s\n", SSL_get_version(ssl), SSL_get_cipher(ssl));
        return 0;
}

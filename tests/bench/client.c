/* SPDX-License-Identifier: MIT */
/*
 * A client that comes by TLS 1.3, always with the same cipher and group, for what neither wrk nor
 * h2load can do: handshakes with tickets, connections that stay silent, and the first visitor of a
 * server that is not there yet.
 *
 *      bench-client connect PORT fresh|resumed CONNECTIONS SECONDS
 *              A handshake, a request, the answer, the end; again for so long. Prints how many
 *              there were, how many of them resumed a session, how many of those got a ticket for
 *              the next time, how many failed, how many there were a second, and the 99th
 *              percentile of their time in ms.
 *      bench-client idle PORT COUNT handshake|request
 *              Opens so many, prints a line when all are there, and keeps them until its standard
 *              input ends. What OpenSSL knows of them is given up: the descriptors alone stay, and
 *              tickets lie in the kernel unread.
 *      bench-client cold COUNT PROCESSOR EMBERD BACKEND NAME:SETTINGS…
 *              Starts the program with each of the settings in turn on that processor, with a
 *              socket of that name, on which a connection waits already ("https": which speaks
 *              TLS). Prints the time in ms from execve(2) to the first byte of the answer, and the
 *              processor's of the program until then, a line a turn. The first turn is not
 *              printed: in it OpenSSL looks up for the client what it uses.
 *
 * It is run by tests/bench/run alone, on the loopback, and ends the process on any surprise but a
 * connection that fails.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
        CONNECTIONS_MAX = 1024,
        SESSIONS_MAX = 4 * CONNECTIONS_MAX,
        TIMES_MAX = 1 << 20,
        SETTINGS_MAX = 8,
        ANSWER_SECONDS = 10 /* nobody who is alive takes longer, on a busy machine either */
};

#define REQUEST(connection) \
        "GET /f.txt HTTP/1.1\r\nHost: localhost\r\nConnection: " connection "\r\n\r\n"

static const char last_request[] = REQUEST("close"), request[] = REQUEST("keep-alive");

static SSL_CTX *context;
static SSL_SESSION *sessions[SESSIONS_MAX]; /* to resume, the newest last */
static size_t sessions_count;
static bool resumes;

static double times[TIMES_MAX];
static size_t count, resumed, renewed, failed;

struct client {
        SSL *ssl;
        SSL_SESSION *session; /* what is offered; nobody else offers it meanwhile */
        double since;
        int fd;
        bool asked, answered;
        bool got_ticket;
};

static _Noreturn void fail(const char *what, int error) {
        fprintf(stderr, "bench-client: %s: %s\n", what, strerror(error));
        exit(1);
}

static double now_msec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
        struct client *c = SSL_get_app_data(ssl);

        if (c)
                c->got_ticket = true;
        if (!resumes || sessions_count == SESSIONS_MAX)
                return 0;
        sessions[sessions_count++] = session;
        return 1;
}

static void open_context(void) {
        context = SSL_CTX_new(TLS_client_method());
        if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
            !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") ||
            !SSL_CTX_set1_groups_list(context, "X25519"))
                fail("OpenSSL", EINVAL);
        SSL_CTX_set_session_cache_mode(context,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(context, keep_session);
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

static struct sockaddr_in loopback(unsigned port) {
        return (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons((unsigned short)port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A connection whose handshake has not begun. */
static int open_socket(unsigned port, int flags) {
        struct sockaddr_in address = loopback(port);
        struct timeval limit = { .tv_sec = ANSWER_SECONDS };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;

        if (fd < 0)
                fail("socket", errno);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
                fail("connect", errno);
        return fd;
}

static SSL *open_ssl(int fd) {
        SSL *ssl = SSL_new(context);

        if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, "localhost"))
                fail("SSL_new", ENOMEM);
        SSL_set_connect_state(ssl);
        return ssl;
}

/*
 * Without a word to the server. OpenSSL gives up sessions whose connection ended without
 * SSL_shutdown(). SSL_set_fd() leaves the descriptor open.
 */
static void free_ssl(SSL *ssl) {
        SSL_set_quiet_shutdown(ssl, 1);
        SSL_shutdown(ssl);
        SSL_free(ssl);
}

/* ---- connect ---- */

static void client_open(struct client *c, unsigned port, int epoll) {
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
        SSL_SESSION *offered;

        *c = (struct client){ .since = now_msec(), .fd = open_socket(port, SOCK_NONBLOCK) };
        c->ssl = open_ssl(c->fd);
        SSL_set_app_data(c->ssl, c);
        if (sessions_count > 0) {
                c->session = sessions[--sessions_count];
                offered = SSL_SESSION_dup(c->session); /* OpenSSL takes one but once */
                if (!offered || !SSL_set_session(c->ssl, offered))
                        fail("SSL_set_session", ENOMEM);
                SSL_SESSION_free(offered);
        }
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
                fail("epoll_ctl", errno);
}

/* A server that sent no ticket gets the one of before once more. */
static void client_close(struct client *c, bool good) {
        if (good) {
                resumed += (size_t)SSL_session_reused(c->ssl);
                renewed += SSL_session_reused(c->ssl) && c->got_ticket;
                if (count < TIMES_MAX)
                        times[count] = now_msec() - c->since;
                count++;
        } else {
                failed++;
        }
        if (c->session && good && !c->got_ticket && sessions_count < SESSIONS_MAX) {
                sessions[sessions_count++] = c->session;
                c->session = NULL;
        }
        SSL_SESSION_free(c->session);
        free_ssl(c->ssl);
        close(c->fd);
}

/* As far as it goes: 0 wait, 1 the answer came and ended, -1 it failed. */
static int client_drive(struct client *c) {
        char answer[16384];
        int r;

        if (!c->asked) {
                r = SSL_write(c->ssl, last_request, sizeof(last_request) - 1);
                if (r <= 0)
                        return SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ ||
                                               SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_WRITE
                                       ? 0
                                       : -1;
                c->asked = true;
        }
        while ((r = SSL_read(c->ssl, answer, sizeof(answer))) > 0)
                c->answered = true;
        switch (SSL_get_error(c->ssl, r)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: return 0;
        case SSL_ERROR_ZERO_RETURN: return c->answered ? 1 : -1;
        default: return -1;
        }
}

static int compare(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static int run_connect(unsigned port, unsigned connections, unsigned seconds) {
        static struct client clients[CONNECTIONS_MAX];
        double begin = now_msec(), end = begin + seconds * 1e3, used;
        int epoll = epoll_create1(EPOLL_CLOEXEC);

        for (unsigned i = 0; i < connections; i++)
                client_open(&clients[i], port, epoll);
        while (now_msec() < end) {
                struct epoll_event events[64];
                int n = epoll_wait(epoll, events, 64, 1000);

                for (int i = 0; i < n; i++) {
                        struct client *c = events[i].data.ptr;
                        int r = client_drive(c);

                        if (r == 0)
                                continue;
                        client_close(c, r > 0);
                        client_open(c, port, epoll);
                }
        }
        used = (now_msec() - begin) / 1e3;
        if (count == 0)
                fail("no connection came to its end", ETIMEDOUT);
        qsort(times, count < TIMES_MAX ? count : TIMES_MAX, sizeof(*times), compare);
        printf("%zu %zu %zu %zu %.1f %.3f\n", count, resumed, renewed, failed, (double)count / used,
               times[(count < TIMES_MAX ? count : TIMES_MAX) * 99 / 100]);
        return 0;
}

/* ---- idle ---- */

static void read_answer(SSL *ssl) {
        char answer[16384];
        int n = 0;

        while (!memmem(answer, (size_t)n, "\r\n\r\n", 4) || answer[n - 1] != 'x') {
                int r = SSL_read(ssl, answer + n, (int)sizeof(answer) - n);

                if (r <= 0)
                        fail("no answer", EPROTO);
                n += r;
        }
}

static int run_idle(unsigned port, unsigned wanted, bool asks) {
        for (unsigned i = 0; i < wanted; i++) {
                SSL *ssl = open_ssl(open_socket(port, 0));

                if (SSL_connect(ssl) != 1)
                        fail("handshake", EPROTO);
                if (asks) {
                        if (SSL_write(ssl, request, sizeof(request) - 1) <= 0)
                                fail("request", EPROTO);
                        read_answer(ssl);
                }
                free_ssl(ssl);
        }
        printf("ready\n");
        fflush(stdout);
        while (getchar() != EOF)
                ;
        return 0;
}

/* ---- cold ---- */

struct cold {
        const char *name, *settings; /* of the socket, and a file */
        bool tls;
};

static _Noreturn void exec_emberd(int listener, const struct cold *cold, char **program,
                                  double *begin) {
        char pid[16], *command[] = { program[0],   (char *)"-b",           program[1],
                                     (char *)"-c", (char *)cold->settings, NULL };
        int null = open("/dev/null", O_RDWR);

        snprintf(pid, sizeof(pid), "%d", getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_FDNAMES", cold->name, 1);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
                _exit(127);
        /* dup2() onto itself would leave it to be closed by execve() */
        if ((listener == 3 ? fcntl(3, F_SETFD, 0) : dup2(listener, 3)) < 0)
                _exit(127);
        *begin = now_msec();
        execv(command[0], command);
        fail(command[0], errno);
}

static void ask(int fd, bool tls) {
        char byte;
        SSL *ssl = tls ? open_ssl(fd) : NULL;
        ssize_t n = ssl ? SSL_write(ssl, last_request, sizeof(last_request) - 1)
                        : write(fd, last_request, sizeof(last_request) - 1);

        if (n > 0)
                n = ssl ? SSL_read(ssl, &byte, 1) : read(fd, &byte, 1);
        if (n != 1 || byte != 'H')
                fail("no answer", EPROTO);
        if (ssl)
                free_ssl(ssl);
}

/* A process with all of its threads. */
static double cpu_msec(pid_t pid) {
        struct timespec t;
        clockid_t clock;
        int r = clock_getcpuclockid(pid, &clock);

        if (r || clock_gettime(clock, &t) < 0)
                fail("clock_gettime", r ? r : errno);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The time to the first byte; the program is gone when this returns. */
static double start_cold(const struct cold *cold, unsigned processor, char **program, double *begin,
                         double *ret_cpu_msec) {
        struct sockaddr_in address = loopback(0);
        socklen_t size = sizeof(address);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
        double end;
        pid_t pid;

        if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener, 16) < 0 ||
            getsockname(listener, (struct sockaddr *)&address, &size) < 0)
                fail("listen", errno);
        fd = open_socket(ntohs(address.sin_port), 0);
        pid = fork();
        if (pid < 0)
                fail("fork", errno);
        if (pid == 0) {
                cpu_set_t set;

                CPU_ZERO(&set);
                CPU_SET(processor, &set);
                if (sched_setaffinity(0, sizeof(set), &set) < 0)
                        fail("sched_setaffinity", errno);
                exec_emberd(listener, cold, program, begin);
        }
        close(listener);
        ask(fd, cold->tls);
        end = now_msec();
        *ret_cpu_msec = cpu_msec(pid);
        close(fd);
        kill(pid, SIGTERM);
        if (waitpid(pid, NULL, 0) != pid)
                fail("waitpid", errno);
        return end - *begin;
}

static int run_cold(unsigned turns, unsigned processor, char **program, char **names) {
        double *begin = mmap(NULL, sizeof(*begin), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        struct cold colds[SETTINGS_MAX];
        size_t n = 0;

        if (begin == MAP_FAILED)
                fail("mmap", errno);
        for (; names[n] && n < SETTINGS_MAX; n++) {
                char *colon = strchr(names[n], ':');

                if (!colon)
                        fail(names[n], EINVAL);
                *colon = '\0';
                colds[n] = (struct cold){ names[n], colon + 1, strcmp(names[n], "https") == 0 };
        }
        for (unsigned turn = 0; turn <= turns; turn++)
                for (size_t i = 0; i < n; i++) {
                        double cpu;
                        double msec = start_cold(&colds[i], processor, program, begin, &cpu);

                        if (turn > 0)
                                printf("%.3f %.3f%c", msec, cpu, i + 1 == n ? '\n' : ' ');
                }
        return 0;
}

static unsigned number(const char *text) {
        return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv) {
        struct rlimit files;

        signal(SIGPIPE, SIG_IGN);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        open_context();
        if (argc == 6 && strcmp(argv[1], "connect") == 0 && number(argv[4]) <= CONNECTIONS_MAX) {
                resumes = strcmp(argv[3], "resumed") == 0;
                return run_connect(number(argv[2]), number(argv[4]), number(argv[5]));
        }
        if (argc == 5 && strcmp(argv[1], "idle") == 0)
                return run_idle(number(argv[2]), number(argv[3]), strcmp(argv[4], "request") == 0);
        if (argc >= 7 && strcmp(argv[1], "cold") == 0)
                return run_cold(number(argv[2]), number(argv[3]), argv + 4, argv + 6);
        fprintf(stderr, "usage: bench-client connect PORT fresh|resumed CONNECTIONS SECONDS\n"
                        "       bench-client idle PORT COUNT handshake|request\n"
                        "       bench-client cold COUNT PROCESSOR EMBERD BACKEND NAME:SETTINGS…\n");
        return 64;
}

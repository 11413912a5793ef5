/* SPDX-License-Identifier: MIT */
/*
 * The floor: what a server costs that does nothing but receive and send. It takes the length of
 * the first request that comes for that of all, and answers each with the same bytes from memory.
 * One thread, epoll (edge-triggered) or io_uring (one enter a turn, receive buffers chosen by the
 * kernel from a ring). What emberd costs above this is the price of being a web server.
 *
 *      floor epoll|io_uring PORT BODY-BYTES keep|close
 *
 * No input from strangers: it is run by tests/bench/run alone, on the loopback, and ends the
 * process on any surprise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
        FDS_MAX = 16384,
        EVENTS_MAX = 256,
        BUFFER_BYTES = 4096,
        BUFFERS = 1024, /* a power of two, for the ring */
        RING_ENTRIES = 1024,
        COMPLETIONS = 16384,
        SMALL_ANSWERS = 64 /* so many answers lie in a row, to be sent at once to who pipelines */
};

static char *answers;
static size_t answer_bytes, answers_in_row, request_bytes;
static bool closes;

struct peer {
        size_t asked_bytes; /* received and not answered yet */
        size_t owed_bytes;  /* to send */
        size_t sent_bytes;  /* since it last owed nothing */
};
static struct peer peers[FDS_MAX];

static _Noreturn void fail(const char *what, int error) {
        fprintf(stderr, "floor: %s: %s\n", what, strerror(error));
        exit(1);
}

static void make_answers(size_t body_bytes) {
        char head[256];
        int n = snprintf(head, sizeof(head),
                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                         "%s\r\n",
                         body_bytes, closes ? "Connection: close\r\n" : "");

        answer_bytes = (size_t)n + body_bytes;
        answers_in_row = body_bytes > 65536 ? 1 : SMALL_ANSWERS;
        answers = malloc(answer_bytes * answers_in_row);
        if (!answers)
                fail("malloc", ENOMEM);
        for (size_t i = 0; i < answers_in_row; i++) {
                memcpy(answers + i * answer_bytes, head, (size_t)n);
                memset(answers + i * answer_bytes + n, 'x', body_bytes);
        }
}

static int listen_on(unsigned port) {
        const struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t)port),
                .sin_addr = { htonl(INADDR_LOOPBACK) },
        };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(fd, 4096) < 0)
                fail("listen", errno);
        return fd;
}

static void welcome(int fd) {
        int on = 1;

        if (fd >= FDS_MAX)
                fail("accept", EMFILE);
        peers[fd] = (struct peer){};
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                fail("TCP_NODELAY", errno);
}

/* Bytes came: whole requests become owed answers. */
static void take(struct peer *p, const char *data, size_t size) {
        if (!request_bytes) {
                const char *end = memmem(data, size, "\r\n\r\n", 4);

                if (!end)
                        fail("first request", EPROTO);
                request_bytes = (size_t)(end - data) + 4;
        }
        p->asked_bytes += size;
        p->owed_bytes += p->asked_bytes / request_bytes * answer_bytes;
        p->asked_bytes %= request_bytes;
}

/* What to send next: the row of answers, from where the last send ended. */
static const char *owed(const struct peer *p, size_t *ret_size) {
        size_t row = answer_bytes * answers_in_row, at = p->sent_bytes % row;

        *ret_size = p->owed_bytes < row - at ? p->owed_bytes : row - at;
        return answers + at;
}

static void sent(struct peer *p, size_t size) {
        p->owed_bytes -= size;
        p->sent_bytes = p->owed_bytes ? p->sent_bytes + size : 0;
}

/* ---- epoll ---- */

/* Whether the connection goes on. */
static bool epoll_serve(int fd) {
        static char buffer[BUFFER_BYTES];
        struct peer *p = &peers[fd];

        for (;;) {
                ssize_t n;

                while (p->owed_bytes) {
                        size_t size;
                        const char *data = owed(p, &size);

                        n = send(fd, data, size, MSG_NOSIGNAL);
                        if (n < 0)
                                return errno == EAGAIN;
                        sent(p, (size_t)n);
                        if (!p->owed_bytes && closes)
                                return false;
                }
                n = recv(fd, buffer, sizeof(buffer), 0);
                if (n <= 0)
                        return n < 0 && errno == EAGAIN;
                take(p, buffer, (size_t)n);
                if ((size_t)n < sizeof(buffer) && !p->owed_bytes)
                        return true;
                if ((size_t)n < sizeof(buffer)) {
                        size_t size;
                        const char *data = owed(p, &size);

                        n = send(fd, data, size, MSG_NOSIGNAL);
                        if (n < 0 && errno != EAGAIN)
                                return false;
                        if (n > 0)
                                sent(p, (size_t)n);
                        if (!p->owed_bytes)
                                return !closes;
                }
        }
}

static void epoll_accept(int epoll, int listener) {
        for (;;) {
                struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0)
                        return;
                welcome(fd);
                event.data.fd = fd;
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                        fail("epoll_ctl", errno);
        }
}

static void run_epoll(int listener) {
        struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
        int epoll = epoll_create1(EPOLL_CLOEXEC);

        if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
                fail("epoll", errno);
        for (;;) {
                struct epoll_event events[EVENTS_MAX];
                int n = epoll_wait(epoll, events, EVENTS_MAX, -1);

                for (int i = 0; i < n; i++) {
                        int fd = events[i].data.fd;

                        if (fd == listener)
                                epoll_accept(epoll, listener);
                        else if (events[i].events & EPOLLIN || peers[fd].owed_bytes)
                                if (!epoll_serve(fd))
                                        close(fd);
                }
        }
}

/* ---- io_uring ---- */

enum { ACCEPT = 1, RECEIVE, SEND };

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *buffer_memory;

static struct io_uring_sqe *entry(unsigned kind, int fd) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

        if (!sqe) {
                io_uring_submit(&ring);
                sqe = io_uring_get_sqe(&ring);
        }
        if (!sqe)
                fail("submission queue", ENOSPC);
        sqe->user_data = (uint64_t)kind << 32 | (unsigned)fd;
        return sqe;
}

static void ring_accept(int listener) {
        struct io_uring_sqe *sqe = entry(ACCEPT, listener);
        uint64_t data = sqe->user_data;

        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
        sqe->user_data = data;
}

static void ring_receive(int fd) {
        struct io_uring_sqe *sqe = entry(RECEIVE, fd);
        uint64_t data = sqe->user_data;

        io_uring_prep_recv(sqe, fd, NULL, BUFFER_BYTES, 0);
        sqe->user_data = data;
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        sqe->buf_group = 0;
}

static void ring_send(int fd) {
        struct io_uring_sqe *sqe = entry(SEND, fd);
        uint64_t data = sqe->user_data;
        size_t size;
        const char *from = owed(&peers[fd], &size);

        io_uring_prep_send(sqe, fd, from, size, MSG_NOSIGNAL | MSG_WAITALL);
        sqe->user_data = data;
}

static void ring_received(int fd, const struct io_uring_cqe *cqe) {
        if (cqe->res == -ENOBUFS) {
                ring_receive(fd);
                return;
        }
        if (cqe->flags & IORING_CQE_F_BUFFER) {
                unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
                char *buffer = buffer_memory + (size_t)id * BUFFER_BYTES;

                if (cqe->res > 0)
                        take(&peers[fd], buffer, (size_t)cqe->res);
                io_uring_buf_ring_add(buffers, buffer, BUFFER_BYTES, (unsigned short)id,
                                      io_uring_buf_ring_mask(BUFFERS), 0);
                io_uring_buf_ring_advance(buffers, 1);
        }
        if (cqe->res <= 0)
                close(fd);
        else if (peers[fd].owed_bytes)
                ring_send(fd);
        else
                ring_receive(fd);
}

static void ring_sent(int fd, int result) {
        if (result <= 0) {
                close(fd);
                return;
        }
        sent(&peers[fd], (size_t)result);
        if (peers[fd].owed_bytes)
                ring_send(fd);
        else if (closes)
                close(fd);
        else
                ring_receive(fd);
}

static void ring_open(void) {
        struct io_uring_params params = {
                .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                         IORING_SETUP_CQSIZE,
                .cq_entries = COMPLETIONS,
        };
        struct io_uring_buf_reg registration = { .ring_entries = BUFFERS };
        int r = io_uring_queue_init_params(RING_ENTRIES, &ring, &params);

        if (r < 0)
                fail("io_uring", -r);
        buffer_memory = malloc((size_t)BUFFERS * BUFFER_BYTES);
        if (!buffer_memory ||
            posix_memalign((void **)&buffers, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0)
                fail("malloc", ENOMEM);
        registration.ring_addr = (uint64_t)(uintptr_t)buffers;
        r = io_uring_register_buf_ring(&ring, &registration, 0);
        if (r < 0)
                fail("buffer ring", -r);
        io_uring_buf_ring_init(buffers);
        for (unsigned short i = 0; i < BUFFERS; i++)
                io_uring_buf_ring_add(buffers, buffer_memory + (size_t)i * BUFFER_BYTES,
                                      BUFFER_BYTES, i, io_uring_buf_ring_mask(BUFFERS), i);
        io_uring_buf_ring_advance(buffers, BUFFERS);
}

static void run_ring(int listener) {
        ring_open();
        ring_accept(listener);
        for (;;) {
                struct io_uring_cqe *cqe;
                unsigned head, count = 0;
                int r = io_uring_submit_and_wait(&ring, 1);

                if (r < 0 && r != -EINTR)
                        fail("io_uring_enter", -r);
                io_uring_for_each_cqe(&ring, head, cqe) {
                        int fd = (int)(uint32_t)cqe->user_data;

                        count++;
                        switch (cqe->user_data >> 32) {
                        case ACCEPT:
                                if (!(cqe->flags & IORING_CQE_F_MORE))
                                        ring_accept(listener);
                                if (cqe->res >= 0) {
                                        welcome(cqe->res);
                                        ring_receive(cqe->res);
                                }
                                break;
                        case RECEIVE: ring_received(fd, cqe); break;
                        case SEND: ring_sent(fd, cqe->res); break;
                        }
                }
                io_uring_cq_advance(&ring, count);
        }
}

int main(int argc, char **argv) {
        struct rlimit files;

        if (argc != 5) {
                fprintf(stderr, "usage: floor epoll|io_uring PORT BODY-BYTES keep|close\n");
                return 64;
        }
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        closes = strcmp(argv[4], "close") == 0;
        make_answers(strtoul(argv[3], NULL, 10));
        if (strcmp(argv[1], "epoll") == 0)
                run_epoll(listen_on((unsigned)atoi(argv[2])));
        else
                run_ring(listen_on((unsigned)atoi(argv[2])));
}

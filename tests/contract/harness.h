/* SPDX-License-Identifier: MIT */
#pragma once

#include "backends.h"
#include "scripted.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/*
 * What the cases of the contract stand on: a loop of the configuration under test, and peers, the
 * other ends of its connections, which the test plays. A case knows neither which backend it runs
 * on nor, unless it asks for it, whether the peers are the kernel's sockets or a scripted world's.
 */

struct configuration {
        const char *name;
        const struct loop_backend *backend;
        struct loop_options options;
};

struct fixture {
        struct loop *loop;
        struct scripted_world *world; /* NULL: the kernel's sockets */
        int pair_listener;
        unsigned descriptors; /* open before the fixture */
};

/* The one that main() was asked for. */
extern const struct configuration *configuration;

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

/* Errors: -errno of loop_new(). Made with the options of the configuration and this pool. */
int fixture_loop_new(struct offload_pool *pool, struct loop **ret);

/* ---- running ---- */

/* One turn that ends after so long at the latest. */
void turn(struct fixture *f, uint64_t usec);
/* Turn for so long (a scripted clock jumps). */
void run_for(struct fixture *f, uint64_t usec);
uint64_t real_usec(void);

enum { RUN_SEC_MAX = 20 };
/* Turn until it is so; `also` runs between two turns (a peer that reads). */
#define RUN_UNTIL_WITH(f, condition, also)                                              \
        for (uint64_t _end = real_usec() + RUN_SEC_MAX * USEC_PER_SEC; !(condition);) { \
                if (real_usec() > _end)                                                 \
                        fail_msg("never came true: %s", #condition);                    \
                also;                                                                   \
                turn(f, 1000);                                                          \
        }
#define RUN_UNTIL(f, condition) RUN_UNTIL_WITH(f, condition, (void)0)

/* ---- peers ---- */

struct peer {
        int fd; /* -1: none, or a scripted one */
        struct scripted_peer *scripted;
};

/* A connection: TCP, or where descriptors are to be passed, unix. Gives the loop's descriptor. */
int pair_open(struct fixture *f, struct peer *ret_peer);
int pair_open_unix(struct fixture *f, struct peer *ret_peer);

/* As send(2) and recv(2) without waiting; -errno. */
ssize_t peer_send(struct peer *p, const void *data, size_t size);
ssize_t peer_recv(struct peer *p, void *data, size_t size);
void peer_send_all(struct fixture *f, struct peer *p, const void *data, size_t size);
ssize_t peer_send_message(struct peer *p, const struct msghdr *message);
ssize_t peer_recv_message(struct peer *p, struct msghdr *message);
void peer_half_close(struct peer *p);
void peer_close(struct peer *p); /* also of one that is closed */
void peer_reset(struct peer *p);

int listener_open(struct fixture *f, unsigned backlog);
void listener_close(struct fixture *f, int fd);
struct sockaddr_storage listener_address(struct fixture *f, int fd, socklen_t *ret_size);
void peer_connect(struct fixture *f, int listener_fd, struct peer *ret);
/* The other end of what the loop has connected; waits for it. */
void peer_accept(struct fixture *f, int listener_fd, struct peer *ret);
int socket_open(struct fixture *f);               /* for loop_connect() */
void descriptor_close(struct fixture *f, int fd); /* one that no loop owns */

/* ---- operations ---- */

/* An operation that keeps count; zeroed is ready. */
struct tracked {
        struct loop_op op;
        unsigned done;
        int result;
        char data[64];                   /* what a recv brought, its beginning */
        size_t bytes;                    /* of all its recvs */
        void (*then)(struct tracked *t); /* runs within `done` */
        void *owner;
};
void tracked_done(struct loop_op *op);

/* Around what starts an operation: nothing may complete from inside. */
extern unsigned starting;
#define START(call)         \
        do {                \
                starting++; \
                call;       \
                starting--; \
        } while (0)

/* A socket that keeps count of its end. */
struct tracked_socket {
        struct loop_socket socket;
        unsigned closed;
        struct tracked read, write;
        void (*then)(struct tracked_socket *s);
};
void tracked_open(struct fixture *f, struct tracked_socket *s, struct peer *ret_peer);
void tracked_closed(struct loop_socket *socket);
void tracked_close(struct fixture *f, struct tracked_socket *s); /* and waits for it */

/* Byte `at` of a stream whose every part looks different, to find what is lost or doubled. */
char pattern(uint64_t at);
void pattern_fill(char *data, size_t size, uint64_t at);
bool pattern_matches(const char *data, size_t size, uint64_t at);

int receiving_run(void);
int sending_run(void);
int files_run(void);
int reading_files_run(void);
int closing_run(void);
int listening_run(void);
int waiting_run(void);
int timing_run(void);
int crowds_run(void);
int sharing_run(void);

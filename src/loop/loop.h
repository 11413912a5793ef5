/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/counters.h"
#include "base/list.h"
#include "base/macros.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/*
 * The one I/O interface. A caller starts an operation and is told, exactly once, when it is done.
 *
 * - `struct loop_op` is embedded in its owner; starting one allocates nothing. From the start to
 *   the
 *   call of `done` the operation, and all memory it names, belongs to the loop.
 * - `done` never runs from inside the call that starts the operation: completions go to a ready
 *   list
 *   and run from there, so nothing recurses. Within `done` the operation is idle and may be started
 *   again; any socket may be closed.
 * - A socket has at most one read-side operation (recv, recv_into, recv_message, wait for POLLIN or
 *   POLLRDHUP) and one write-side operation (send, send_message, send_file, connect, wait for
 *   POLLOUT).
 * - Cancelling is asynchronous: the operation still completes, with -ECANCELED or with its result.
 *   So `done` may bring bytes to a socket that is closing already: who starts anew looks first.
 * - The memory that holds a socket and its operations may be freed from the `closed` callback of
 *   loop_close() on, not before.
 * - Everything here belongs to the thread that made the loop, but for loop_post() and loop_stop().
 *
 * No result is ever -EAGAIN, -EINTR or -ENOBUFS of a full pool: the loop deals with those.
 */
struct loop;
struct loop_op;
struct loop_socket;
struct loop_listener;
struct loop_timer;
struct loop_message;
struct loop_backend;
struct offload_pool;

typedef void loop_done(struct loop_op *op);

enum loop_op_kind {
        LOOP_RECV = 1,
        LOOP_RECV_INTO,
        LOOP_RECV_MESSAGE,
        LOOP_SEND,
        LOOP_SEND_MESSAGE,
        LOOP_SEND_FILE, /* common code; a backend sees LOOP_WAIT in its place */
        LOOP_WAIT,
        LOOP_CONNECT,
        LOOP_POLL,
        LOOP_LISTEN, /* readiness of a listener */
        LOOP_DEFER,  /* common code; never reaches a backend */
};

enum loop_op_state { LOOP_OP_IDLE, LOOP_OP_PENDING, LOOP_OP_CANCELING, LOOP_OP_READY };

struct loop_op {
        struct loop_op *next;       /* private: a list of the loop's, or of the backend's */
        loop_done *done;            /* what runs at completion */
        struct loop_socket *socket; /* NULL where the operation has none */
        int result;                 /* see each start function; set before `done` */
        uint8_t kind, state;        /* enum loop_op_kind, enum loop_op_state; private */
        uint8_t flags, step;        /* private to the backend while pending; zero at start */
        /* clang-format off */
        union {
                /* RECV: lent while `done` runs. INTO: the caller's */
                struct { char *data; uint32_t size, id; } recv;
                struct { struct iovec *iov; uint32_t count; uint32_t more; size_t taken; } send;
                struct { struct msghdr *message; size_t taken; } message;
                struct { const struct sockaddr *address; socklen_t size; } connect;
                /* POLL, WAIT, LISTEN: poll(2)'s event bits */
                struct { int fd; uint32_t events; } poll;
        };
        /* clang-format on */
};

struct loop_socket {
        struct loop *loop;
        int fd;
        uint8_t closing;                /* loop_close() was called */
        uint8_t registered, ready, eof; /* the backend's; zero at first */
        struct loop_op *read, *write;   /* the operations under way, or NULL */
        struct loop_socket *next;       /* private: the list of closed sockets */
        void (*closed)(struct loop_socket *socket);
};

/* ---- the loop itself ---- */

enum loop_trigger { LOOP_TRIGGER_EDGE, LOOP_TRIGGER_LEVEL, LOOP_TRIGGER_ONESHOT };

/* Zero in a number means the default. */
struct loop_options {
        enum loop_trigger trigger; /* epoll only */
        unsigned sockets_max;      /* open at once; sizes io_uring's completion queue */
        unsigned ring_entries;     /* io_uring's submission queue; default 256, tests use 4 */
        unsigned buffer_bytes;     /* size of a lent receive buffer; default 4096 */
        unsigned buffers_min;      /* lent buffers at first; default 32 */
        unsigned buffers_max;      /* grown to; default 1024 */
        struct offload_pool *pool; /* NULL: offloaded work runs on the loop itself (tests) */
};

/* Figures of one loop; written by its thread, read by any. */
struct loop_counters {
        counter turns;     /* rounds of wait-and-run */
        counter ops;       /* operations completed */
        counter accepted;  /* connections accepted */
        counter starved;   /* receives that had to wait for a lent buffer */
        counter offloaded; /* jobs given to the pool */
        counter accept_failures;
};

/*
 * Make the calling thread's loop. It must be made, used and freed by one thread, after all
 * privileges are gone (a ring keeps the credentials of its maker).
 * Errors: -errno of the backend.
 */
int loop_new(const struct loop_backend *backend, const struct loop_options *options,
             struct loop **ret);

/* All sockets closed, all operations completed, or assert. Accepts NULL; gives NULL. */
struct loop *loop_free(struct loop *loop);
DEFINE_FREEP(struct loop, loop)

/* Turn until loop_stop(). Errors: -errno when the backend is broken (the loop is then unusable). */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* any thread; loop_run() returns after the turn under way */

/*
 * One turn: wait until `deadline_usec` at the latest (monotonic; 0 does not wait, USEC_INFINITY
 * waits for an event; timers are honoured in any case), then run what completed. Errors: as
 * loop_run().
 */
int loop_turn(struct loop *loop, uint64_t deadline_usec);

uint64_t loop_now_usec(const struct loop *loop); /* monotonic, read once a turn */
const uint64_t *loop_clock(const struct loop *loop);   /* where loop_now_usec() reads */
struct loop_counters *loop_counters(struct loop *loop);

/*
 * Since when the turn under way runs (monotonic), 0 while the loop waits. Any thread may ask, to
 * tell a loop that has time from one that is stuck.
 */
uint64_t loop_turning_since_usec(const struct loop *loop);

/* Nothing is alive or under way: no socket, listener, job, message: loop_free() is allowed. */
bool loop_is_quiet(const struct loop *loop);

/* ---- backends, bound by the linker ---- */

/* Best first, NULL last; defined beside the backends. */
extern const struct loop_backend *const loop_backends[];

/* NULL: no such backend was built. */
const struct loop_backend *loop_backend_find(const char *name);
const char *loop_backend_title(const struct loop_backend *backend); /* "epoll", "io_uring" */

enum { LOOP_REASON_BYTES = 256 };
/*
 * Can this backend run here and now, under the limits and filters in force? A functional test,
 * about a millisecond. Gives 0, or -errno and in `reason` why not, for a person ("io_uring_setup is
 * forbidden (EPERM): …").
 */
int loop_backend_check(const struct loop_backend *backend, char reason[static LOOP_REASON_BYTES]);

/* ---- sockets ---- */

/*
 * Take over `fd`, a connected or connecting stream socket that is non-blocking and close-on-exec.
 */
void loop_socket_init(struct loop *loop, struct loop_socket *socket, int fd);

/*
 * Cancel what is under way, close the descriptor, call `closed`. Both operations complete before
 * `closed` runs; no operation may be started after this call. Callable once.
 */
void loop_close(struct loop_socket *socket, void (*closed)(struct loop_socket *socket));

/* shutdown(2), at once. Errors: -errno. */
int loop_shutdown(struct loop_socket *socket, int how);

/*
 * Bytes handed to the kernel that the peer has not acknowledged (SIOCOUTQ), to see whether a slow
 * reader reads at all. Errors: -errno.
 */
int64_t loop_socket_unsent(struct loop_socket *socket);

/*
 * Receive what is there, into a buffer that the loop lends at completion; until then none is held.
 * result: bytes at op->recv.data, which are lent until `done` returns; 0 at the end of the stream;
 * -errno (-ECONNRESET, -ECANCELED, …).
 */
void loop_recv(struct loop_socket *socket, struct loop_op *op, loop_done *done);

/* As loop_recv(), into the caller's memory; may be short. */
void loop_recv_into(struct loop_socket *socket, struct loop_op *op, void *data, size_t size,
                    loop_done *done);

/*
 * recvmsg(2) with control data, once. `message` as for recvmsg(2); descriptors received are
 * close-on-exec. result: bytes, 0 at the end of the stream, -errno.
 */
void loop_recv_message(struct loop_socket *socket, struct loop_op *op, struct msghdr *message,
                       loop_done *done);

/*
 * Send all bytes of `iov`; the array is used up while the operation runs. `more`: further bytes
 * follow at once (MSG_MORE). result: 0 when the kernel has taken all, else -errno with
 * op->send.taken bytes taken. At most 64 parts.
 */
void loop_send(struct loop_socket *socket, struct loop_op *op, struct iovec *iov, unsigned count,
               bool more, loop_done *done);

/*
 * sendmsg(2) with control data, all bytes; the control data goes with the first of them, and
 * message->msg_iov is used up. result: as loop_send(), with op->message.taken.
 */
void loop_send_message(struct loop_socket *socket, struct loop_op *op, struct msghdr *message,
                       loop_done *done);

/*
 * Send a head from memory, then a range of a file, by sendfile(2); what is not in the page cache is
 * read by the pool first, so that a slow disk does not stall the loop.
 * result: 0 when all was taken; -ENODATA when the file ended early; else -errno. `sent` counts the
 * head's and the file's bytes as they go, and may be read at any time.
 */
struct loop_file_send {
        struct loop_op op;
        struct iovec *head; /* used up */
        unsigned head_count;
        int file;
        uint64_t offset, bytes; /* what is left of the range */
        uint64_t sent;
        loop_done *done; /* private from here on */
        struct loop_cold_read *cold;
        bool canceled, always_cold, always_warm;
};
void loop_send_file(struct loop_socket *socket, struct loop_file_send *send, loop_done *done);

/*
 * Wait for POLLIN or POLLRDHUP (read side), or POLLOUT (write side). POLLRDHUP alone tells of a
 * peer that has gone (or has shut down its side) while nothing is being received.
 * result: the events that came (POLLERR and POLLHUP among them), or -errno.
 */
void loop_wait(struct loop_socket *socket, struct loop_op *op, uint32_t events, loop_done *done);

/*
 * Connect; `address` must live until completion. result: 0 or -errno; -EBUSY when the queue of a
 * listening unix socket is full.
 */
void loop_connect(struct loop_socket *socket, struct loop_op *op, const struct sockaddr *address,
                  socklen_t size, loop_done *done);

/* ---- operations without a socket of the loop's ---- */

/*
 * Wait once for poll(2) events of any descriptor that can be polled. result: the events, or -errno.
 */
void loop_poll(struct loop *loop, struct loop_op *op, int fd, uint32_t events, loop_done *done);

/* Run `done` in the next turn: for work cut into pieces. result: 0. */
void loop_defer(struct loop *loop, struct loop_op *op, loop_done *done);

/* Ask for an early end. Allowed in any state; does nothing to an operation that is not pending. */
void loop_cancel(struct loop *loop, struct loop_op *op);

static inline bool loop_op_is_idle(const struct loop_op *op) {
        return op->state == LOOP_OP_IDLE;
}

/* ---- listening ---- */

/*
 * `accepted` owns `fd`, which is non-blocking and close-on-exec; `address` is borrowed for the
 * call. `trouble` hears of descriptors or memory running out (-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM:
 * the loop tries again after 100 ms) and of a listener that died (any other error: it is then
 * paused).
 */
typedef void loop_accepted(struct loop_listener *listener, int fd, const struct sockaddr *address,
                           socklen_t size);
typedef void loop_accept_trouble(struct loop_listener *listener, int error);

struct loop_timer {
        struct list link; /* private */
        uint64_t deadline_usec, slot_usec;
        void (*fired)(struct loop_timer *timer);
};

struct loop_listener {
        struct loop *loop;
        void *owner; /* the caller's, untouched */
        int fd;      /* borrowed; never closed by the loop */
        bool shared; /* other loops accept from it as well */
        bool paused, stopping;
        uint8_t registered; /* the backend's */
        loop_accepted *accepted;
        loop_accept_trouble *trouble;
        void (*stopped)(struct loop_listener *listener);
        struct loop_op op;
        struct loop_timer retry;
};

/*
 * Accept connections from `fd`, a non-blocking listening socket, at most 64 a turn, so that
 * connections spread over the loops that share it and none waits behind a busy loop.
 */
void loop_listen(struct loop *loop, struct loop_listener *listener, int fd, bool shared,
                 loop_accepted *accepted, loop_accept_trouble *trouble);

/*
 * Connections wait in the kernel's queue, or go to other loops. One connection more may come after
 * this call or after loop_listener_stop(): one that has already woken this loop, and so no other.
 */
void loop_listener_pause(struct loop_listener *listener);
void loop_listener_resume(struct loop_listener *listener);

/*
 * Stop for good; `stopped` runs later, when the loop has let go of it and its memory may be freed.
 * Another one may listen on the same descriptor from now on. Callable once.
 */
void loop_listener_stop(struct loop_listener *listener,
                        void (*stopped)(struct loop_listener *listener));

/* ---- timers ---- */

/*
 * A zeroed timer with `fired` set is ready for use. Setting a timer to a later time costs a store;
 * the timer runs at most 8 ms late and never early. From `fired` it may be set again, or freed.
 */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_usec);
void loop_timer_clear(struct loop_timer *timer);
static inline bool loop_timer_is_set(const struct loop_timer *timer) {
        return list_is_linked(&timer->link);
}

/* ---- from other threads, and to them ---- */

/*
 * Run `message->run` on the loop's thread soon, in order of posting; the message is the loop's
 * until then. Any thread, at any time before loop_free().
 */
struct loop_message {
        struct loop_message *next; /* private */
        void (*run)(struct loop_message *message);
};
void loop_post(struct loop *loop, struct loop_message *message);

/*
 * Run `work` on a thread of the pool, then `done` on the loop. A job cannot be cancelled: its owner
 * waits for `done`.
 */
struct loop_job {
        struct loop_message message; /* private */
        struct loop *loop;           /* private */
        void (*work)(struct loop_job *job);
        void (*done)(struct loop_job *job);
};
void loop_offload(struct loop *loop, struct loop_job *job, void (*work)(struct loop_job *job),
                  void (*done)(struct loop_job *job));

/*
 * Read `bytes` of a file at `offset` into `to`. Zeroed but for these four; kept for one file, it
 * knows what the file system can tell. loop_read_now() gives bytes, 0 at the end of the file,
 * -EAGAIN where it would have to wait for the disk, or -errno. Then loop_read_file() has the pool
 * read, and `result` is as that of pread(2), with -errno; it cannot be cancelled.
 */
struct loop_file_read {
        int file;
        uint64_t offset;
        size_t bytes;
        void *to;
        ssize_t result;
        bool always_warm, always_cold; /* private from here on */
        struct loop_job job;
        void (*done)(struct loop_file_read *read);
};
ssize_t loop_read_now(struct loop_file_read *read);
void loop_read_file(struct loop *loop, struct loop_file_read *read,
                    void (*done)(struct loop_file_read *read));

/*
 * Threads for what may block, shared by all loops; started when first needed, ended when idle 10 s.
 */
int offload_pool_new(unsigned threads_max, struct offload_pool **ret);
/* After all loops that use it are freed. Waits for the jobs under way. Accepts NULL; gives NULL. */
struct offload_pool *offload_pool_free(struct offload_pool *pool);
DEFINE_FREEP(struct offload_pool, offload_pool)

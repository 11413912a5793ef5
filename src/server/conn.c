/* SPDX-License-Identifier: MIT */
#include "server/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/invariant.h"

/*
 * After every event (bytes came, bytes were taken, a handler answered, time is up) a connection
 * goes through conn_advance(): send what the session has, receive if it wants bytes, set the one
 * deadline. Receiving and sending are under way at the same time, so that a kept-alive request
 * costs one turn.
 *
 * A connection that waits between two requests holds no buffer, no exchange and no output: they
 * come from the worker's pools when needed. It stands in the list `idle`, else in `busy`.
 *
 * States: OPEN -> LINGER (our side is shut down, what comes is dropped; RFC 9112, 9.6) -> CLOSING.
 */

enum conn_state { CONN_OPEN, CONN_LINGER, CONN_CLOSING };

enum {
        LINGER_BYTES_MAX =
                256 * 1024, /* dropped while lingering; more than that is not an accident */
        CONNS_KEPT = 128,   /* pooled blocks kept when idle; a guess */
        OUTPUTS_KEPT = 128,
};
#define LINGER_USEC    (2 * USEC_PER_SEC)
#define LAST_WORD_USEC USEC_PER_SEC /* for a 408 to be taken */
/* For a request that is on its way when a drain begins: on a new connection one surely is. */
#define DRAIN_FRESH_USEC  USEC_PER_SEC
#define DRAIN_LINGER_USEC (500 * USEC_PER_MSEC) /* a long way there and back */
#define DRAIN_IDLE_USEC   (100 * USEC_PER_MSEC)

/* What is being sent. */
struct conn_output {
        struct http_output out;
        struct loop_file_send send; /* its `op` serves for sends from memory and for yielding too */
        struct conn *conn;
        /* at the last look, to tell a slow reader from one that has stopped */
        int64_t progress_seen;
};

struct conn {
        struct loop_socket socket;
        struct loop_op receive;
        struct loop_timer deadline;
        struct list link;
        struct conn_set *set;
        struct conn_output *output; /* NULL: nothing is being sent */
        struct http1_session http;
        uint32_t lingered_bytes;
        int error; /* what the session is told when all is over */
        uint8_t state;
        uint8_t phase; /* of the session, when the deadline was set */
        bool input_ended, is_idle, something_came;
        bool timed_out;        /* it is told so, as the last thing */
        bool yielding, closed; /* closed while yielding: freed when the yield is over */
        uint8_t address_size;
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
                struct sockaddr_vm vm;
        } address;
};

static void conn_advance(struct conn *c);
static void conn_close(struct conn *c, int error);

static struct conn *conn_of_session(const struct http_session *s) {
        return container_of(s, struct conn, http.session);
}

static struct http_session *conn_session(struct conn *c) {
        return &c->http.session;
}

/* ---- deadlines ---- */

static void conn_set_deadline(struct conn *c, uint64_t from_now_usec) {
        loop_timer_set(c->set->loop, &c->deadline, loop_now_usec(c->set->loop) + from_now_usec);
}

/* How far the peer has got in taking what is being sent. */
static int64_t conn_progress(struct conn *c) {
        struct conn_output *o = c->output;
        int64_t unsent = loop_socket_unsent(&c->socket);
        uint64_t taken = o->out.file_bytes ? o->send.sent : o->send.op.send.taken;

        return (int64_t)taken - (unsent > 0 ? unsent : 0);
}

static void conn_look_at_deadline(struct conn *c) {
        const struct conn_limits *limits = &c->set->limits;
        const struct http_session *s = conn_session(c);
        bool phase_changed = s->phase != c->phase;
        bool something_came = c->something_came;

        c->phase = s->phase;
        c->something_came = false;
        if (c->output && !c->yielding)
                return; /* set when the send began */
        switch ((enum http_phase)s->phase) {
        case HTTP_PHASE_IDLE:
                if (phase_changed || something_came)
                        conn_set_deadline(c, s->requests ? limits->keep_alive_usec
                                                         : limits->head_timeout_usec);
                break;
        case HTTP_PHASE_HEAD:
                /* from the first byte: a byte now and then must not prolong it */
                if (phase_changed)
                        conn_set_deadline(c, limits->head_timeout_usec);
                break;
        case HTTP_PHASE_BODY:
                /* what nobody wants is not waited for longer because some of it came */
                if (phase_changed || (something_came && s->open))
                        conn_set_deadline(c, limits->body_timeout_usec);
                break;
        case HTTP_PHASE_ANSWER:
                loop_timer_clear(&c->deadline); /* the handler has deadlines of its own */
                break;
        }
}

static void conn_time_is_up(struct loop_timer *timer) {
        struct conn *c = container_of(timer, struct conn, deadline);
        struct http_session *s = conn_session(c);

        if (c->state == CONN_OPEN && c->output && !c->yielding && !c->timed_out) {
                int64_t progress = conn_progress(c);

                if (progress != c->output->progress_seen) {
                        c->output->progress_seen = progress;
                        conn_set_deadline(c, c->set->limits.send_timeout_usec);
                        return;
                }
        }
        if (c->state == CONN_OPEN && !c->output && !c->timed_out && s->protocol->time_out(s)) {
                c->timed_out = true;
                conn_advance(c);
                return;
        }
        conn_close(c, -ETIMEDOUT);
}

/* ---- idle or busy ---- */

/*
 * A connection is idle when it is accepted, so that at that moment the set never looks full: it
 * becomes so later, when the last idle one asks for something.
 */
static void conn_set_note_full(struct conn_set *set) {
        bool full = set->count >= set->limits.conns_max && list_is_empty(&set->idle);

        if (likely(full == set->full))
                return;
        set->full = full;
        set->full_changed(set);
}

static void conn_note_idle(struct conn *c) {
        bool idle =
                c->state == CONN_OPEN && !c->output && conn_session(c)->phase == HTTP_PHASE_IDLE;

        if (idle && c->is_idle)
                return;
        if (idle || c->is_idle) {
                list_remove(&c->link);
                list_append(idle ? &c->set->idle : &c->set->busy, &c->link);
        }
        c->is_idle = idle;
        conn_set_note_full(c->set);
}

/* ---- the end ---- */

static void conn_free(struct conn *c) {
        struct conn_set *set = c->set;

        /* not before: what the session lent was being sent until the last operation completed */
        conn_session(c)->protocol->finish(conn_session(c), c->error);
        pool_give(&set->outputs, c->output);
        pool_give(&set->conns, c);
        set->count--;
        counter_set(set->count_shown, set->count);
        conn_set_note_full(set);
        set->gone(set);
}

static void conn_closed(struct loop_socket *socket) {
        struct conn *c = container_of(socket, struct conn, socket);

        c->closed = true;
        if (!c->yielding)
                conn_free(c);
}

static void conn_close(struct conn *c, int error) {
        if (c->state == CONN_CLOSING)
                return;
        c->state = CONN_CLOSING;
        loop_timer_clear(&c->deadline);
        list_remove(&c->link);
        /*
         * an answer whose end only the close can tell must not look whole (RFC 9112, 8), and who
         * reads nothing leaves bytes that the kernel would keep for a long time
         */
        if (error && (conn_session(c)->ends_by_close || (error == -ETIMEDOUT && c->output)))
                setsockopt(c->socket.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                           sizeof(struct linger));
        c->error = error ? error : -ECONNRESET;
        loop_close(&c->socket, conn_closed);
}

/* The session gave up: a bug of ours if it says so, else the peer's fault or a lack of memory. */
static void conn_break(struct conn *c, int error) {
        if (error == -EBADMSG) {
                char peer[CONN_PEER_BYTES];

                conn_peer_name(conn_session(c), peer);
                c->set->broken(c->set, peer);
        }
        conn_close(c, error);
}

static void conn_receive_done(struct loop_op *op);

static void conn_linger(struct conn *c) {
        c->state = CONN_LINGER;
        conn_note_idle(c);
        if (c->input_ended || loop_shutdown(&c->socket, SHUT_WR) < 0) {
                conn_close(c, 0);
                return;
        }
        conn_set_deadline(c, c->set->draining ? DRAIN_LINGER_USEC : LINGER_USEC);
        if (loop_op_is_idle(&c->receive))
                loop_recv(&c->socket, &c->receive, conn_receive_done);
}

/* ---- receiving ---- */

static void conn_receive_done(struct loop_op *op) {
        struct conn *c = container_of(op, struct conn, receive);
        struct http_session *s = conn_session(c);
        int r;

        if (c->state == CONN_CLOSING)
                return;
        if (op->result < 0) {
                conn_close(c, op->result);
                return;
        }
        if (c->state == CONN_LINGER) {
                c->lingered_bytes += (uint32_t)op->result;
                if (op->result == 0 || c->lingered_bytes > LINGER_BYTES_MAX)
                        conn_close(c, 0);
                else
                        loop_recv(&c->socket, &c->receive, conn_receive_done);
                return;
        }
        if (op->result == 0) {
                c->input_ended = true;
                r = s->protocol->feed_end(s);
        } else {
                r = s->protocol->feed(s, (struct text){ op->recv.data, (size_t)op->result });
        }
        if (r < 0) {
                conn_break(c, r);
                return;
        }
        c->something_came = true;
        conn_advance(c);
}

/* ---- sending ---- */

static void conn_output_free(struct conn *c) {
        pool_give(&c->set->outputs, c->output);
        c->output = NULL;
}

static void conn_send_done(struct loop_op *op) {
        struct loop_file_send *send = container_of(op, struct loop_file_send, op);
        struct conn *c = container_of(send, struct conn_output, send)->conn;
        struct http_session *s = conn_session(c);

        if (c->state == CONN_CLOSING)
                return;
        if (op->result < 0) {
                conn_close(c, op->result);
                return;
        }
        conn_output_free(c);
        s->protocol->sent(s);
        c->phase = UINT8_MAX; /* whatever it waits for has its time from here on */
        conn_advance(c);
}

static void conn_yield_done(struct loop_op *op) {
        struct loop_file_send *send = container_of(op, struct loop_file_send, op);
        struct conn *c = container_of(send, struct conn_output, send)->conn;

        c->yielding = false;
        if (c->closed) {
                conn_free(c);
                return;
        }
        if (c->state == CONN_CLOSING)
                return;
        conn_output_free(c);
        conn_advance(c);
}

static struct conn_output *conn_output_take(struct conn *c) {
        struct conn_output *o = pool_take(&c->set->outputs);

        if (!o)
                return NULL;
        o->conn = c;
        o->send = (struct loop_file_send){};
        o->progress_seen = INT64_MIN;
        return o;
}

static void conn_send(struct conn *c) {
        struct conn_output *o = c->output;

        conn_set_deadline(c, c->timed_out ? LAST_WORD_USEC : c->set->limits.send_timeout_usec);
        if (!o->out.file_bytes) {
                loop_send(&c->socket, &o->send.op, o->out.parts, o->out.count, false,
                          conn_send_done);
                return;
        }
        o->send.head = o->out.parts;
        o->send.head_count = o->out.count;
        o->send.file = o->out.file;
        o->send.offset = o->out.file_offset;
        o->send.bytes = o->out.file_bytes;
        loop_send_file(&c->socket, &o->send, conn_send_done);
}

/* Ask the session what to send. False: the connection goes no further. */
static bool conn_send_more(struct conn *c) {
        struct http_session *s = conn_session(c);
        int r;

        c->output = conn_output_take(c);
        if (!c->output) {
                conn_close(c, -ENOMEM);
                return false;
        }
        r = s->protocol->output(s, &c->output->out);
        switch (r) {
        case HTTP_OUTPUT_SEND: conn_send(c); return true;
        case HTTP_OUTPUT_NONE:
                if (s->yielding) {
                        c->yielding = true;
                        loop_defer(c->set->loop, &c->output->send.op, conn_yield_done);
                } else {
                        conn_output_free(c);
                }
                return true;
        case HTTP_OUTPUT_CLOSE:
                conn_output_free(c);
                conn_close(c, 0);
                return false;
        case HTTP_OUTPUT_LINGER:
                conn_output_free(c);
                conn_linger(c);
                return false;
        default: conn_break(c, r); return false;
        }
}

static void conn_advance(struct conn *c) {
        struct http_session *s = conn_session(c);

        if (c->state != CONN_OPEN)
                return;
        if (!c->output && !conn_send_more(c))
                return;
        if (s->wants_input && !c->input_ended && loop_op_is_idle(&c->receive))
                loop_recv(&c->socket, &c->receive, conn_receive_done);
        conn_look_at_deadline(c);
        conn_note_idle(c);
}

static void conn_session_changed(struct http_session *s) {
        conn_advance(conn_of_session(s));
}

/* ---- the set ---- */

void conn_set_init(struct conn_set *set, struct loop *loop, struct http_context *http) {
        set->loop = loop;
        set->http = http;
        pool_init(&set->conns, sizeof(struct conn), CONNS_KEPT);
        pool_init(&set->outputs, sizeof(struct conn_output), OUTPUTS_KEPT);
        list_init(&set->idle);
        list_init(&set->busy);
}

void conn_set_finish(struct conn_set *set) {
        assert(set->count == 0);
        pool_finish(&set->conns);
        pool_finish(&set->outputs);
}

void conn_set_trim(struct conn_set *set) {
        pool_trim(&set->conns);
        pool_trim(&set->outputs);
}

bool conn_set_evict(struct conn_set *set) {
        if (list_is_empty(&set->idle))
                return false;
        conn_close(container_of(set->idle.next, struct conn, link), -EMFILE);
        return true;
}

int conn_accept(struct conn_set *set, int fd, const struct sockaddr *address, socklen_t size) {
        struct conn *c;

        if (set->count >= set->limits.conns_max)
                conn_set_evict(set);
        c = pool_take(&set->conns);
        if (!c) {
                fd_close(fd);
                return -ENOMEM;
        }
        *c = (struct conn){ .set = set, .phase = HTTP_PHASE_IDLE, .is_idle = true };
        c->address_size = (uint8_t)MIN((size_t)size, sizeof(c->address));
        if (c->address_size)
                memcpy(&c->address, address, c->address_size);
        c->deadline.fired = conn_time_is_up;
        loop_socket_init(set->loop, &c->socket, fd);
        http1_session_init(&c->http, set->http, conn_session_changed);
        conn_session(c)->close_soon = set->draining;
        list_append(&set->idle, &c->link);
        set->count++;
        counter_set(set->count_shown, set->count);
        loop_recv(&c->socket, &c->receive, conn_receive_done);
        conn_set_deadline(c, set->draining ? DRAIN_FRESH_USEC : set->limits.head_timeout_usec);
        conn_set_note_full(set);
        return 0;
}

void conn_set_drain(struct conn_set *set) {
        set->draining = true;
        list_for_each(at, &set->idle) {
                struct conn *c = container_of(at, struct conn, link);

                conn_session(c)->close_soon = true;
                conn_set_deadline(c,
                                  conn_session(c)->requests ? DRAIN_IDLE_USEC : DRAIN_FRESH_USEC);
        }
        list_for_each(at, &set->busy)
                conn_session(container_of(at, struct conn, link))->close_soon = true;
}

void conn_set_abort(struct conn_set *set) {
        set->draining = true;
        list_for_each_safe(at, &set->idle)
                conn_close(container_of(at, struct conn, link), -ESHUTDOWN);
        list_for_each_safe(at, &set->busy)
                conn_close(container_of(at, struct conn, link), -ESHUTDOWN);
}

bool conn_set_is_busy(const struct conn_set *set) {
        return !list_is_empty(&set->busy);
}

void conn_peer_name(const struct http_session *s, char out[static CONN_PEER_BYTES]) {
        const struct conn *c = conn_of_session(s);

        switch (c->address_size ? c->address.any.sa_family : AF_UNIX) {
        case AF_INET: inet_ntop(AF_INET, &c->address.v4.sin_addr, out, CONN_PEER_BYTES); return;
        case AF_INET6:
                /*
                 * a dual-stack socket shows IPv4 peers mapped; readers of logs expect the plain
                 * form
                 */
                if (IN6_IS_ADDR_V4MAPPED(&c->address.v6.sin6_addr))
                        inet_ntop(AF_INET, &c->address.v6.sin6_addr.s6_addr[12], out,
                                  CONN_PEER_BYTES);
                else
                        inet_ntop(AF_INET6, &c->address.v6.sin6_addr, out, CONN_PEER_BYTES);
                return;
        case AF_VSOCK: snprintf(out, CONN_PEER_BYTES, "vsock:%u", c->address.vm.svm_cid); return;
        default: snprintf(out, CONN_PEER_BYTES, "unix");
        }
}

/* SPDX-License-Identifier: MIT */
#include "server/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/invariant.h"
#include "http2/http2.h"
#include "server/conn-io.h"

/*
 * The life of a connection, its deadlines, and the sets it stands in; conn-io.h has the design.
 */

enum {
        CONNS_KEPT = 128, /* pooled blocks kept when idle; a guess */
        OUTPUTS_KEPT = 128,
};
#define LINGER_USEC (2 * USEC_PER_SEC)
/* For a request that is on its way when a drain begins: on a new connection one surely is. */
#define DRAIN_FRESH_USEC  USEC_PER_SEC
#define DRAIN_LINGER_USEC (500 * USEC_PER_MSEC) /* a long way there and back */
#define DRAIN_IDLE_USEC   (100 * USEC_PER_MSEC)

static struct conn *conn_of_session(const struct http_session *s) {
        return s->connection;
}

/* ---- deadlines ---- */

/* How far the peer has got in taking what is being sent. */
static int64_t conn_progress(struct conn *c) {
        struct conn_output *o = c->output;
        int64_t unsent = loop_socket_unsent(&c->socket);
        uint64_t taken = o->by_file_send ? o->send.sent : o->send.op.send.taken;

        return (int64_t)taken - (unsent > 0 ? unsent : 0);
}

static void conn_look_at_deadline(struct conn *c) {
        const struct conn_limits *limits = &c->set->limits;
        const struct http_session *s = c->session;
        bool phase_changed = s->phase != c->phase;
        bool something_came = c->something_came;

        c->phase = s->phase;
        c->something_came = false;
        if (c->output && !c->yielding)
                return; /* set when the send began */
        switch ((enum http_phase)s->phase) {
        case HTTP_PHASE_IDLE:
                /* a handshake and a first request have their time from the start, come what may */
                if (phase_changed || (something_came && s->requests))
                        conn_set_deadline(c, s->close_soon ? DRAIN_FRESH_USEC
                                             : s->requests ? limits->keep_alive_usec
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
        case HTTP_PHASE_WINDOW:
                if (phase_changed)
                        conn_set_deadline(c, limits->send_timeout_usec);
                break;
        }
}

static void conn_time_is_up(struct loop_timer *timer) {
        struct conn *c = container_of(timer, struct conn, deadline);
        struct http_session *s = c->session;
        int outcome = HTTP_TIME_OUT_CLOSE;

        if (conn_tls_is_shaking_hands(c)) {
                conn_close(c, -ETIMEDOUT);
                return;
        }
        if (c->state == CONN_OPEN && c->output && !c->yielding && !c->timed_out) {
                int64_t progress = conn_progress(c);

                if (progress != c->output->progress_seen) {
                        c->output->progress_seen = progress;
                        conn_set_deadline(c, c->set->limits.send_timeout_usec);
                        return;
                }
        }
        if (c->state == CONN_OPEN && !c->output && !c->timed_out)
                outcome = s->protocol->time_out(s);
        if (outcome == HTTP_TIME_OUT_CLOSE) {
                conn_close(c, -ETIMEDOUT);
                return;
        }
        c->timed_out = outcome == HTTP_TIME_OUT_ANSWERED;
        c->phase = UINT8_MAX; /* who goes on waiting has the time anew */
        conn_advance(c);
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
        bool idle = c->state == CONN_OPEN && !c->output && c->session->phase == HTTP_PHASE_IDLE;

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

void conn_free(struct conn *c) {
        struct conn_set *set = c->set;

        /* not before: what the session lent was being sent until the last operation completed */
        c->session->protocol->finish(c->session, c->error);
        if (c->session != &c->http.session)
                set->http2->session_free(c->session);
        if (c->output)
                conn_output_free(c);
        conn_tls_free(c);
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

void conn_close(struct conn *c, int error) {
        if (c->state == CONN_CLOSING)
                return;
        c->state = CONN_CLOSING;
        if (c->is_idle && (error == -ETIMEDOUT || error == -EMFILE || error == -ESHUTDOWN))
                conn_say_goodbye(c);
        loop_timer_clear(&c->deadline);
        list_remove(&c->link);
        /*
         * an answer whose end only the close can tell must not look whole (RFC 9112, 8), and who
         * reads nothing leaves bytes that the kernel would keep for a long time
         */
        if (error && (c->session->ends_by_close || (error == -ETIMEDOUT && c->output)))
                setsockopt(c->socket.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                           sizeof(struct linger));
        c->error = error ? error : -ECONNRESET;
        loop_close(&c->socket, conn_closed);
}

void conn_break(struct conn *c, int error) {
        if (error == -EBADMSG) {
                char peer[CONN_PEER_BYTES];

                conn_peer_name(c->session, peer);
                c->set->broken(c->set, peer);
        }
        conn_close(c, error);
}

void conn_linger(struct conn *c) {
        c->state = CONN_LINGER;
        conn_note_idle(c);
        if (c->input_ended || loop_shutdown(&c->socket, SHUT_WR) < 0) {
                conn_close(c, 0);
                return;
        }
        conn_set_deadline(c, c->set->draining ? DRAIN_LINGER_USEC : LINGER_USEC);
        conn_receive(c);
}

/* ---- what happens next ---- */

void conn_wait(struct conn *c) {
        if (c->session->wants_input && !c->input_ended && loop_op_is_idle(&c->receive))
                conn_receive(c);
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
        conn_tls_set_init(set);
        list_init(&set->idle);
        list_init(&set->busy);
}

void conn_set_finish(struct conn_set *set) {
        assert(set->count == 0);
        pool_finish(&set->conns);
        pool_finish(&set->outputs);
        conn_tls_set_finish(set);
}

void conn_set_trim(struct conn_set *set) {
        pool_trim(&set->conns);
        pool_trim(&set->outputs);
        pool_trim(&set->tls_conns);
        pool_trim(&set->tls_outputs);
}

bool conn_set_evict(struct conn_set *set) {
        if (list_is_empty(&set->idle))
                return false;
        conn_close(container_of(set->idle.next, struct conn, link), -EMFILE);
        return true;
}

/* What a new connection speaks: HTTP/1 until something else is agreed on. Errors: -ENOMEM. */
static int conn_begin(struct conn *c, bool tls) {
        http1_session_init(&c->http, c->set->http, conn_session_changed);
        c->session = &c->http.session;
        c->session->connection = c;
        c->session->close_soon = c->set->draining;
        if (tls)
                return conn_tls_begin(c);
        c->may_be_http2 = c->set->http2_plain;
        return 0;
}

int conn_take_http2(struct conn *c) {
        struct http_session *s;
        int r = c->set->http2->session_new(c->set->http, conn_session_changed, &s);

        if (r < 0)
                return r;
        s->connection = c;
        s->close_soon = c->session->close_soon;
        s->tls = c->session->tls;
        c->session = s;
        return 0;
}

int conn_accept(struct conn_set *set, int fd, const struct sockaddr *address, socklen_t size,
                bool tls) {
        struct conn *c;

        if (set->count >= set->limits.conns_max)
                conn_set_evict(set);
        c = pool_take(&set->conns);
        if (c)
                *c = (struct conn){ .set = set, .phase = HTTP_PHASE_IDLE, .is_idle = true };
        if (!c || conn_begin(c, tls) < 0) {
                pool_give(&set->conns, c);
                fd_close(fd);
                return -ENOMEM;
        }
        c->address_size = (uint8_t)MIN((size_t)size, sizeof(c->address));
        if (c->address_size)
                memcpy(&c->address, address, c->address_size);
        c->deadline.fired = conn_time_is_up;
        loop_socket_init(set->loop, &c->socket, fd);
        list_append(&set->idle, &c->link);
        set->count++;
        counter_set(set->count_shown, set->count);
        conn_receive(c);
        conn_set_deadline(c, set->draining ? DRAIN_FRESH_USEC : set->limits.head_timeout_usec);
        conn_set_note_full(set);
        return 0;
}

/* Who can say more about it than the last answer does, says it now: GOAWAY (RFC 9113, 6.8). */
static void conn_close_soon(struct conn *c) {
        c->session->close_soon = true;
        if (c->session != &c->http.session && !c->output)
                conn_advance(c);
}

void conn_set_drain(struct conn_set *set) {
        set->draining = true;
        list_for_each_safe(at, &set->idle) {
                struct conn *c = container_of(at, struct conn, link);

                if (c->session != &c->http.session) {
                        conn_close_soon(c);
                        continue;
                }
                c->session->close_soon = true;
                conn_set_deadline(c, c->session->requests ? DRAIN_IDLE_USEC : DRAIN_FRESH_USEC);
        }
        list_for_each_safe(at, &set->busy)
                conn_close_soon(container_of(at, struct conn, link));
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

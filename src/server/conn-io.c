/* SPDX-License-Identifier: MIT */
#include "server/conn-io.h"

#include <errno.h>

#include "http2/http2.h"

/*
 * Bytes of a connection's socket: to the session as they come, and from it as there is room.
 */

enum {
        LINGER_BYTES_MAX =
                256 * 1024, /* dropped while lingering; more than that is not an accident */
};

/* ---- receiving ---- */

/*
 * A client that knows that we speak HTTP/2 begins with the preface (RFC 9113, 3.4). Its bytes need
 * not be kept while they come: they are known.
 */
static int conn_feed_first(struct conn *c, struct text data) {
        size_t n = MIN(data.size, (size_t)HTTP2_PREFACE_BYTES - c->preface_bytes);
        struct text before = { HTTP2_PREFACE, c->preface_bytes };
        int r = 0;

        if (memcmp(HTTP2_PREFACE + c->preface_bytes, data.data, n) == 0) {
                c->preface_bytes += (uint8_t)n;
                if (c->preface_bytes < HTTP2_PREFACE_BYTES)
                        return 0;
                before.size = HTTP2_PREFACE_BYTES;
                data.data += n, data.size -= n;
                r = conn_take_http2(c);
        }
        c->may_be_http2 = false;
        if (r == 0 && before.size)
                r = c->session->protocol->feed(c->session, before);
        if (r == 0 && data.size)
                r = c->session->protocol->feed(c->session, data);
        return r;
}

static int conn_feed(struct conn *c, struct text data) {
        if (unlikely(c->may_be_http2))
                return conn_feed_first(c, data);
        return c->session->protocol->feed(c->session, data);
}

/* The peer ended its side. */
static int conn_feed_end(struct conn *c) {
        c->input_ended = true;
        if (unlikely(c->tls && conn_tls_is_shaking_hands(c)))
                return -ECONNRESET;
        return c->session->protocol->feed_end(c->session);
}

static void conn_receive_done(struct loop_op *op) {
        struct conn *c = container_of(op, struct conn, receive);
        struct text data = { op->recv.data, (size_t)op->result };
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
                        conn_receive(c);
                return;
        }
        if (op->result == 0)
                r = conn_feed_end(c);
        else
                r = likely(!c->tls) ? conn_feed(c, data)
                                    : conn_tls_take(c, op->recv.data, data.size);
        if (r < 0) {
                conn_break(c, r);
                return;
        }
        c->something_came = true;
        conn_advance(c);
}

void conn_receive(struct conn *c) {
        if (loop_op_is_idle(&c->receive))
                loop_recv(&c->socket, &c->receive, conn_receive_done);
}

/* ---- sending ---- */

void conn_output_init(struct conn *c, struct conn_output *o) {
        o->conn = c;
        o->send = (struct loop_file_send){};
        o->by_file_send = false;
        o->progress_seen = INT64_MIN;
        c->output = o;
}

void conn_output_free(struct conn *c) {
        if (unlikely(c->tls))
                conn_tls_output_free(c);
        else
                pool_give(&c->set->outputs, c->output);
        c->output = NULL;
}

static void conn_send_done(struct loop_op *op) {
        struct loop_file_send *send = container_of(op, struct loop_file_send, op);
        struct conn *c = container_of(send, struct conn_output, send)->conn;
        struct http_session *s = c->session;

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

static void conn_send(struct conn *c) {
        struct conn_output *o = c->output;

        conn_set_deadline(c, c->timed_out ? LAST_WORD_USEC : c->set->limits.send_timeout_usec);
        if (!o->out.file_bytes) {
                loop_send(&c->socket, &o->send.op, o->out.parts, o->out.count, false,
                          conn_send_done);
                return;
        }
        o->by_file_send = true;
        o->send.head = o->out.parts;
        o->send.head_count = o->out.count;
        o->send.file = o->out.file;
        o->send.offset = o->out.file_offset;
        o->send.bytes = o->out.file_bytes;
        loop_send_file(&c->socket, &o->send, conn_send_done);
}

bool conn_last_word(struct conn *c, struct http_output *ret) {
        struct http_session *s = c->session;

        return s != &c->http.session && s->protocol->time_out(s) == HTTP_TIME_OUT_ANSWERED &&
               s->protocol->output(s, ret) == HTTP_OUTPUT_SEND;
}

/* It is said where the kernel has room for it: nobody waits for the end of an idle connection. */
void conn_say_goodbye(struct conn *c) {
        struct http_output last;
        struct msghdr message = { .msg_iov = last.parts };

        if (unlikely(c->tls)) {
                conn_tls_say_goodbye(c);
        } else if (!c->output && conn_last_word(c, &last)) {
                message.msg_iovlen = last.count;
                (void)sendmsg(c->socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
}

bool conn_do_outcome(struct conn *c, int outcome) {
        switch (outcome) {
        case HTTP_OUTPUT_NONE:
                if (c->session->yielding) {
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
        case HTTP_OUTPUT_SHUT:
                conn_output_free(c);
                if (loop_shutdown(&c->socket, SHUT_WR) == 0)
                        return true;
                conn_close(c, -ECONNRESET);
                return false;
        case HTTP_OUTPUT_LINGER:
                conn_output_free(c);
                conn_linger(c);
                return false;
        default: conn_break(c, outcome); return false;
        }
}

/* Ask for what is to be sent, and send it. False: the connection goes no further. */
static bool conn_send_more(struct conn *c) {
        struct conn_output *o;
        int r;

        if (unlikely(c->tls))
                return conn_tls_send_more(c);
        o = pool_take(&c->set->outputs);
        if (!o) {
                conn_close(c, -ENOMEM);
                return false;
        }
        conn_output_init(c, o);
        r = c->session->protocol->output(c->session, &o->out);
        if (r != HTTP_OUTPUT_SEND)
                return conn_do_outcome(c, r);
        conn_send(c);
        return true;
}

void conn_advance(struct conn *c) {
        if (c->state != CONN_OPEN)
                return;
        if (c->output || conn_send_more(c))
                conn_wait(c);
}

/* SPDX-License-Identifier: MIT */
#include "server/conn-tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/*
 * What lies between the socket and the session where there is TLS: ciphertext that came is given to
 * the stream, and what it makes of it to the session; what the session has to say is encrypted, as
 * much as fits one send, and the stream's output is sent. The stream may have something of its own
 * to send at any time: a handshake, an alert.
 *
 * The stream is made when the first bytes have come: who connects and says nothing costs no more
 * than in clear. A handshake has its time from when the connection was accepted, whatever is sent
 * in it.
 *
 * A file's bytes are read into the set's room, as much as goes into one send. What is not in the
 * page cache is read by the pool, into memory of the output's own; the connection waits for it as
 * for a send, and lives until it is done. Long ones may be left to the kernel: conn-tls-kernel.c.
 */

enum {
        TLS_CONNS_KEPT = 128, /* pooled blocks kept when idle; guesses */
        TLS_OUTPUTS_KEPT = 128,
        SEND_BYTES = 64 * 1024, /* encrypted at once; little more lies between us and the client */
};

/* ---- its life ---- */

void conn_tls_set_init(struct conn_set *set) {
        pool_init(&set->tls_conns, sizeof(struct conn_tls), TLS_CONNS_KEPT);
        pool_init(&set->tls_outputs, sizeof(struct conn_tls_output), TLS_OUTPUTS_KEPT);
}

void conn_tls_set_finish(struct conn_set *set) {
        pool_finish(&set->tls_conns);
        pool_finish(&set->tls_outputs);
        free(set->room);
        set->room = NULL;
}

int conn_tls_begin(struct conn *c) {
        struct conn_set *set = c->set;
        struct conn_tls *t;

        if (!set->room)
                set->room = malloc(CONN_ROOM_BYTES);
        t = set->room ? pool_take(&set->tls_conns) : NULL;
        if (!t)
                return -ENOMEM;
        *t = (struct conn_tls){};
        c->tls = t;
        c->session->tls = true;
        return 0;
}

void conn_tls_free(struct conn *c) {
        if (!c->tls)
                return;
        if (c->tls->stream)
                tls_of(c)->stream_free(c->tls->stream);
        pool_give(&c->set->tls_conns, c->tls);
        c->tls = NULL;
}

bool conn_tls_is_shaking_hands(const struct conn *c) {
        return c->tls && !c->tls->opened;
}

uint64_t conn_client_rules(const struct http_session *s) {
        const struct conn *c = s->connection;

        return c->tls && c->tls->stream ? (uintptr_t)c->tls->stream->site : 0;
}

/*
 * It is closed between two requests: that this is the end, and no cut, is said where the kernel has
 * room for it.
 */
void conn_tls_say_goodbye(struct conn *c) {
        struct conn_tls *t = c->tls;
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        struct msghdr message = { .msg_iov = parts };
        char control[CMSG_SPACE(sizeof(uint8_t))] = "";
        struct http_output last;

        if (!t->opened || t->broken || t->ended || c->output || t->stream->has_output)
                return;
        t->ended = true;
        if (conn_last_word(c, &last))
                (void)tls_of(c)->write(t->stream, last.parts, last.count);
        tls_of(c)->end(t->stream);
        message.msg_iovlen = tls_of(c)->output(t->stream, parts);
        if (t->stream->kernel_writes)
                conn_tls_kernel_mark(&message, control, t->stream->output_type);
        if (message.msg_iovlen)
                (void)sendmsg(c->socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- receiving ---- */

/*
 * Nothing more is said to each other but the alert that may stand in the output. What still comes
 * is taken and dropped: closed over, it would have the kernel reset the connection, and the alert
 * would be lost.
 */
static int conn_tls_broke(struct conn *c, int error) {
        char peer[CONN_PEER_BYTES];

        if (log_wants(LOG_LEVEL_DEBUG)) {
                conn_peer_name(c->session, peer);
                log_debug("TLS with %s was ended: %s", peer, tls_of(c)->why(c->tls->stream));
        }
        c->tls->broken = error;
        conn_tls_kernel_stop(c);
        return 0;
}

/* By the certificates of the settings in force. Errors: -ENOMEM, -ENOENT: there are none. */
static int conn_tls_stream(struct conn *c) {
        struct conn_set *set = c->set;

        if (!set->tls_server)
                return -ENOENT;
        return set->tls->stream_new(set->tls_server, &c->tls->stream);
}

static int conn_tls_opened(struct conn *c) {
        c->tls->opened = true;
        c->phase = UINT8_MAX; /* the first request has its time from here on */
        return c->tls->stream->http2 && c->set->http2 ? conn_take_http2(c) : 0;
}

int conn_tls_take(struct conn *c, char *data, size_t size) {
        struct tls_stream *stream;
        int r = c->tls->stream ? 0 : conn_tls_stream(c);

        if (r < 0 || c->tls->broken)
                return r;
        stream = c->tls->stream;
        r = tls_of(c)->feed(stream, data, size);
        if (r == -EPROTO)
                return conn_tls_broke(c, r);
        if (r == 0 && !c->tls->opened && stream->state != TLS_HANDSHAKE)
                r = conn_tls_opened(c);
        while (r == 0) {
                struct text plain;

                r = tls_of(c)->read(stream, &plain);
                if (r == -EPROTO)
                        return conn_tls_broke(c, r);
                if (r < 0 || !plain.size)
                        break;
                r = c->session->protocol->feed(c->session, plain);
        }
        if (r == 0 && stream->state == TLS_ENDED && !c->input_ended) {
                c->input_ended = true;
                r = c->session->protocol->feed_end(c->session);
        }
        return r;
}

/* ---- what the session has to say ---- */

static void take_off(struct http_output *out, size_t bytes) {
        unsigned i = 0;

        while (i < out->count && bytes >= out->parts[i].iov_len)
                bytes -= out->parts[i++].iov_len;
        out->count -= i;
        memmove(out->parts, out->parts + i, out->count * sizeof(out->parts[0]));
        if (out->count) {
                out->parts[0].iov_base = (char *)out->parts[0].iov_base + bytes;
                out->parts[0].iov_len -= bytes;
                return;
        }
        out->file_offset += bytes;
        out->file_bytes -= bytes;
}

static void cold_read_done(struct loop_file_read *read) {
        struct conn_tls_output *o = container_of(read, struct conn_tls_output, read);
        struct conn *c = o->output.conn;

        c->yielding = o->reading = false;
        if (c->closed) {
                conn_free(c);
                return;
        }
        if (c->state == CONN_CLOSING)
                return;
        if (read->result <= 0) {
                conn_close(c, read->result < 0 ? (int)read->result : -ENODATA);
                return;
        }
        o->cold_at = 0;
        o->cold_has = (size_t)read->result;
        conn_tls_go_on(c);
}

/* Bytes of the file, in memory: their number, 0 when the pool has been asked, or -errno. */
static ssize_t file_bytes(struct conn *c, struct conn_tls_output *o, size_t most, char **ret) {
        struct loop_file_read *read = &o->read;
        ssize_t n;

        if (o->cold_has) {
                *ret = o->cold + o->cold_at;
                return (ssize_t)MIN(o->cold_has, most);
        }
        if (read->file != o->output.out.file)
                *read = (struct loop_file_read){ .file = o->output.out.file };
        read->offset = o->output.out.file_offset;
        read->bytes = most;
        read->to = *ret = c->set->room;
        n = loop_read_now(read);
        if (n != -EAGAIN)
                return n == 0 ? -ENODATA : n;
        if (!o->cold)
                o->cold = malloc(SEND_BYTES);
        if (!o->cold)
                return -ENOMEM;
        read->to = o->cold;
        o->reading = c->yielding = true;
        loop_read_file(c->set->loop, read, cold_read_done);
        return 0;
}

/*
 * Encrypt what the session gave, at most about `room` bytes. Gives their number; it is used up when
 * `has_plain` is false. -errno.
 */
static ssize_t conn_tls_encrypt(struct conn *c, struct conn_tls_output *o, size_t room) {
        struct http_output *out = &o->output.out;
        struct iovec iov[HTTP_OUTPUT_PARTS_MAX + 1];
        unsigned count = out->count;
        size_t head = 0;
        ssize_t n;

        for (unsigned i = 0; i < count; i++) {
                iov[i] = out->parts[i];
                head += iov[i].iov_len;
        }
        if (out->file_bytes && head < room) {
                size_t most = (size_t)MIN(out->file_bytes, (uint64_t)(room - head));
                char *data;

                n = file_bytes(c, o, most, &data);
                if (n <= 0)
                        return n;
                iov[count++] = (struct iovec){ data, (size_t)n };
        }
        n = tls_of(c)->write(c->tls->stream, iov, count);
        if (n < 0)
                return n;
        take_off(out, (size_t)n);
        if (o->cold_has && (size_t)n > head) {
                o->cold_at += (size_t)n - head;
                o->cold_has -= (size_t)n - head;
        }
        o->has_plain = out->count || out->file_bytes;
        return n;
}

/*
 * Fill the stream's output with what the session has. 0, or -errno; `outcome` says why it ended,
 * unless there is more (`has_plain`; which the kernel may encipher) or the pool reads.
 */
static int conn_tls_fill(struct conn *c, struct conn_tls_output *o) {
        size_t room = SEND_BYTES;
        ssize_t n;

        o->outcome = HTTP_OUTPUT_NONE;
        while (room > 0) {
                if (!o->has_plain) {
                        int r = c->session->protocol->output(c->session, &o->output.out);

                        o->outcome = r;
                        if (r != HTTP_OUTPUT_SEND)
                                return r < 0 ? r : 0;
                        o->has_plain = true;
                }
                if (conn_tls_kernel_takes(c, o))
                        return 0;
                n = conn_tls_encrypt(c, o, room);
                if (n < 0 || o->reading)
                        return n < 0 ? (int)n : 0;
                if (!o->has_plain)
                        c->session->protocol->sent(c->session);
                if (n == 0)
                        break;
                room -= MIN(room, (size_t)n);
        }
        return 0;
}

/* ---- sending ---- */

void conn_tls_output_free(struct conn *c) {
        struct conn_tls_output *o = conn_tls_output_of(c);

        free(o->cold);
        pool_give(&c->set->tls_outputs, o);
}

void conn_tls_send_done(struct loop_op *op) {
        struct loop_file_send *send = container_of(op, struct loop_file_send, op);
        struct conn *c = container_of(send, struct conn_output, send)->conn;

        if (c->state == CONN_CLOSING)
                return;
        if (op->result < 0) {
                conn_close(c, op->result);
                return;
        }
        if (!c->tls->stream->plain_http)
                tls_of(c)->sent(c->tls->stream);
        if (c->tls->opened)
                c->phase = UINT8_MAX; /* whatever it waits for has its time from here on */
        conn_tls_go_on(c);
}

static void conn_tls_send(struct conn *c, struct conn_tls_output *o) {
        unsigned count = tls_of(c)->output(c->tls->stream, o->parts);
        bool last = c->timed_out || c->tls->broken;

        if (c->tls->opened || last)
                conn_set_deadline(c, last ? LAST_WORD_USEC : c->set->limits.send_timeout_usec);
        if (c->tls->stream->kernel_writes) {
                conn_tls_kernel_send_alert(c, o, count);
                return;
        }
        loop_send(&c->socket, &o->output.send.op, o->parts, count, false, conn_tls_send_done);
}

/* Whoever wrote http:// with the port of https:// is told so in a way that they can read. */
static bool conn_tls_say_in_clear(struct conn *c, struct conn_tls_output *o) {
        static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                     "Content-Type: text/plain\r\n"
                                     "Content-Length: 45\r\n"
                                     "Connection: close\r\n\r\n"
                                     "This port speaks TLS; the address is https://";

        if (c->tls->ended)
                return conn_do_outcome(c, HTTP_OUTPUT_LINGER);
        c->tls->ended = true;
        o->parts[0] = (struct iovec){ (char *)answer, sizeof(answer) - 1 };
        conn_set_deadline(c, LAST_WORD_USEC);
        loop_send(&c->socket, &o->output.send.op, o->parts, 1, false, conn_tls_send_done);
        return true;
}

/* False: the connection goes no further. Not before something has come. */
static bool conn_tls_step(struct conn *c) {
        struct conn_tls_output *o = conn_tls_output_of(c);
        struct conn_tls *t = c->tls;
        int r = 0;

        if (t->stream->plain_http)
                return conn_tls_say_in_clear(c, o);
        if (!t->broken && t->opened && !t->ended)
                r = conn_tls_fill(c, o);
        if (r < 0) {
                conn_break(c, r);
                return false;
        }
        if (o->reading)
                return true;
        if (o->has_plain && !t->broken && t->stream->kernel_writes)
                return conn_tls_kernel_send(c, o);
        if (!o->has_plain && !t->ended &&
            (o->outcome == HTTP_OUTPUT_CLOSE || o->outcome == HTTP_OUTPUT_LINGER ||
             o->outcome == HTTP_OUTPUT_SHUT)) {
                t->ended = o->outcome != HTTP_OUTPUT_SHUT; /* what comes is still for the session */
                tls_of(c)->end(t->stream);
        }
        if (t->stream->has_output) {
                conn_tls_send(c, o);
                return true;
        }
        return conn_do_outcome(c, t->broken ? HTTP_OUTPUT_LINGER : o->outcome);
}

void conn_tls_go_on(struct conn *c) {
        if (conn_tls_step(c))
                conn_wait(c);
}

bool conn_tls_send_more(struct conn *c) {
        struct conn_tls_output *o = pool_take(&c->set->tls_outputs);

        if (!o) {
                conn_close(c, -ENOMEM);
                return false;
        }
        *o = (struct conn_tls_output){ .read.file = -1, .outcome = HTTP_OUTPUT_NONE };
        conn_output_init(c, &o->output);
        return conn_tls_step(c);
}

/* SPDX-License-Identifier: MIT */
#include "server/conn-tls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"

/*
 * Kernel TLS: the first long piece of a file makes a connection hand the keys that it writes with
 * to the kernel, between two records; from then on it sends as in clear, by sendfile(2). Before
 * that, and on most connections for ever, records are ours: they cost less for what is small, and
 * the kernel's part costs a few system calls and kilobytes a connection. HTTP/2 would send its
 * frames of 16 KiB with three calls each; there they stay ours, too.
 *
 * Where the kernel has no TLS, the first try says so, and this worker does not try again before the
 * next reload. The kernel loads the module for who has CAP_NET_ADMIN, which emberd has not.
 *
 * All sends are plain system calls, by loop_send_file() or with control data: a send that io_uring
 * is to complete (MSG_WAITALL) is refused by kernel TLS with EOPNOTSUPP.
 *
 * What the kernel has taken is enciphered and handed to TCP, as far as there is room; the rest of a
 * record waits in between until there is more. There it would be lost if the connection was closed,
 * or shut down, before. So a long send is over when TCP has room again, for that rest and the alert
 * that follows: both close(2) and the sending of another record then see to it that all goes.
 *
 * Records are counted, by an upper bound, since no more than 2^24.5 may be made with a key of
 * AES-GCM (RFC 8446, 5.5), and no kernel before 6.14 takes a second key: an answer of 64 GiB
 * is not left to the kernel, and after as much the next answer is the last of its connection.
 */

enum {
        FILE_BYTES_MIN = 256 * 1024, /* below, taking over costs more than it saves; a guess */
        RECORDS_MAX = 1 << 24,
        /* a record is full, but for the last of each call and where the socket was full */
        RECORD_BYTES_LEAST = TLS_RECORD_BYTES / 2,
        RECORDS_MORE = 2,
};

static uint64_t records_of(const struct http_output *out) {
        uint64_t bytes = out->file_bytes;

        for (unsigned i = 0; i < out->count; i++)
                bytes += out->parts[i].iov_len;
        return bytes / RECORD_BYTES_LEAST + RECORDS_MORE;
}

/* With what follows of the same answer: HTTP/1 alone comes here. */
static uint64_t records_of_answer(const struct conn *c, const struct http_output *out) {
        const struct exchange *x = c->http.exchange;
        uint64_t follow = 0;

        if (x && exchange_has_body(x) && x->body_left != EXCHANGE_LENGTH_UNKNOWN)
                follow = x->body_left / RECORD_BYTES_LEAST;
        return c->tls->kernel_records + records_of(out) + follow;
}

/* ---- taking over ---- */

/*
 * Linux 6.1 loses the end of a file at times although TCP had room (tests/vm: a client that stops
 * reading for a while); 6.12 and 7.3 do not. What lies between has not been tried.
 */
bool conn_tls_kernel_is_sound(void) {
        struct utsname name;
        unsigned major, minor;

        return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
               (major > 6 || (major == 6 && minor >= 12));
}

static int kernel_set_keys(struct conn *c) {
        static const char name[] = "tls";
        struct tls_stream *stream = c->tls->stream;
        unsigned char keys[TLS_KERNEL_KEYS_BYTES_MAX];
        ssize_t n = tls_of(c)->kernel_keys(stream, keys);
        int r = 0;

        if (n < 0)
                return (int)n;
        if (setsockopt(c->socket.fd, IPPROTO_TCP, TCP_ULP, name, sizeof(name) - 1) < 0) {
                r = -errno;
                if (r == -ENOENT) {
                        c->set->kernel_tls = false;
                        log_debug("the kernel has no TLS (the module tls is not loaded)");
                }
        } else if (setsockopt(c->socket.fd, SOL_TLS, TLS_TX, keys, (socklen_t)n) < 0) {
                r = -errno; /* the socket is as before */
                log_debug("the kernel does not take keys of TLS: %s", strerror(-r));
        }
        explicit_bzero(keys, sizeof(keys));
        return r;
}

bool conn_tls_kernel_takes(struct conn *c, struct conn_tls_output *o) {
        struct conn_tls *t = c->tls;

        if (t->stream->kernel_writes)
                return true;
        if (likely(o->output.out.file_bytes < FILE_BYTES_MIN) || !c->set->kernel_tls ||
            t->kernel_refused || t->stream->http2 ||
            records_of_answer(c, &o->output.out) > RECORDS_MAX / 2)
                return false;
        if (t->stream->has_output)
                return true;
        t->kernel_refused = kernel_set_keys(c) < 0;
        if (!t->kernel_refused)
                tls_of(c)->kernel_writes(t->stream);
        return !t->kernel_refused;
}

/* ---- sending ---- */

static struct conn *conn_of(struct loop_op *op) {
        struct loop_file_send *send = container_of(op, struct loop_file_send, op);

        return container_of(send, struct conn_output, send)->conn;
}

/* The kernel has taken all of it, and has room for more. */
static void kernel_took(struct loop_op *op) {
        struct conn *c = conn_of(op);

        if (c->state == CONN_CLOSING)
                return;
        if (!c->tls->broken) {
                if (op->result < 0) {
                        conn_close(c, op->result);
                        return;
                }
                conn_tls_output_of(c)->has_plain = false;
                c->session->protocol->sent(c->session);
                c->phase = UINT8_MAX; /* whatever it waits for has its time from here on */
        }
        conn_tls_go_on(c);
}

static void kernel_send_done(struct loop_op *op) {
        struct conn *c = conn_of(op);

        /* there was room for one record before */
        if (c->state == CONN_CLOSING || c->tls->broken || op->result < 0 ||
            c->output->send.sent <= TLS_RECORD_BYTES)
                kernel_took(op);
        else
                loop_wait(&c->socket, op, POLLOUT, kernel_took);
}

bool conn_tls_kernel_send(struct conn *c, struct conn_tls_output *o) {
        struct http_output *out = &o->output.out;
        struct loop_file_send *send = &o->output.send;

        if (records_of_answer(c, out) > RECORDS_MAX) {
                conn_close(c, -EOVERFLOW); /* before it has begun: the client asks anew */
                return false;
        }
        c->tls->kernel_records += records_of(out);
        if (c->tls->kernel_records > RECORDS_MAX / 2)
                c->session->close_soon = true;
        conn_set_deadline(c, c->timed_out ? LAST_WORD_USEC : c->set->limits.send_timeout_usec);
        o->output.by_file_send = true;
        send->head = out->parts;
        send->head_count = out->count;
        send->file = out->file;
        send->offset = out->file_offset;
        send->bytes = out->file_bytes;
        loop_send_file(&c->socket, send, kernel_send_done);
        return true;
}

void conn_tls_kernel_mark(struct msghdr *message, char *control, uint8_t type) {
        struct cmsghdr *header;

        message->msg_control = control;
        message->msg_controllen = CMSG_SPACE(sizeof(type));
        header = CMSG_FIRSTHDR(message);
        *header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(type)),
                                    .cmsg_level = SOL_TLS,
                                    .cmsg_type = TLS_SET_RECORD_TYPE };
        memcpy(CMSG_DATA(header), &type, sizeof(type));
}

void conn_tls_kernel_send_alert(struct conn *c, struct conn_tls_output *o, unsigned count) {
        o->message = (struct msghdr){ .msg_iov = o->parts, .msg_iovlen = count };
        conn_tls_kernel_mark(&o->message, o->control, c->tls->stream->output_type);
        loop_send_message(&c->socket, &o->output.send.op, &o->message, conn_tls_send_done);
}

void conn_tls_kernel_stop(struct conn *c) {
        bool sends = c->tls->stream->kernel_writes && c->output;

        if (sends && conn_tls_output_of(c)->has_plain)
                loop_cancel(c->set->loop, &c->output->send.op);
}

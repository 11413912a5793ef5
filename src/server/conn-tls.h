/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/conn-io.h"
#include "tls/tls.h"

/* A connection with TLS from inside, for conn-tls.c and, where the kernel enciphers,
   conn-tls-kernel.c. */

struct conn_tls {
        struct tls_stream *stream; /* NULL: nothing has come yet */
        uint64_t kernel_records;   /* that the kernel has made at most */
        int broken;                /* to be closed with, once the alert was sent */
        bool opened, ended;
        bool kernel_refused; /* it does not encipher for this connection */
};

struct conn_tls_output {
        struct conn_output output; /* its `out`: what of the session's is not encrypted yet */
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        struct loop_file_read read;
        char *cold;      /* what the pool reads into */
        size_t cold_has; /* bytes read there, not encrypted yet */
        size_t cold_at;
        int outcome;    /* of the session's output() */
        bool has_plain; /* `out` is not used up */
        bool reading;
        struct msghdr message; /* of a record that is not data */
        char control[CMSG_SPACE(sizeof(uint8_t))];
};

static inline const struct tls_module *tls_of(const struct conn *c) {
        return c->set->tls;
}

static inline struct conn_tls_output *conn_tls_output_of(struct conn *c) {
        return container_of(c->output, struct conn_tls_output, output);
}

/* conn-tls.c */
void conn_tls_go_on(struct conn *c);
void conn_tls_send_done(struct loop_op *op);

/* conn-tls-kernel.c */
/*
 * Is the session's output for the kernel to encipher? It may become so here. True also where what
 * the stream has enciphered must be sent before.
 */
bool conn_tls_kernel_takes(struct conn *c, struct conn_tls_output *o);
/* Send what the session gave. False: the connection goes no further. */
bool conn_tls_kernel_send(struct conn *c, struct conn_tls_output *o);
/* Send the stream's own output, in `parts`; conn_tls_send_done() follows. */
void conn_tls_kernel_send_alert(struct conn *c, struct conn_tls_output *o, unsigned count);
/* `message` is to be one record of this type. `control` has CMSG_SPACE(1) bytes, and stays. */
void conn_tls_kernel_mark(struct msghdr *message, char *control, uint8_t type);
/* The connection has broken: what of the session's is being sent need not be sent whole. */
void conn_tls_kernel_stop(struct conn *c);

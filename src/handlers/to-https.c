/* SPDX-License-Identifier: MIT */
#include "handlers/handler.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"

/*
 * RedirectToHTTPS=: the same address by TLS, on its usual port, whatever was asked for; 308 keeps
 * the method (RFC 9110, 15.4.9).
 */
struct to_https {
        struct buffer fields;
};

_Static_assert(sizeof(struct to_https) <= EXCHANGE_STATE_BYTES, "fits the exchange");

static struct to_https *to_https_of(struct exchange *x) {
        return (struct to_https *)x->state;
}

static void to_https_start(struct exchange *x) {
        const struct http_request *r = &x->request;
        struct text host = http_span_text(r, r->host), path = http_span_text(r, r->path),
                    query = http_span_text(r, r->query);
        struct buffer *b = &to_https_of(x)->fields;

        if (!host.size || !path.size || path.data[0] != '/') {
                exchange_refuse(x, 400, (struct text){});
                return;
        }
        buffer_printf(b, "Location: https://%.*s%.*s%s%.*s\r\n", TEXT_ARGS(host), TEXT_ARGS(path),
                      query.size ? "?" : "", TEXT_ARGS(query));
        if (b->failed)
                exchange_fail(x, -ENOMEM);
        else
                exchange_refuse(x, 308, buffer_text(b));
}

static void to_https_finish(struct exchange *x) {
        buffer_finish(&to_https_of(x)->fields);
}

const struct exchange_handler to_https_handler = {
        .name = "to-https",
        .takes_upgrade = true, /* sent there as others are */
        .start = to_https_start,
        .finish = to_https_finish,
};

/* SPDX-License-Identifier: MIT */
#include "http/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "http/session.h"
#include "http/status.h"

/*
 * The handler's calls become marks in the exchange, and the carrier is told; it acts on them when
 * it is safe to. So a handler may call from anywhere, also from inside its own functions.
 *
 * A handler that breaks the rules is a bug of ours that concerns one exchange: that exchange fails.
 * One that is finished is left alone, as far as its memory still tells.
 */

static bool exchange_is_open(const struct exchange *x) {
        return invariant(!x->finished);
}

static void fail(struct exchange *x, int error) {
        if (!x->failed) {
                x->failed = true;
                x->error = error;
        }
        x->carrier->failed(x);
}

void exchange_fail(struct exchange *x, int error) {
        if (exchange_is_open(x))
                fail(x, invariant(error < 0) ? error : -EBADMSG);
}

static bool lines_are_whole(struct text fields) {
        return fields.size == 0 || fields.data[fields.size - 1] == '\n';
}

void exchange_answer(struct exchange *x, unsigned status, struct text fields, uint64_t body_bytes) {
        if (!exchange_is_open(x))
                return;
        if (!invariant(x->status == 0) || !invariant(status >= 200 && status <= 599) ||
            !invariant(lines_are_whole(fields))) {
                fail(x, -EBADMSG);
                return;
        }
        x->status = (uint16_t)status;
        x->fields = fields;
        x->body_bytes = x->body_left = body_bytes;
        x->carrier->answered(x);
}

void exchange_accept_upgrade(struct exchange *x, struct text fields) {
        if (!exchange_is_open(x))
                return;
        if (!invariant(x->status == 0) || !invariant(lines_are_whole(fields)) ||
            !invariant(x->request.protocol.size) ||
            !invariant(x->handler->takes_upgrade && x->handler->body && x->handler->pull)) {
                fail(x, -EBADMSG);
                return;
        }
        x->upgraded = true;
        x->status = x->request.version_major == 1 ? 101 : 200;
        x->fields = fields;
        x->body_bytes = x->body_left = EXCHANGE_LENGTH_UNKNOWN;
        x->carrier->upgraded(x);
}

void exchange_refuse(struct exchange *x, unsigned status, struct text fields) {
        struct text reason = http_status_reason(status);
        int n;

        if (!exchange_is_open(x))
                return;
        if (x->status == 0) {
                n = snprintf(x->page, sizeof(x->page),
                             "<!DOCTYPE html>\n<title>%u %.*s</title>\n<h1>%u %.*s</h1>\n", status,
                             TEXT_ARGS(reason), status, TEXT_ARGS(reason));
                x->page_bytes = (uint8_t)MIN(n, UINT8_MAX);
                x->page_fields = TEXT("Content-Type: text/html\r\n");
                x->refused = true;
        }
        exchange_answer(x, status, fields, x->page_bytes);
}

void exchange_wake(struct exchange *x) {
        if (exchange_is_open(x))
                x->carrier->woken(x);
}

void exchange_want_body(struct exchange *x) {
        if (!exchange_is_open(x))
                return;
        if (!invariant(x->handler->body && (!x->request.protocol.size || x->upgraded)))
                fail(x, -EBADMSG);
        else
                x->carrier->want_body(x);
}

/* ---- for carriers ---- */

static const struct exchange_handler refusal = { .name = "refusal" };

struct exchange *exchange_new(struct http_session *s, const struct exchange_carrier *carrier) {
        struct exchange *x = pool_take(&s->context->exchanges);

        if (!x)
                return NULL;
        /*
         * most of it is large and set before it is read: clearing it whole would cost more than
         * parsing
         */
        x->handler = &refusal;
        x->carrier = carrier;
        x->session = s;
        x->owner = NULL;
        x->worker = NULL;
        x->route = NULL;
        x->status = 0;
        x->started = x->finished = x->failed = x->refused = x->upgraded = false;
        x->page_bytes = 0;
        x->fields = x->page_fields = x->route_fields = (struct text){};
        x->body_bytes = 0;
        x->error = 0;
        x->started_usec = *s->context->now_usec;
        x->sent_bytes = 0;
        x->head_heap = NULL;
        return x;
}

struct exchange *exchange_free(struct exchange *x) {
        if (x) {
                free(x->head_heap);
                pool_give(&x->session->context->exchanges, x);
        }
        return NULL;
}

void exchange_begin(struct exchange *x) {
        x->session->requests++;
        x->session->open++;
}

void exchange_start(struct exchange *x) {
        memset(x->state, 0, sizeof(x->state));
        x->started = true;
        x->handler->start(x);
}

unsigned exchange_answer_ourselves(struct exchange *x) {
        struct http_request *request = &x->request;
        bool tunnel_is_wanted = request->protocol.size && !x->handler->takes_upgrade;
        unsigned status = 0;

        if (tunnel_is_wanted && request->version_major == 1) {
                request->protocol = (struct http_span){};
                tunnel_is_wanted = false;
        }
        if (request->wants_tls && !x->session->tls)
                status = 421; /* RFC 9110, 7.4 */
        else if (request->expects_other)
                status = 417;
        else if (request->body_kind == HTTP_BODY_LENGTH &&
                 request->body_bytes > x->session->context->limits.body_bytes_max)
                status = 413;
        else if (request->method == HTTP_CONNECT || request->method == HTTP_TRACE ||
                 tunnel_is_wanted)
                status = 501;
        else if (request->method == HTTP_OPTIONS &&
                 text_equal(http_span_text(request, request->path), TEXT("*")))
                status = 204;
        if (!status)
                return 0;
        exchange_take_over(x, 0);
        if (status == 204)
                exchange_answer(x, 204, TEXT("Allow: GET, HEAD, OPTIONS\r\n"), 0);
        else
                exchange_refuse(x, status, (struct text){});
        return status;
}

void exchange_refuse_unparsed(struct exchange *x, unsigned status) {
        memset(&x->request, 0, offsetof(struct http_request, fields));
        x->request.head = "";
        x->request.version_major = 1;
        x->request.version_minor = 1;
        exchange_begin(x);
        exchange_refuse(x, status, (struct text){});
}

void exchange_end(struct exchange *x, int error) {
        struct http_session *s = x->session;

        x->finished = true;
        if (error)
                x->error = error;
        if (x->started && x->handler->finish)
                x->handler->finish(x);
        /* the last: who counts the users of a route may let go of it here */
        if (s->context->finished)
                s->context->finished(s, x);
        s->open--;
        exchange_free(x);
}

void exchange_take_over(struct exchange *x, int error) {
        x->finished = true;
        x->error = error;
        if (x->started && x->handler->finish)
                x->handler->finish(x);
        x->handler = &refusal;
        x->started = x->finished = x->failed = false;
        x->error = 0;
}

int exchange_keep_head(struct exchange *x) {
        size_t size = x->request.head_bytes;
        char *memory = x->head_room;

        if (size > sizeof(x->head_room)) {
                memory = x->head_heap = malloc(size);
                if (!memory)
                        return -ENOMEM;
        }
        if (size)
                memcpy(memory, x->request.head, size);
        x->request.head = memory;
        return 0;
}

static int pull_page(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        uint64_t taken = x->page_bytes - x->body_left;

        *ret = (struct exchange_piece){ .data = x->page + taken, .bytes = room_bytes };
        return 0;
}

/* A piece that is not the whole rest: does it fit to what was promised? */
static int piece_take(struct exchange *x, struct exchange_piece *piece, uint64_t room_bytes) {
        /* without bytes and without an end it would be asked for ever */
        if (!invariant(piece->bytes <= room_bytes) || !invariant(piece->bytes || piece->last))
                return -EBADMSG;
        if (x->body_left == EXCHANGE_LENGTH_UNKNOWN)
                return 0;
        if (!invariant(!piece->last))
                return -EBADMSG;
        x->body_left -= piece->bytes;
        return 0;
}

int exchange_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        int r;

        if (!invariant(x->refused || x->handler->pull))
                return -EBADMSG;
        room_bytes = MIN(room_bytes, x->body_left);
        r = unlikely(x->refused) ? pull_page(x, room_bytes, ret)
                                 : x->handler->pull(x, room_bytes, ret);
        if (r)
                return r;
        if (unlikely(ret->bytes != x->body_left || ret->bytes > room_bytes))
                return piece_take(x, ret, room_bytes);
        x->body_left = 0;
        ret->last = true;
        return 0;
}

bool exchange_has_body(const struct exchange *x) {
        return x->body_bytes && x->request.method != HTTP_HEAD && x->status != 204 &&
               x->status != 304;
}

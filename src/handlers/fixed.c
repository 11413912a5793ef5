/* SPDX-License-Identifier: MIT */
#include "handlers/fixed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Redirect= and Return=: answers that are known when the settings are read. All methods get them;
 * the query is not carried over to a redirect's target.
 */
struct fixed {
        struct text fields, body;
        char data[];
};

struct fixed_exchange {
        size_t sent;
};
_Static_assert(sizeof(struct fixed_exchange) <= EXCHANGE_STATE_BYTES, "fits into an exchange");

static const struct fixed *fixed_of(const struct exchange *x) {
        return handler_route_of(x)->prepared;
}

static void redirect_start(struct exchange *x) {
        exchange_refuse(x, handler_route_of(x)->settings->status, fixed_of(x)->fields);
}

static void return_start(struct exchange *x) {
        const struct fixed *f = fixed_of(x);
        unsigned status = handler_route_of(x)->settings->status;

        if (f->body.data)
                exchange_answer(x, status, f->fields, f->body.size);
        else if (status >= 300)
                exchange_refuse(x, status, (struct text){});
        else
                exchange_answer(x, status, (struct text){}, 0);
}

static int return_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct fixed_exchange *s = (struct fixed_exchange *)x->state;
        const struct text body = fixed_of(x)->body;
        size_t bytes = MIN(room_bytes, body.size - s->sent);

        *ret = (struct exchange_piece){
                .data = body.data + s->sent,
                .bytes = bytes,
                .last = s->sent + bytes == body.size,
        };
        s->sent += bytes;
        return 0;
}

int fixed_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]) {
        const struct settings_route *settings = route->settings;
        bool is_redirect = settings->handler == HANDLER_REDIRECT;
        struct text target = text_of(settings->target);
        static const char type[] = "Content-Type: text/plain; charset=utf-8\r\n";
        struct fixed *f;

        for (size_t i = 0; is_redirect && i < target.size; i++)
                if ((unsigned char)target.data[i] <= ' ' || target.data[i] == 0x7f) {
                        snprintf(reason, HANDLER_REASON_BYTES,
                                 "Redirect=: the target holds a space or a control character; "
                                 "percent-encode it");
                        return -EINVAL;
                }
        f = calloc(1, sizeof(*f) + target.size + sizeof(type) + sizeof("Location: \r\n"));
        if (!f) {
                snprintf(reason, HANDLER_REASON_BYTES, "%s", strerror(ENOMEM));
                return -ENOMEM;
        }
        f->fields.data = f->data;
        if (is_redirect) {
                f->fields.size = (size_t)sprintf(f->data, "Location: %.*s\r\n", TEXT_ARGS(target));
        } else if (target.data) {
                f->fields.size = (size_t)sprintf(f->data, "%s", type);
                f->body.data = f->data + f->fields.size;
                f->body.size = target.size;
                memcpy(f->data + f->fields.size, target.data, target.size);
        }
        route->prepared = f;
        return 0;
}

void fixed_route_finish(struct handler_route *route) {
        free(route->prepared);
        route->prepared = NULL;
}

const struct exchange_handler redirect_handler = {
        .name = "redirect",
        .start = redirect_start,
};

const struct exchange_handler return_handler = {
        .name = "return",
        .start = return_start,
        .pull = return_pull,
};

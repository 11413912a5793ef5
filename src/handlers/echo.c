/* SPDX-License-Identifier: MIT */
#include "handlers/echo.h"

#include <errno.h>

#include "base/buffer.h"

/*
 * The last segment of the path says how: "" gives back what comes and ends when the client does,
 * "ends" says "bye\n" and ends at once, but takes what comes until the client ends too, "breaks"
 * gives up at the first byte, "refuses" answers 403. Without a protocol to speak it is 400.
 *
 * What came is held until the carrier has sent it, and only then is more asked for: a client that
 * does not read is not read from.
 */
enum echo_manner { ECHO_BACK, ECHO_ENDS, ECHO_BREAKS, ECHO_REFUSES };

struct echo_exchange {
        struct buffer held; /* what came */
        uint8_t manner;     /* enum echo_manner */
        bool given;         /* all that is held was handed on */
        bool asked;         /* for more */
        bool ended;         /* the client's direction */
        bool said_bye;
};
_Static_assert(sizeof(struct echo_exchange) <= EXCHANGE_STATE_BYTES, "fits into an exchange");

static struct echo_exchange *echo_of(struct exchange *x) {
        return (struct echo_exchange *)x->state;
}

static enum echo_manner echo_manner_of(struct text path) {
        size_t at = path.size;
        struct text name;

        while (at > 0 && path.data[at - 1] != '/')
                at--;
        name = (struct text){ path.data + at, path.size - at };
        if (text_equal(name, TEXT("ends")))
                return ECHO_ENDS;
        if (text_equal(name, TEXT("breaks")))
                return ECHO_BREAKS;
        return text_equal(name, TEXT("refuses")) ? ECHO_REFUSES : ECHO_BACK;
}

static void echo_ask(struct exchange *x) {
        struct echo_exchange *e = echo_of(x);

        if (e->asked || e->ended)
                return;
        e->asked = true;
        exchange_want_body(x);
}

static void echo_start(struct exchange *x) {
        struct echo_exchange *e = echo_of(x);

        e->manner = (uint8_t)echo_manner_of(http_span_text(&x->request, x->request.path));
        if (!x->request.protocol.size) {
                exchange_refuse(x, 400, (struct text){});
        } else if (e->manner == ECHO_REFUSES) {
                exchange_refuse(x, 403, (struct text){});
        } else {
                exchange_accept_upgrade(x, TEXT("X-Echo: yes\r\n"));
                if (e->manner != ECHO_BACK)
                        echo_ask(x);
        }
}

static void echo_body(struct exchange *x, struct text data, bool last) {
        struct echo_exchange *e = echo_of(x);

        e->asked = false;
        e->ended = last;
        if (e->manner == ECHO_BREAKS)
                exchange_fail(x, -ECONNRESET);
        else if (e->manner == ECHO_ENDS)
                echo_ask(x);
        else if (buffer_append_text(&e->held, data) < 0)
                exchange_fail(x, -ENOMEM);
        else
                exchange_wake(x);
}

static int echo_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct echo_exchange *e = echo_of(x);

        if (e->manner == ECHO_ENDS) {
                *ret = (struct exchange_piece){ .data = "bye\n", .bytes = 4, .last = true };
                return room_bytes < 4 ? -EMSGSIZE : 0;
        }
        if (e->given) { /* and sent */
                buffer_finish(&e->held);
                e->given = false;
        }
        if (!e->held.used && !e->ended) {
                echo_ask(x);
                return EXCHANGE_LATER;
        }
        e->given = true;
        *ret = (struct exchange_piece){
                .data = e->held.used ? e->held.data : "",
                .bytes = e->held.used,
                .last = e->ended,
        };
        return e->held.used > room_bytes ? -EMSGSIZE : 0;
}

static void echo_finish(struct exchange *x) {
        buffer_finish(&echo_of(x)->held);
}

int echo_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]) {
        return 0;
}

const struct exchange_handler echo_handler = {
        .name = "echo",
        .takes_upgrade = true,
        .start = echo_start,
        .body = echo_body,
        .pull = echo_pull,
        .finish = echo_finish,
};

/* SPDX-License-Identifier: MIT */
/*
 * A handler that answers in every way in which handlers may: at once or later, from memory or from
 * a file, whole or in pieces, with a known length or without, wanting the body or not, failing. The
 * target says what: "/KIND/BYTES/OFFSET" is BYTES of the site's text from OFFSET. Memory that is
 * lent to the session is a block of its own and is freed as soon as the rules allow, so that the
 * address sanitizer sees who keeps it longer.
 */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum kind {
        KIND_MEM,
        KIND_FILE,
        KIND_MIXED,
        KIND_STREAM,
        KIND_ECHO,
        KIND_CUT,  /* the file is shorter than was said */
        KIND_FAIL, /* ends half way */
        KIND_FAIL_STREAM,
        KIND_NOW, /* never later, so that many are answered in one turn */
        KIND_NONE,
};

static const char *const kinds[] = {
        "mem", "file", "mixed", "stream", "echo", "cut", "fail", "fail-stream", "now",
};

/* x->state */
struct site_state {
        struct exchange *x;
        struct site *site;
        struct loop_timer timer;
        void (*then)(struct exchange *x); /* what the timer does */
        enum kind kind;
        uint64_t offset, bytes, given;
        uint64_t body_bytes, body_hash;
        char *lent;
        char literal[64];
        bool waited;
};
_Static_assert(sizeof(struct site_state) <= EXCHANGE_STATE_BYTES, "no room for the state");

static struct site_state *state_of(struct exchange *x) {
        return (struct site_state *)x->state;
}

static bool chance(struct site_state *s, unsigned per_thousand) {
        return s->kind != KIND_NOW && scripted_chance(s->site->world, per_thousand);
}

static void timer_fired(struct loop_timer *timer) {
        struct site_state *s = container_of(timer, struct site_state, timer);

        s->then(s->x);
}

static void later(struct site_state *s, void (*then)(struct exchange *x)) {
        s->then = then;
        s->timer.fired = timer_fired;
        loop_timer_set(s->site->loop, &s->timer,
                       loop_now_usec(s->site->loop) + scripted_below(s->site->world, 50000));
}

static void answer(struct exchange *x) {
        struct site_state *s = state_of(x);

        if (s->kind == KIND_NONE)
                exchange_refuse(x, 404, (struct text){});
        else if (s->kind == KIND_ECHO)
                exchange_answer(x, 200, TEXT("Content-Type: text/plain\r\n"), strlen(s->literal));
        else if (s->kind == KIND_STREAM || s->kind == KIND_FAIL_STREAM)
                exchange_answer(x, 200, TEXT("X-Kind: stream\r\n"), EXCHANGE_LENGTH_UNKNOWN);
        else
                exchange_answer(x, 200, TEXT(""), s->bytes);
}

static void fail(struct exchange *x) {
        exchange_fail(x, -EIO);
}

static void site_start(struct exchange *x) {
        struct site_state *s = state_of(x);
        struct text path = http_span_text(&x->request, x->request.path), word;

        s->x = x;
        s->site = x->owner;
        s->site->open++;
        s->site->begun++;
        s->kind = KIND_NONE;
        if (text_next_word(&path, "/", &word)) {
                for (unsigned i = 0; i < ELEMENTS(kinds); i++) {
                        if (text_equal(word, text_of(kinds[i])))
                                s->kind = i;
                }
        }
        if (!text_next_word(&path, "/", &word) || text_to_u64(word, &s->bytes) < 0 ||
            !text_next_word(&path, "/", &word) || text_to_u64(word, &s->offset) < 0 ||
            s->offset + s->bytes > SITE_TEXT_BYTES)
                s->kind = KIND_NONE;
        if (s->kind == KIND_ECHO && chance(s, 500))
                later(s, exchange_want_body);
        else if (s->kind == KIND_ECHO)
                exchange_want_body(x);
        else if (chance(s, 300))
                later(s, answer);
        else
                answer(x);
}

static void site_body(struct exchange *x, struct text data, bool last) {
        struct site_state *s = state_of(x);

        for (size_t i = 0; i < data.size; i++)
                s->body_hash = s->body_hash * 31 + (uint8_t)data.data[i];
        s->body_bytes += data.size;
        if (last) {
                snprintf(s->literal, sizeof(s->literal), "%llu %016llx",
                         (unsigned long long)s->body_bytes, (unsigned long long)s->body_hash);
                if (chance(s, 300))
                        later(s, answer);
                else
                        answer(x);
        } else if (chance(s, 200))
                later(s, exchange_want_body);
        else
                exchange_want_body(x);
}

/* A copy of the text, which is good until the next piece. */
static const char *lend(struct site_state *s, const char *data, uint64_t bytes) {
        free(s->lent);
        s->lent = malloc(bytes + 1);
        assert(s->lent);
        memcpy(s->lent, data, bytes);
        return s->lent;
}

static int site_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct site_state *s = state_of(x);
        uint64_t left = s->bytes - s->given, bytes = MIN(left, room_bytes);
        bool from_file = s->kind == KIND_FILE || s->kind == KIND_CUT;
        bool fails = s->kind == KIND_FAIL || s->kind == KIND_FAIL_STREAM;

        if (!s->waited && chance(s, 200)) {
                s->waited = true;
                later(s, fails && s->given > 0 ? fail : exchange_wake);
                return EXCHANGE_LATER;
        }
        s->waited = false;
        if (s->kind == KIND_ECHO) {
                *ret = (struct exchange_piece){ .data = lend(s, s->literal, strlen(s->literal)),
                                                .bytes = strlen(s->literal),
                                                .last = true };
                return 0;
        }
        if (fails && s->given > s->bytes / 2)
                return -EIO;
        if (bytes > 1 && (fails || chance(s, 500)))
                bytes = 1 + scripted_below(s->site->world, (unsigned)bytes - 1);
        if (s->kind == KIND_MIXED || s->kind == KIND_STREAM)
                from_file = chance(s, 400);
        *ret = (struct exchange_piece){ .bytes = bytes, .last = bytes == left };
        if (from_file) {
                ret->file = s->site->file;
                ret->offset = s->offset + s->given;
                if (s->kind == KIND_CUT) /* past the end: a file that was made shorter */
                        ret->offset += SITE_TEXT_BYTES - s->bytes / 2 - s->offset;
        } else
                ret->data = lend(s, s->site->text + s->offset + s->given, bytes);
        s->given += bytes;
        return 0;
}

static void site_over(struct exchange *x) {
        struct site_state *s = state_of(x);

        loop_timer_clear(&s->timer);
        free(s->lent);
        assert(s->site->open > 0);
        s->site->open--;
        s->site->completed += x->error == 0;
}

static const struct exchange_handler site_handler = {
        .name = "site",
        .start = site_start,
        .body = site_body,
        .pull = site_pull,
        .finish = site_over,
};

void site_route(struct site *site, struct exchange *x) {
        x->handler = &site_handler;
        x->owner = site;
}

void site_init(struct site *site, struct scripted_world *world) {
        size_t written = 0;

        *site = (struct site){ .world = world };
        site->text = malloc(SITE_TEXT_BYTES);
        assert(site->text);
        for (size_t i = 0; i < SITE_TEXT_BYTES; i += sizeof(uint64_t)) {
                uint64_t number = scripted_random(world);

                memcpy(site->text + i, &number, sizeof(number));
        }
        site->file = memfd_create("site", MFD_CLOEXEC);
        assert(site->file >= 0);
        while (written < SITE_TEXT_BYTES) {
                ssize_t n = write(site->file, site->text + written, SITE_TEXT_BYTES - written);

                assert(n > 0);
                written += (size_t)n;
        }
}

void site_finish(struct site *site) {
        assert(site->open == 0);
        close(site->file);
        free(site->text);
}

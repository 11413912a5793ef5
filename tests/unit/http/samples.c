/* SPDX-License-Identifier: MIT */
#include "samples.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * A sample is a row: what it answers, when, and its pieces in order. A piece longer than the room
 * that the carrier has is given in parts, as any handler must, but where the row says that it lies.
 */

enum { PIECES_MAX = 5 };

struct sample_piece {
        const char *text;   /* memory … */
        uint32_t big, file; /* … or so many bytes of the big memory, or of the file */
        bool later;         /* none yet: EXCHANGE_LATER, once */
        int error;          /* or a failure */
};

struct sample {
        const char *path;
        unsigned status; /* 0: never answers */
        const char *fields;
        uint64_t body_bytes;
        struct sample_piece pieces[PIECES_MAX];
        bool later;       /* answers not in `start` */
        bool refuses;     /* by exchange_refuse() */
        bool echoes;      /* wants the body, answers with how long it was, and its last byte */
        bool early_echo;  /* answers before it wants the body, which becomes the answer's size */
        bool reads_late;  /* wants the body not in `start` */
        bool lies;        /* gives more than there is room for */
        int fails;        /* exchange_fail() in `start` */
        bool twice;       /* answers twice */
        bool wants_twice; /* wants the body again behind its end */
        enum tunnel { TUNNEL_NONE, TUNNEL_ECHO, TUNNEL_ENDS, TUNNEL_FAILS } tunnel;
};

static const struct sample samples[] = {
        // clang-format off
        { "/now", 200, "Etag: \"1\"\r\n", 5, { { "hello" } } },
        { "/nothing", 200, "", 0, {} },
        { "/no-content", 204, "", 7, { { "ignored" } } },
        { "/not-modified", 304, "Etag: \"1\"\r\n", 5, { { "hello" } } },
        { "/later", 200, "", 5, { { "hello" } }, .later = true },
        { "/pieces", 200, "", 6, { { "ab" }, { .later = true }, { "cde" }, { "f" } } },
        { "/big", 200, "", SAMPLE_BIG_BYTES, { { .big = SAMPLE_BIG_BYTES } } },
        { "/file", 200, "", SAMPLE_FILE_BYTES, { { .file = SAMPLE_FILE_BYTES } } },
        { "/mixed", 200, "", 20003, { { "abc" }, { .big = 10000 }, { .file = 10000 } } },
        { "/stream", 200, "", EXCHANGE_LENGTH_UNKNOWN,
          { { "abc" }, { .later = true }, { .big = 10000 }, { .file = 3000 }, { "xyz" } } },
        { "/stream-file", 200, "", EXCHANGE_LENGTH_UNKNOWN, { { .file = 300 } } },
        { "/stream-nothing", 200, "", EXCHANGE_LENGTH_UNKNOWN, {} },
        { "/refuse", 404, "X-Why: none\r\n", 0, {}, .refuses = true },
        { "/refuse-later", 503, "", 0, {}, .refuses = true, .later = true },
        { "/echo", 200, "", 0, {}, .echoes = true },
        { "/echo-late", 200, "", 0, {}, .echoes = true, .reads_late = true },
        { "/early-echo", 200, "", 4, { { "seen" } }, .early_echo = true },
        { "/mute", 0, "", 0, {} },
        { "/fails-midway", 200, "", 10, { { "ab" }, { .error = -EIO } } },
        { "/fails-at-once", 0, "", 0, {}, .fails = -ENXIO },
        { "/short", 200, "", 10, { { "ab" } } },
        { "/long", 200, "", 1, { { "ab" } }, .lies = true },
        { "/wide", 200, NULL, 5, { { "hello" } } },
        { "/copied", 200, "", 4096, { { .big = 4096 } } },
        { "/endless", 200, "", EXCHANGE_LENGTH_UNKNOWN, { { "" }, { "x" } }, .lies = true },
        { "/wants-twice", 200, "", 0, {}, .echoes = true, .wants_twice = true },
        { "/twice", 200, "", 5, { { "hello" } }, .twice = true },
        { "/tunnel", .fields = "X-Tunnel: 1\r\n", .tunnel = TUNNEL_ECHO },
        { "/tunnel-later", .fields = "", .tunnel = TUNNEL_ECHO, .later = true },
        { "/tunnel-slow", .fields = "", .tunnel = TUNNEL_ECHO, .reads_late = true },
        { "/tunnel-ends", .fields = "", .tunnel = TUNNEL_ENDS },
        { "/tunnel-ends-slow", .fields = "", .tunnel = TUNNEL_ENDS, .reads_late = true },
        { "/tunnel-fails", .fields = "", .tunnel = TUNNEL_FAILS },
        { "/tunnel-refused", 403, "", 0, {}, .tunnel = TUNNEL_ECHO, .refuses = true },
        // clang-format on
};

struct sample_state {
        const struct sample *sample;
        uint64_t piece_taken, total, body_bytes;
        unsigned at;
        char body_last;
        bool has_waited, body_done;
        struct buffer held; /* what came by a tunnel */
        bool held_given, asked;
};

static struct sample_state *state_of(struct exchange *x) {
        static_assert(sizeof(struct sample_state) <= EXCHANGE_STATE_BYTES, "it fits");
        return (struct sample_state *)x->state;
}

static const struct sample *sample_of(const struct exchange *x) {
        struct text path = http_span_text(&x->request, x->request.path);

        for (size_t i = 0; i < ELEMENTS(samples); i++)
                if (text_equal(path, text_of(samples[i].path)))
                        return &samples[i];
        return NULL;
}

static void wait_to_go_on(struct exchange *x) {
        struct samples *s = x->worker;

        assert(s->waiting_count < SAMPLE_WAITING_MAX);
        s->waiting[s->waiting_count++] = x;
}

static void answer(struct exchange *x) {
        const struct sample *sample = state_of(x)->sample;
        struct samples *s = x->worker;
        struct text wide = { s->wide_fields, sizeof(s->wide_fields) };
        struct text fields = sample->fields ? text_of(sample->fields) : wide;

        if (sample->refuses)
                exchange_refuse(x, sample->status, fields);
        else
                exchange_answer(x, sample->status, fields, sample->body_bytes);
        if (sample->twice)
                exchange_answer(x, sample->status, fields, sample->body_bytes);
}

static void sample_start(struct exchange *x) {
        const struct sample *sample = sample_of(x);
        struct samples *s = x->worker;

        s->started++;
        state_of(x)->sample = sample;
        if (!sample)
                exchange_refuse(x, 404, (struct text){});
        else if (sample->fails)
                exchange_fail(x, sample->fails);
        else if (sample->later || sample->reads_late)
                wait_to_go_on(x);
        else if (sample->echoes)
                exchange_want_body(x);
        else if (sample->status)
                answer(x);
        if (sample && sample->early_echo)
                exchange_want_body(x);
}

static void sample_body(struct exchange *x, struct text data, bool last) {
        struct sample_state *state = state_of(x);
        struct samples *s = x->worker;

        if (s->journal_bodies)
                buffer_printf(&s->journal, "body=%.*s%s;", TEXT_ARGS(data), last ? " last" : "");
        state->body_bytes += data.size;
        if (data.size)
                state->body_last = data.data[data.size - 1];
        if (!last) {
                exchange_want_body(x);
                return;
        }
        state->body_done = true;
        if (state->sample->wants_twice)
                exchange_want_body(x);
        if (state->sample->early_echo)
                exchange_wake(x);
        else
                exchange_answer(x, 200, (struct text){}, state->body_bytes);
}

/* The echo's body: as many bytes as came, all like the last one. */
static int pull_echo(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct sample_state *state = state_of(x);

        *ret = (struct exchange_piece){ .data = &state->body_last, .bytes = 1 };
        ret->last = ++state->total == state->body_bytes;
        return 0;
}

static int sample_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct sample_state *state = state_of(x);
        const struct sample *sample = state->sample;
        const struct sample_piece *piece = &sample->pieces[state->at];
        struct samples *s = x->worker;
        uint64_t bytes;

        assert(room_bytes > 0);
        if (sample->echoes)
                return pull_echo(x, room_bytes, ret);
        if (sample->early_echo && !state->body_done)
                return EXCHANGE_LATER;
        if (piece->error)
                return piece->error;
        if (piece->later && !state->has_waited) {
                state->has_waited = true;
                wait_to_go_on(x);
                return EXCHANGE_LATER;
        }
        if (piece->later)
                piece = &sample->pieces[++state->at];
        bytes = piece->text ? strlen(piece->text) : piece->big + piece->file;
        bytes -= state->piece_taken;
        if (!sample->lies)
                bytes = MIN(bytes, room_bytes);
        *ret = (struct exchange_piece){ .bytes = bytes, .file = -1 };
        if (piece->file) {
                ret->file = s->file;
                ret->offset = state->piece_taken;
        } else {
                ret->data = (piece->text ? piece->text : s->big) + state->piece_taken;
        }
        state->piece_taken += bytes;
        if (state->piece_taken == (piece->text ? strlen(piece->text) : piece->big + piece->file)) {
                state->piece_taken = 0;
                piece = &sample->pieces[++state->at];
                ret->last = state->at == PIECES_MAX || !(piece->text || piece->big || piece->file ||
                                                         piece->later || piece->error);
        }
        return 0;
}

static void sample_finish(struct exchange *x) {
        struct samples *s = x->worker;

        s->finished++;
        for (unsigned i = 0; i < s->waiting_count; i++)
                if (s->waiting[i] == x)
                        s->waiting[i--] = s->waiting[--s->waiting_count];
        buffer_printf(&s->journal, "%.*s error=%d;",
                      TEXT_ARGS(http_span_text(&x->request, x->request.path)), x->error);
}

static const struct exchange_handler sample_handler = {
        .name = "sample",
        .start = sample_start,
        .body = sample_body,
        .pull = sample_pull,
        .finish = sample_finish,
};

/* ---- tunnels ---- */

/* Those that read late ask when they are told to go on, each time. */
static void tunnel_ask(struct exchange *x) {
        struct sample_state *state = state_of(x);

        if (state->body_done || state->asked)
                return;
        state->asked = true;
        if (state->sample->reads_late)
                wait_to_go_on(x);
        else
                exchange_want_body(x);
}

static void tunnel_accept(struct exchange *x) {
        const struct sample *sample = state_of(x)->sample;

        exchange_accept_upgrade(x, text_of(sample->fields));
        if (sample->tunnel != TUNNEL_ECHO)
                tunnel_ask(x);
}

static void tunnel_start(struct exchange *x) {
        struct samples *s = x->worker;

        if (sample_of(x)->refuses) {
                sample_start(x);
                return;
        }
        s->started++;
        state_of(x)->sample = sample_of(x);
        if (!x->request.protocol.size)
                exchange_refuse(x, 400, (struct text){});
        else if (sample_of(x)->later)
                wait_to_go_on(x);
        else
                tunnel_accept(x);
}

static void tunnel_body(struct exchange *x, struct text data, bool last) {
        struct sample_state *state = state_of(x);
        struct samples *s = x->worker;

        state->asked = false;
        state->body_done = last;
        if (s->journal_bodies)
                buffer_printf(&s->journal, "body=%.*s%s;", TEXT_ARGS(data), last ? " last" : "");
        if (state->sample->tunnel == TUNNEL_FAILS)
                exchange_fail(x, -ECONNRESET);
        else if (state->sample->tunnel == TUNNEL_ENDS)
                tunnel_ask(x);
        else if (buffer_append_text(&state->held, data) < 0)
                exchange_fail(x, -ENOMEM);
        else
                exchange_wake(x);
}

static int tunnel_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct sample_state *state = state_of(x);

        if (state->sample->tunnel == TUNNEL_ENDS) {
                *ret = (struct exchange_piece){ .data = "bye", .bytes = 3, .last = true };
                return 0;
        }
        if (state->held_given)
                buffer_finish(&state->held);
        state->held_given = false;
        if (!state->held.used && !state->body_done) {
                tunnel_ask(x);
                return EXCHANGE_LATER;
        }
        state->held_given = true;
        *ret = (struct exchange_piece){ .data = state->held.used ? state->held.data : "",
                                        .bytes = state->held.used,
                                        .last = state->body_done };
        return 0;
}

static void tunnel_finish(struct exchange *x) {
        buffer_finish(&state_of(x)->held);
        sample_finish(x);
}

static const struct exchange_handler tunnel_handler = {
        .name = "tunnel",
        .takes_upgrade = true,
        .start = tunnel_start,
        .body = tunnel_body,
        .pull = tunnel_pull,
        .finish = tunnel_finish,
};

void samples_route(struct samples *s, struct exchange *x) {
        const struct sample *sample = sample_of(x);

        x->handler = sample && sample->tunnel ? &tunnel_handler : &sample_handler;
        x->worker = s;
}

bool samples_go_on(struct samples *s) {
        unsigned count = s->waiting_count;
        struct exchange *waiting[SAMPLE_WAITING_MAX];

        memcpy(waiting, s->waiting, sizeof(waiting));
        s->waiting_count = 0;
        for (unsigned i = 0; i < count; i++) {
                const struct sample *sample = state_of(waiting[i])->sample;

                if (sample->tunnel && sample->later)
                        tunnel_accept(waiting[i]);
                else if (sample->reads_late)
                        exchange_want_body(waiting[i]);
                else if (sample->later)
                        answer(waiting[i]);
                else
                        exchange_wake(waiting[i]);
        }
        return count;
}

void samples_init(struct samples *s) {
        *s = (struct samples){};
        for (size_t i = 0; i < sizeof(s->big); i++)
                s->big[i] = sample_byte(i);
        memset(s->wide_fields, 'w', sizeof(s->wide_fields));
        memcpy(s->wide_fields, "X-Wide: ", 8);
        memcpy(s->wide_fields + sizeof(s->wide_fields) - 2, "\r\n", 2);
        s->file = memfd_create("sample", MFD_CLOEXEC);
        assert(s->file >= 0 && fd_write_all(s->file, s->big, SAMPLE_FILE_BYTES) == 0);
}

void samples_finish(struct samples *s) {
        assert(s->waiting_count == 0 && s->started == s->finished);
        fd_close(s->file);
        buffer_finish(&s->journal);
}

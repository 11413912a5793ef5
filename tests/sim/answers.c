/* SPDX-License-Identifier: MIT */
/*
 * Reads answers as a strict client does, and compares each byte with what must come. It knows one
 * rule beside that: where an answer was cut, the cut must be visible (RFC 9112, 8).
 */
#include "sim.h"

static void fault(struct sim_reader *r, const char *what) {
        if (!r->fault)
                r->fault = what;
}

static const struct sim_expected *expected_of(const struct sim_reader *r) {
        return &r->plan->expected[r->done];
}

static void answer_done(struct sim_reader *r) {
        const struct sim_expected *e = expected_of(r);

        r->in_body = r->in_trailer = false;
        if (e->breaks)
                fault(r, "an answer that cannot be completed was");
        else if (e->body != SIM_BODY_ANY && e->body != SIM_BODY_NONE && r->body_bytes != e->bytes)
                fault(r, "a body of the wrong length");
        if (e->closes && !r->says_close)
                fault(r, "the last answer does not say that it is the last");
        if (!e->closes && r->says_close && !r->may_close)
                fault(r, "an answer closes the connection without need");
        r->done++;
}

static void body_bytes(struct sim_reader *r, struct text data) {
        const struct sim_expected *e = expected_of(r);
        const char *right = NULL;

        if (e->body == SIM_BODY_NONE && data.size > 0)
                fault(r, "a body where there is none");
        else if (e->body != SIM_BODY_ANY && r->body_bytes + data.size > e->bytes)
                fault(r, "a body that is too long");
        else if (e->body == SIM_BODY_TEXT)
                right = r->site->text + e->offset;
        else if (e->body == SIM_BODY_LITERAL)
                right = e->literal;
        if (right && memcmp(right + r->body_bytes, data.data, data.size) != 0)
                fault(r, "a body with wrong bytes");
        r->body_bytes += data.size;
}

static bool line_take(struct text *rest, struct text *ret) {
        size_t at = 0;

        while (at + 1 < rest->size && !(rest->data[at] == '\r' && rest->data[at + 1] == '\n'))
                at++;
        if (at + 1 >= rest->size)
                return false;
        *ret = (struct text){ rest->data, at };
        rest->data += at + 2;
        rest->size -= at + 2;
        return true;
}

static void field_read(struct sim_reader *r, struct text line) {
        size_t colon = text_find(line, ':');
        struct text name = { line.data, colon }, value;

        if (colon == line.size) {
                fault(r, "a field without a colon");
                return;
        }
        value = text_trim((struct text){ line.data + colon + 1, line.size - colon - 1 });
        if (text_equal_nocase(name, TEXT("content-length"))) {
                if (text_to_u64(value, &r->length) < 0)
                        fault(r, "a bad Content-Length");
                r->framing = SIM_LENGTH;
        } else if (text_equal_nocase(name, TEXT("transfer-encoding")))
                r->framing = SIM_CHUNKS;
        else if (text_equal_nocase(name, TEXT("connection")) &&
                 text_equal_nocase(value, TEXT("close")))
                r->says_close = true;
}

static void head_done(struct sim_reader *r) {
        const struct sim_expected *e = expected_of(r);

        r->in_body = true;
        r->body_bytes = 0;
        r->chunk_left = 0;
        if (e->body == SIM_BODY_NONE) {
                if (r->framing == SIM_LENGTH && r->length != e->bytes)
                        fault(r, "HEAD tells another length than GET");
                answer_done(r);
        } else if (r->framing == SIM_LENGTH && e->body != SIM_BODY_ANY && r->length != e->bytes)
                fault(r, "the wrong Content-Length");
        else if (r->framing == SIM_LENGTH && r->length == 0)
                answer_done(r);
        else if (r->framing == SIM_UNTIL_CLOSE && !r->says_close)
                fault(r, "an answer that says neither how long it is nor that it ends by closing");
}

/* Gives how many bytes the head has; 0: it is not whole yet. */
static size_t head_read(struct sim_reader *r) {
        struct text all = buffer_text(&r->in), rest = all, line;
        const char *end = memmem(all.data, all.size, "\r\n\r\n", 4);
        uint64_t status;

        if (!end)
                return 0;
        if (r->done == r->plan->count) {
                fault(r, "an answer that nobody asked for");
                return all.size;
        }
        rest.size = (size_t)(end - all.data) + 2;
        line_take(&rest, &line);
        if (!text_starts_with(line, TEXT("HTTP/1.1 ")) || line.size < 12 ||
            text_to_u64((struct text){ line.data + 9, 3 }, &status) < 0) {
                fault(r, "a bad status line");
                return all.size;
        }
        if (status == 100) {
                if (!expected_of(r)->continues || rest.size > 0)
                        fault(r, "a 100 Continue that nobody waits for");
                r->invited++;
                return (size_t)(end - all.data) + 4;
        }
        if (status != expected_of(r)->status)
                fault(r, "the wrong status");
        r->framing = SIM_UNTIL_CLOSE;
        r->says_close = false;
        while (line_take(&rest, &line))
                field_read(r, line);
        head_done(r);
        return (size_t)(end - all.data) + 4;
}

static size_t chunk_line_read(struct sim_reader *r) {
        struct text rest = buffer_text(&r->in), line;
        uint64_t size = 0;

        if (!line_take(&rest, &line))
                return 0;
        if (r->in_trailer) {
                if (line.size > 0)
                        fault(r, "a trailer that nobody sends");
                answer_done(r);
                return 2;
        }
        if (line.size == 0)
                fault(r, "a chunk without its size");
        for (size_t i = 0; i < line.size; i++) {
                const char *digits = "0123456789abcdef",
                           *at = strchr(digits, ascii_lower(line.data[i]));

                if (!line.data[i] || !at) {
                        fault(r, "a bad chunk size");
                        break;
                }
                size = size * 16 + (uint64_t)(at - digits);
        }
        r->in_trailer = size == 0;
        r->chunk_left = size == 0 ? 0 : size + 2; /* with the line end behind it */
        return line.size + 2;
}

static size_t chunk_read(struct sim_reader *r) {
        struct text data = buffer_text(&r->in);

        if (r->chunk_left == 0)
                return chunk_line_read(r);
        if (r->chunk_left > 2) {
                data.size = MIN(data.size, r->chunk_left - 2);
                body_bytes(r, data);
                r->chunk_left -= data.size;
                return data.size;
        }
        if (data.size < 2)
                return 0;
        if (memcmp(data.data, "\r\n", 2) != 0)
                fault(r, "a chunk that does not end where it says");
        r->chunk_left = 0;
        return 2;
}

static size_t body_read(struct sim_reader *r) {
        struct text data = buffer_text(&r->in);

        if (r->framing == SIM_CHUNKS)
                return chunk_read(r);
        if (r->framing == SIM_LENGTH)
                data.size = MIN(data.size, r->length - r->body_bytes);
        body_bytes(r, data);
        if (r->framing == SIM_LENGTH && r->body_bytes == r->length)
                answer_done(r);
        return data.size;
}

void sim_reader_feed(struct sim_reader *r, struct text data) {
        size_t used = 1;

        buffer_append_text(&r->in, data);
        while (used > 0 && r->in.used > 0 && !r->fault) {
                used = r->in_body ? body_read(r) : head_read(r);
                buffer_consume(&r->in, used);
        }
}

bool sim_reader_end(struct sim_reader *r, bool clean) {
        if (r->fault || !r->in_body)
                return r->in.used == 0;
        if (r->framing != SIM_UNTIL_CLOSE || !clean)
                return false;
        if (r->body_bytes != expected_of(r)->bytes && expected_of(r)->body != SIM_BODY_ANY) {
                fault(r, "an answer was cut and looks whole");
                return false;
        }
        answer_done(r);
        return true;
}

void sim_reader_finish(struct sim_reader *r) {
        buffer_finish(&r->in);
}

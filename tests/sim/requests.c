/* SPDX-License-Identifier: MIT */
/*
 * What one client sends over its connection, and what must come back. Requests are valid in many
 * forms; the last may be one that must be refused.
 */
#include "sim.h"

#include <stdio.h>

struct maker {
        struct sim_plan *plan;
        struct scripted_world *world;
        const struct site *site;
};

static unsigned below(const struct maker *m, unsigned bound) {
        return scripted_below(m->world, bound);
}

static bool chance(const struct maker *m, unsigned per_thousand) {
        return scripted_chance(m->world, per_thousand);
}

/* Small ones mostly: they pass through more of the code in less time. */
static unsigned random_bytes(const struct maker *m, unsigned most) {
        switch (below(m, 4)) {
        case 0: return below(m, MIN(most, 20u));
        case 1: return below(m, MIN(most, 3000u));
        case 2: return below(m, MIN(most, 20000u));
        default: return below(m, most);
        }
}

static struct sim_expected *expect(const struct maker *m) {
        assert(m->plan->count < SIM_REQUESTS_MAX);
        return &m->plan->expected[m->plan->count++];
}

static void padding(const struct maker *m) {
        unsigned fields = chance(m, 700) ? 0 : 1 + below(m, 8);

        if (chance(m, 50)) { /* a head that does not fit what is there for most */
                buffer_printf(&m->plan->out, "X-Long: %0*u\r\n", 1000 + (int)below(m, 8000), 7);
                return;
        }
        for (unsigned i = 0; i < fields; i++)
                buffer_printf(&m->plan->out, "x-pad-%u:%*s%0*u\r\n", i, (int)below(m, 3), "",
                              1 + (int)below(m, 200), i);
}

/* The request line and the fields of a request, but for the line that ends them. */
static void head(const struct maker *m, const char *method, const char *target, bool is_old,
                 bool closes) {
        static const char *const hosts[] = { "Host: a\r\n", "host:a:80\r\n",
                                             "HOST: \t example.org\r\n" };
        struct buffer *out = &m->plan->out;

        if (chance(m, 50))
                buffer_append_text(out, TEXT("\r\n"));
        buffer_printf(out, "%s %s%s HTTP/1.%d\r\n", method, chance(m, 50) ? "http://b" : "", target,
                      !is_old);
        padding(m);
        if (!is_old || chance(m, 500))
                buffer_append_text(out, text_of(hosts[below(m, ELEMENTS(hosts))]));
        if (closes && !is_old)
                buffer_append_text(out, TEXT("Connection: close\r\n"));
        if (!closes && is_old)
                buffer_append_text(out, TEXT("Connection: keep-alive\r\n"));
}

/* A body; gives how the handler's hash of it comes out. */
static uint64_t body(const struct maker *m, unsigned bytes, bool is_chunked) {
        uint64_t hash = 0;
        unsigned left = bytes;
        struct buffer *out = &m->plan->out;

        while (left > 0) {
                unsigned piece = is_chunked ? 1 + below(m, left) : left;

                if (is_chunked && chance(m, 100))
                        buffer_printf(out, "%x;a=\"b;c\"\r\n", piece);
                else if (is_chunked)
                        buffer_printf(out, "%X\r\n", piece);
                for (unsigned i = 0; i < piece; i++) {
                        char c = (char)(i * 7 + left);

                        hash = hash * 31 + (uint8_t)c;
                        buffer_append(out, &c, 1);
                }
                if (is_chunked)
                        buffer_append_text(out, TEXT("\r\n"));
                left -= piece;
        }
        if (is_chunked)
                buffer_append_text(out, chance(m, 200) ? TEXT("0\r\nX-Trailer: 1\r\n\r\n")
                                                       : TEXT("0\r\n\r\n"));
        return hash;
}

/* The fields that announce a body, the end of the head, the body. */
static uint64_t with_body(const struct maker *m, struct sim_expected *e, unsigned bytes,
                          bool expects) {
        bool is_chunked = chance(m, 500);

        if (is_chunked)
                buffer_append_text(&m->plan->out, TEXT("Transfer-Encoding: chunked\r\n"));
        else
                buffer_printf(&m->plan->out, "Content-Length: %u\r\n", bytes);
        if (expects)
                buffer_append_text(&m->plan->out, TEXT("Expect: 100-continue\r\n"));
        buffer_append_text(&m->plan->out, TEXT("\r\n"));
        if (expects)
                e->gate = m->plan->out.used;
        return body(m, bytes, is_chunked);
}

static void make_echo(const struct maker *m, bool closes) {
        struct sim_expected *e = expect(m);
        unsigned bytes = random_bytes(m, 100000);
        bool expects = bytes > 0 && chance(m, 300);
        uint64_t hash;

        head(m, "POST", "/echo/0/0", false, closes);
        hash = with_body(m, e, bytes, expects);
        *e = (struct sim_expected){ .status = 200,
                                    .body = SIM_BODY_LITERAL,
                                    .closes = closes,
                                    .continues = expects,
                                    .gate = e->gate };
        snprintf(e->literal, sizeof(e->literal), "%u %016llx", bytes, (unsigned long long)hash);
        e->bytes = strlen(e->literal);
}

static void make_text(const struct maker *m, bool closes) {
        static const char *const kinds[] = { "mem", "file", "mixed", "stream" };
        const char *kind = kinds[below(m, ELEMENTS(kinds))], *method = "GET";
        bool is_stream = kind == kinds[3];
        bool is_old = chance(m, 100) && (closes || !is_stream);
        unsigned bytes = random_bytes(m, SITE_BODY_BYTES_MAX), method_at = below(m, 10);
        struct sim_expected *e = expect(m);
        char target[64];

        *e = (struct sim_expected){ .status = 200,
                                    .body = SIM_BODY_TEXT,
                                    .closes = closes,
                                    .bytes = is_stream ? MAX(bytes, 1) : bytes,
                                    .offset = below(m, SITE_TEXT_BYTES - SITE_BODY_BYTES_MAX) };
        snprintf(target, sizeof(target), "/%s/%llu/%u%s", kind, (unsigned long long)e->bytes,
                 e->offset, chance(m, 100) ? "?a=b" : "");
        if (method_at == 0) {
                method = "HEAD";
                e->body = SIM_BODY_NONE;
        } else if (method_at == 1)
                method = "POST";
        head(m, method, target, is_old, closes);
        if (method_at == 1 && !is_old)
                with_body(m, e, random_bytes(m, 50000), false);
        else if (method_at == 1)
                buffer_append_text(&m->plan->out, TEXT("Content-Length: 0\r\n\r\n"));
        else
                buffer_append_text(&m->plan->out, TEXT("\r\n"));
}

static void make_missing(const struct maker *m, bool closes) {
        struct sim_expected *e = expect(m);

        *e = (struct sim_expected){ .status = 404, .body = SIM_BODY_ANY, .closes = closes };
        head(m, "GET", "/nothing", false, closes);
        buffer_append_text(&m->plan->out, TEXT("\r\n"));
}

/* Answers that the handler begins and cannot end. */
static void make_broken(const struct maker *m) {
        struct sim_expected *e = expect(m);
        unsigned bytes = 1000 + random_bytes(m, SITE_BODY_BYTES_MAX - 1000);
        static const char *const kinds[] = { "cut", "fail", "fail-stream" };
        const char *kind = kinds[below(m, ELEMENTS(kinds))];
        char target[64];

        *e = (struct sim_expected){
                .status = 200, .body = SIM_BODY_TEXT, .bytes = bytes, .breaks = true, .closes = true
        };
        e->offset = below(m, SITE_TEXT_BYTES - SITE_BODY_BYTES_MAX);
        if (kind[0] == 'c') /* what there is of it comes from the file's end */
                e->offset = SITE_TEXT_BYTES - bytes / 2;
        snprintf(target, sizeof(target), "/%s/%u/%u", kind, bytes, kind[0] == 'c' ? 0 : e->offset);
        head(m, "GET", target, chance(m, 300), false);
        buffer_append_text(&m->plan->out, TEXT("\r\n"));
}

/*
 * What must be refused, each with the status (RFC 9112, 2.2, 3.2, 5.1, 6.1, 7.1; RFC 9110, 15.5).
 */
static void make_malformed(const struct maker *m) {
        static const struct {
                uint16_t status;
                const char *text;
        } bad[] = {
                { 400, "GET / HTTP/1.1\r\n\r\n" },
                { 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" },
                { 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n" },
                { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n y\r\n\r\n" },
                { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\ry\r\n\r\n" },
                { 400, "GET /\001 HTTP/1.1\r\nHost: a\r\n\r\n" },
                { 400, "\026\003\001\002\r\n\r\n" },
                { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nbody" },
                { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nbody" },
                { 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
                { 400, "POST /echo/0/0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "4\r\nbodyX\r\n0\r\n\r\n" },
                { 400, "POST /echo/0/0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "-1\r\n" },
                { 413, "POST /echo/0/0 HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" },
        };
        unsigned which = below(m, ELEMENTS(bad));
        struct sim_expected *e = expect(m);

        *e = (struct sim_expected){ .status = bad[which].status,
                                    .body = SIM_BODY_ANY,
                                    .closes = true };
        buffer_append_text(&m->plan->out, text_of(bad[which].text));
        /* more that must not be taken for requests, and must not cost the answer */
        if (chance(m, 500))
                body(m, random_bytes(m, 60000), false);
        else if (chance(m, 500))
                buffer_append_text(&m->plan->out, TEXT("GET /mem/5/5 HTTP/1.1\r\nHost: a\r\n\r\n"));
}

/* More small ones than a connection may have in one turn. */
static void make_burst(const struct maker *m) {
        for (unsigned i = 0; i < SIM_REQUESTS_MAX; i++) {
                struct sim_expected *e = expect(m);

                *e = (struct sim_expected){ .status = 200,
                                            .body = SIM_BODY_TEXT,
                                            .bytes = below(m, 10),
                                            .offset = below(m, 1000) };
                buffer_printf(&m->plan->out, "GET /now/%llu/%u HTTP/1.1\r\nHost: a\r\n\r\n",
                              (unsigned long long)e->bytes, e->offset);
        }
}

void sim_plan_make(struct sim_plan *plan, struct scripted_world *world, const struct site *site) {
        struct maker m = { plan, world, site };
        unsigned count = 1 + below(&m, chance(&m, 200) ? 24 : 5), end = below(&m, 10);

        if (chance(&m, 30)) {
                make_burst(&m);
                count = 0;
        }
        for (unsigned i = 0; i < count; i++) {
                bool last = i == count - 1, closes = last && end < 3;

                if (last && end == 9)
                        make_malformed(&m);
                else if (last && end == 8)
                        make_broken(&m);
                else if (chance(&m, 250))
                        make_echo(&m, closes);
                else if (chance(&m, 50))
                        make_missing(&m, closes);
                else
                        make_text(&m, closes);
        }
        assert(!plan->out.failed);
}

void sim_plan_finish(struct sim_plan *plan) {
        buffer_finish(&plan->out);
}

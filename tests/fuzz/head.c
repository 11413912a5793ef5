/* SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/fields.h"
#include "http/http1-parser.h"

#include <string.h>

/*
 * A head that is parsed whole and one that comes in pieces, each time at another place in memory,
 * must give the same outcome and the same request; and what is taken must hold what a second, slow
 * look at the bytes says about heads.
 */

enum { LIMIT_BYTES = 16384, PIECES_MAX = 64 };

static struct http_request whole, pieced;

static int parse_in_pieces(const char *head, size_t size, uint32_t seed) {
        struct http1_parser parser = {};
        int outcome = HTTP1_MORE;
        size_t given = 0;

        for (int piece = 0; outcome == HTTP1_MORE && (given < size || !piece); piece++) {
                char *copy;

                seed = seed * 1664525 + 1013904223;
                given = piece == PIECES_MAX ? size : MIN(size, given + 1 + (seed >> 16) % 97);
                copy = malloc(given ? given : 1);
                must(copy);
                memcpy(copy, head, given);
                outcome = http1_parse_head(&parser, copy, given, LIMIT_BYTES, &pieced);
                pieced.head = head;
                free(copy);
        }
        return outcome;
}

static void check_span(struct http_span s) {
        must((uint64_t)s.offset + s.size <= whole.head_bytes);
}

static void check_bytes(struct text t, bool spaces_allowed) {
        for (size_t i = 0; i < t.size; i++) {
                unsigned char c = (unsigned char)t.data[i];

                must(c == '\t' || (c >= 0x20 && c != 0x7f));
                must(spaces_allowed || (c > 0x20 && c < 0x7f));
        }
}

static void check_fields(void) {
        unsigned lengths = 0, codings = 0, hosts = 0;

        must(whole.field_count <= HTTP_FIELDS_MAX);
        for (unsigned i = 0; i < whole.field_count; i++) {
                struct text name, value;

                check_span(whole.fields[i].name);
                check_span(whole.fields[i].value);
                name = http_span_text(&whole, whole.fields[i].name);
                value = http_span_text(&whole, whole.fields[i].value);
                must(http_is_token(name));
                check_bytes(value, true);
                must(text_equal(value, text_trim(value)));
                must(whole.fields[i].id == http_field_id_of(name));
                lengths += text_equal_nocase(name, TEXT("content-length"));
                codings += text_equal_nocase(name, TEXT("transfer-encoding"));
                hosts += text_equal_nocase(name, TEXT("host"));
        }
        must(lengths <= 1 && hosts <= 1 && !(lengths && codings));
        must(hosts == 1 || whole.version_minor == 0);
        must(!codings || (whole.body_kind == HTTP_BODY_CHUNKED && whole.version_minor == 1));
        must(codings || whole.body_kind != HTTP_BODY_CHUNKED);
        must(lengths || whole.body_kind != HTTP_BODY_LENGTH);
        must((whole.body_kind == HTTP_BODY_LENGTH) == (whole.body_bytes > 0));
}

static void check_request(const char *head, size_t size) {
        struct text t = { head, whole.head_bytes };

        must(whole.head == head && whole.head_bytes <= size && whole.head_bytes <= LIMIT_BYTES);
        must(text_ends_with(t, TEXT("\r\n\r\n")));
        /* each LF has its CR, each CR its LF, and the first empty line behind a line is the end */
        for (size_t i = 0; i < t.size; i++) {
                must(t.data[i] != '\n' || (i && t.data[i - 1] == '\r'));
                must(t.data[i] != '\r' || (i + 1 < t.size && t.data[i + 1] == '\n'));
                must(t.data[i] != '\0');
        }
        check_span(whole.method_name);
        check_span(whole.target);
        check_span(whole.path);
        check_span(whole.query);
        check_span(whole.host);
        must(http_is_token(http_span_text(&whole, whole.method_name)));
        check_bytes(http_span_text(&whole, whole.target), false);
        must(whole.path.size > 0 || whole.method == HTTP_CONNECT);
        must(whole.host.size == 0 || !memchr(head + whole.host.offset, '@', whole.host.size));
        check_fields();
}

static bool same_span(struct http_span a, struct http_span b) {
        return a.offset == b.offset && a.size == b.size;
}

static void check_same(void) {
        must(whole.head_bytes == pieced.head_bytes && whole.method == pieced.method);
        must(whole.version_major == 1 && pieced.version_major == 1);
        must(whole.version_minor == pieced.version_minor && whole.body_kind == pieced.body_kind);
        must(whole.keep_alive == pieced.keep_alive && whole.body_bytes == pieced.body_bytes);
        must(whole.expects_continue == pieced.expects_continue);
        must(whole.expects_other == pieced.expects_other && whole.repeated == pieced.repeated);
        must(same_span(whole.target, pieced.target) && same_span(whole.path, pieced.path));
        must(same_span(whole.query, pieced.query) && same_span(whole.host, pieced.host));
        must(same_span(whole.method_name, pieced.method_name));
        must(whole.field_count == pieced.field_count);
        must(memcmp(whole.first, pieced.first, sizeof(whole.first)) == 0);
        for (unsigned i = 0; i < whole.field_count; i++)
                must(same_span(whole.fields[i].name, pieced.fields[i].name) &&
                     same_span(whole.fields[i].value, pieced.fields[i].value) &&
                     whole.fields[i].id == pieced.fields[i].id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *head = (const char *)data;
        struct http1_parser parser = {};
        uint32_t seed = (uint32_t)size;
        int outcome;

        memset(&whole, 0xa5, sizeof(whole)); /* needs no initialisation: nothing old may show */
        memset(&pieced, 0x5a, sizeof(pieced));
        outcome = http1_parse_head(&parser, head, size, LIMIT_BYTES, &whole);
        for (size_t i = 0; i < size && i < 64; i++)
                seed = seed * 31 + data[i];
        must(parse_in_pieces(head, size, seed) == outcome);
        if (outcome == HTTP1_DONE) {
                check_request(head, size);
                check_same();
        }
        return 0;
}

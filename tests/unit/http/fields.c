/* SPDX-License-Identifier: MIT */
#include "http/fields.h"

#include "heads.h"
#include "http/scan.h"

/* RFC 9110, 5.6.2 has the list; a class that is off by one lets a separator into a name. */
static void token_characters_are_those_of_the_rfc(void **state) {
        static const char others[] = "!#$%&'*+-.^_`|~";

        for (unsigned c = 0; c < 256; c++) {
                bool is_alphanumeric =
                        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

                assert_int_equal(http_is_token_char((unsigned char)c),
                                 is_alphanumeric || (c && strchr(others, (int)c)));
        }
        assert_true(http_is_token(TEXT("a-B_9")));
        assert_false(http_is_token(TEXT("")));
        assert_false(http_is_token(TEXT("a b")));
}

/* The fast way and the table must agree on every byte, at every place in a block and at the end. */
static void scans_agree_with_the_table(void **state) {
        char bytes[40];

        for (unsigned c = 0; c < 256; c++)
                for (size_t size = 1; size <= sizeof(bytes); size += 3)
                        for (size_t at = 0; at < size; at++) {
                                char *base = malloc(size), *end = base + size;

                                memset(base, 'a', size);
                                base[at] = (char)c;
                                assert_ptr_equal(http_scan_value(base, base, end),
                                                 http_scan_class(base, end, HTTP_CHAR_VALUE));
                                assert_ptr_equal(http_scan_query(base, base, end),
                                                 http_scan_class(base, end, HTTP_CHAR_TARGET));
                                assert_ptr_equal(http_scan_name(base, base, end),
                                                 http_scan_class(base, end, HTTP_CHAR_TOKEN));
                                assert_ptr_equal(http_scan_host(base, base, end),
                                                 http_scan_class(base, end, HTTP_CHAR_HOST));
                                assert_ptr_equal(
                                        http_scan_path(base, base, end),
                                        c == '?' ? base + at
                                                 : http_scan_class(base, end, HTTP_CHAR_TARGET));
                                free(base);
                        }
}

/* Every name that we look at must be found, in either case, and no other that is one byte off. */
static void names_are_recognised(void **state) {
        static const struct {
                const char *name;
                enum http_field_id id;
        } rows[] = {
                { "Host", HTTP_HOST },
                { "Connection", HTTP_CONNECTION },
                { "Content-Length", HTTP_CONTENT_LENGTH },
                { "Transfer-Encoding", HTTP_TRANSFER_ENCODING },
                { "Expect", HTTP_EXPECT },
                { "Upgrade", HTTP_UPGRADE },
                { "If-Match", HTTP_IF_MATCH },
                { "If-None-Match", HTTP_IF_NONE_MATCH },
                { "If-Modified-Since", HTTP_IF_MODIFIED_SINCE },
                { "If-Unmodified-Since", HTTP_IF_UNMODIFIED_SINCE },
                { "If-Range", HTTP_IF_RANGE },
                { "Range", HTTP_RANGE },
                { "Accept", HTTP_ACCEPT },
                { "Accept-Encoding", HTTP_ACCEPT_ENCODING },
                { "Referer", HTTP_REFERER },
                { "User-Agent", HTTP_USER_AGENT },
        };

        assert_int_equal(ELEMENTS(rows), HTTP_FIELD_IDS - 1);
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                char name[32];
                size_t size = strlen(rows[i].name);

                assert_int_equal(http_field_id_of(text_of(rows[i].name)), rows[i].id);
                for (size_t j = 0; j < size; j++) {
                        strcpy(name, rows[i].name);
                        name[j] ^= ascii_lower(name[j]) >= 'a' ? 0x20 : 0;
                        assert_int_equal(http_field_id_of(text_of(name)), rows[i].id);
                        name[j] = name[j] == 'z' ? 'y' : 'z';
                        assert_int_equal(http_field_id_of(text_of(name)), HTTP_FIELD_OTHER);
                        name[j] = name[j] == '_' ? '-' : '_';
                        assert_int_equal(http_field_id_of(text_of(name)), HTTP_FIELD_OTHER);
                }
                assert_int_equal(http_field_id_of((struct text){ rows[i].name, size - 1 }),
                                 HTTP_FIELD_OTHER);
        }
        assert_int_equal(http_field_id_of((struct text){}), HTTP_FIELD_OTHER);
        assert_int_equal(http_field_id_of(TEXT("X-Host")), HTTP_FIELD_OTHER);
}

/* Lists come from strangers: empty elements, quotes with commas in them, quotes left open. */
static void lists_are_parted_at_their_commas(void **state) {
        static const char *const expected[] = { "a", "b c", "\"d,\\\"e\" f", "\"g, h" };
        struct text rest = TEXT(" ,a ,,\tb c, \"d,\\\"e\" f,\"g, h"), element;

        for (size_t i = 0; i < ELEMENTS(expected); i++) {
                assert_true(http_list_next(&rest, &element));
                assert_true(text_equal(element, text_of(expected[i])));
        }
        assert_false(http_list_next(&rest, &element));
        rest = TEXT("\"\\");
        assert_true(http_list_next(&rest, &element));
        assert_false(http_list_next(&rest, &element));
        rest = (struct text){};
        assert_false(http_list_next(&rest, &element));
}

/* A list may go over several lines (RFC 9110, 5.2), which other fields may part. */
static void lists_go_over_several_lines(void **state) {
        static struct http_request r;
        struct text value;
        unsigned at = 0;

        assert_int_equal(parse_text(TEXT("GET / HTTP/1.1\r\nConnection: a,B\r\nHost: a\r\n"
                                         "connection: c\r\nVia: d\r\n\r\n"),
                                    &r),
                         HTTP1_DONE);
        assert_true(http_request_lists(&r, HTTP_CONNECTION, TEXT("A")));
        assert_true(http_request_lists(&r, HTTP_CONNECTION, TEXT("b")));
        assert_true(http_request_lists(&r, HTTP_CONNECTION, TEXT("C")));
        assert_false(http_request_lists(&r, HTTP_CONNECTION, TEXT("d")));
        assert_false(http_request_lists(&r, HTTP_CONNECTION, TEXT("a,B")));
        assert_false(http_request_lists(&r, HTTP_EXPECT, TEXT("a")));
        assert_true(http_request_next(&r, HTTP_CONNECTION, &at, &value));
        assert_true(http_request_next(&r, HTTP_CONNECTION, &at, &value));
        assert_true(text_equal(value, TEXT("c")));
        assert_false(http_request_next(&r, HTTP_CONNECTION, &at, &value));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(token_characters_are_those_of_the_rfc),
                cmocka_unit_test(scans_agree_with_the_table),
                cmocka_unit_test(names_are_recognised),
                cmocka_unit_test(lists_are_parted_at_their_commas),
                cmocka_unit_test(lists_go_over_several_lines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

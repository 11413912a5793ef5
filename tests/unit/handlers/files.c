/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "handlers/files-open.h"

enum { BIG_BYTES = 100000 };

static struct asked a;
static char big[BIG_BYTES];

static void fill(struct site *s) {
        for (size_t i = 0; i < sizeof(big); i++)
                big[i] = (char)(i * 7 + i / 251);
        tree_write(&s->tree, "file.txt", TEXT("0123456789"));
        tree_write(&s->tree, "index.html", TEXT("<p>index"));
        tree_write(&s->tree, "big.bin", (struct text){ big, sizeof(big) });
        tree_write(&s->tree, "empty", TEXT(""));
        tree_folder(&s->tree, "folder");
        tree_write(&s->tree, "folder/index.html", TEXT("<p>folder"));
        tree_folder(&s->tree, "bare");
        tree_write(&s->tree, "bare/50%41 ?x.txt", TEXT("odd"));
        tree_folder(&s->tree, ".git");
        tree_write(&s->tree, ".git/config", TEXT("secret"));
        tree_folder(&s->tree, ".well-known");
        tree_write(&s->tree, ".well-known/token", TEXT("token"));
        tree_link(&s->tree, "/etc/passwd", "out");
        assert_int_equal(mkfifoat(s->tree.fd, "fifo", 0644), 0);
}

static struct site *open_site(bool openat2, const char *prefix) {
        static struct site site;
        const struct site_options options = { .prefix = prefix };

        files_open_allow_openat2(openat2);
        site_open(&site, &options);
        fill(&site);
        return &site;
}

static int setup(void **state) {
        *state = open_site(true, NULL);
        return 0;
}

static int setup_without_openat2(void **state) {
        *state = open_site(false, NULL);
        return 0;
}

static int teardown(void **state) {
        asked_finish(&a);
        site_close(*state);
        files_open_allow_openat2(true);
        return 0;
}

/* The plainest request there is: each of its fields is what caches and browsers go by. */
static void file_is_served_with_its_fields(void **state) {
        struct site *s = *state;

        for (int i = 0; i < 3; i++) { /* looked up, and twice from the cache */
                assert_int_equal(get(s, &a, "/file.txt"), 200);
                assert_true(asked_body_is(&a, TEXT("0123456789")));
                assert_string_equal(asked_field(&a, "Content-Type"), "text/plain; charset=utf-8");
                assert_string_equal(asked_field(&a, "Accept-Ranges"), "bytes");
                assert_int_equal(strlen(asked_field(&a, "Last-Modified")), 29);
                assert_true(asked_field(&a, "ETag")[0] == '"');
        }
        assert_int_equal(get(s, &a, "/"), 200);
        assert_true(asked_body_is(&a, TEXT("<p>index")));
        assert_string_equal(asked_field(&a, "Content-Type"), "text/html; charset=utf-8");
        assert_int_equal(get(s, &a, "/empty"), 200);
        assert_int_equal(a.x.body_bytes, 0);
}

/* The query is for programs; a file has none, and caches must not be split by it here. */
static void query_does_not_matter(void **state) {
        assert_int_equal(get(*state, &a, "/file.txt?a=b/../c"), 200);
        assert_int_equal(get(*state, &a, "/file.txt?"), 200);
        assert_true(asked_body_is(&a, TEXT("0123456789")));
}

/* Clients and proxies write a path in many ways; the file is one. */
static void spellings_of_a_path_mean_one_file(void **state) {
        static const char *const spellings[] = {
                "/file.txt",   "//file.txt",  "/./file.txt",        "/folder/../file.txt",
                "/%66ile.txt", "/file%2Etxt", "/x/%2e%2e/file.txt", "http://other.example/file.txt",
        };

        for (int round = 0; round < 2; round++)
                for (size_t i = 0; i < ELEMENTS(spellings); i++) {
                        if (get(*state, &a, spellings[i]) != 200)
                                fail_msg("%s: %u", spellings[i], a.x.status);
                        assert_true(asked_body_is(&a, TEXT("0123456789")));
                }
}

/* The cache is asked with the raw path first: an escape in it must not be taken for plain bytes. */
static void escapes_are_not_bytes_of_a_name(void **state) {
        struct site *s = *state;

        assert_int_equal(get(s, &a, "/bare/50%2541%20%3Fx.txt"), 200);
        assert_true(asked_body_is(&a, TEXT("odd")));
        assert_int_equal(get(s, &a, "/bare/50%2541%20%3Fx.txt"), 200);
        /* "%41" is "A" here, and there is no such file */
        assert_int_equal(get(s, &a, "/bare/50%41%20%3Fx.txt"), 404);
}

/* What a folder is called without its slash breaks relative links, so clients are sent on. */
static void folder_wants_its_slash(void **state) {
        struct site *s = *state;

        assert_int_equal(get(s, &a, "/folder"), 301);
        assert_string_equal(asked_field(&a, "Location"), "/folder/");
        assert_int_equal(get(s, &a, "/folder?x=1&y=%20"), 301);
        assert_string_equal(asked_field(&a, "Location"), "/folder/?x=1&y=%20");
        assert_int_equal(get(s, &a, "/folder/"), 200);
        assert_true(asked_body_is(&a, TEXT("<p>folder")));
        assert_int_equal(get(s, &a, "/bare/"), 404); /* no index, and no list */
        assert_int_equal(get(s, &a, "/file.txt/"), 404);
}

/* A redirect that begins with "//" would send a victim to a host that the attacker chose. */
static void redirect_never_leaves_the_site(void **state) {
        struct site *s = *state;

        tree_folder(&s->tree, "evil.example");
        tree_folder(&s->tree, "\\evil");
        assert_int_equal(get(s, &a, "//evil.example"), 301);
        assert_string_equal(asked_field(&a, "Location"), "/evil.example/");
        assert_int_equal(get(s, &a, "/.//evil.example"), 301);
        assert_string_equal(asked_field(&a, "Location"), "/evil.example/");
        assert_int_equal(get(s, &a, "/%5Cevil"), 301);
        assert_string_equal(asked_field(&a, "Location"), "/%5Cevil/");
        tree_folder(&s->tree, "line\r\nSet-Cookie: x");
        assert_int_equal(get(s, &a, "/line%0D%0ASet-Cookie:%20x"), 301);
        assert_string_equal(asked_field(&a, "Set-Cookie"), "");
}

struct refusal {
        const char *target;
        unsigned status;
};

/* Everything that is asked for and may not be had, and how it is called. */
static void what_cannot_be_had_is_refused(void **state) {
        static const struct refusal rows[] = {
                { "/missing", 404 },
                { "/missing/", 404 },
                { "/file.txt/x", 404 },
                { "/fifo", 404 },
                { "/out", 404 },
                { "/.git/config", 404 },
                { "/.git", 404 },
                { "/folder/.git/", 404 },
                { "/.", 200 },
                { "/.well-known/token", 200 },
                { "/.well-knownx", 404 },
                { "/..", 400 },
                { "/../file.txt", 400 },
                { "/%2e%2e/file.txt", 400 },
                { "/%00", 400 },
                { "/file.txt%00.html", 400 },
                { "/folder%2Findex.html", 400 },
                { "/%", 400 },
                { "/%zz", 400 },
        };
        char longest[4400] = "/";

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (get(*state, &a, rows[i].target) != rows[i].status)
                        fail_msg("%s: %u", rows[i].target, a.x.status);
        memset(longest + 1, 'x', 300);
        assert_int_equal(get(*state, &a, longest), 404);
        memset(longest + 1, 'x', sizeof(longest) - 2);
        assert_int_equal(get(*state, &a, longest), 404);
}

/* A file that the server may not read is there, but not for you. */
static void unreadable_file_is_forbidden(void **state) {
        struct site *s = *state;

        if (geteuid() != 0)
                skip();
        tree_write(&s->tree, "closed", TEXT("x"));
        tree_folder(&s->tree, "listed-not");
        assert_int_equal(fchmodat(s->tree.fd, "closed", 0, 0), 0);
        assert_int_equal(fchmodat(s->tree.fd, "listed-not", 0711, 0), 0);
        assert_int_equal(chmod(s->tree.path, 0755), 0);
        assert_int_equal(seteuid(65534), 0);
        assert_int_equal(get(s, &a, "/closed"), 403);
        assert_int_equal(get(s, &a, "/listed-not"), 301); /* a folder, though it cannot be read */
        assert_int_equal(seteuid(0), 0);
}

/* RFC 9110, 9.3.2 and 15.5.6. */
static void methods_are_few(void **state) {
        struct site *s = *state;

        assert_int_equal(get(s, &a, "/file.txt"), 200);
        assert_int_equal(ask(s, &a, "HEAD", "/file.txt", NULL), 200);
        assert_int_equal(a.x.body_bytes, 10);
        assert_int_equal(a.pieces, 0);
        assert_int_equal(ask(s, &a, "OPTIONS", "/file.txt", NULL), 204);
        assert_string_equal(asked_field(&a, "Allow"), "GET, HEAD, OPTIONS");
        assert_int_equal(ask(s, &a, "POST", "/file.txt", "Content-Length: 0\r\n"), 405);
        assert_string_equal(asked_field(&a, "Allow"), "GET, HEAD, OPTIONS");
        assert_int_equal(ask(s, &a, "BREW", "/file.txt", NULL), 501);
}

/* HEAD is asked to learn what GET would say: not one field may differ. */
static void head_says_what_get_says(void **state) {
        static const char *const targets[] = { "/file.txt", "/big.bin", "/empty", "/folder" };
        char fields[1024];

        for (size_t i = 0; i < ELEMENTS(targets); i++) {
                unsigned status = get(*state, &a, targets[i]);
                uint64_t bytes = a.x.body_bytes;

                assert_true(a.fields.used < sizeof(fields));
                memcpy(fields, a.fields.data, a.fields.used);
                assert_int_equal(ask(*state, &a, "HEAD", targets[i], NULL), status);
                assert_int_equal(a.x.body_bytes, bytes);
                assert_memory_equal(a.fields.data, fields, a.fields.used);
        }
}

/* A large file goes out from its descriptor in pieces as large as there is room. */
static void large_file_comes_whole(void **state) {
        struct site *s = *state;

        for (int round = 0; round < 2; round++) {
                ask_begin(s, &a, "GET", "/big.bin", NULL);
                ask_end(&a, 7777);
                assert_int_equal(a.x.status, 200);
                assert_int_equal(a.pieces, (BIG_BYTES + 7776) / 7777);
                assert_int_equal(a.file_pieces, a.pieces);
                assert_true(asked_body_is(&a, (struct text){ big, sizeof(big) }));
                assert_string_equal(asked_field(&a, "Content-Type"), "application/octet-stream");
        }
        ask_begin(s, &a, "GET", "/file.txt", NULL);
        ask_end(&a, 3);
        assert_int_equal(a.pieces, 4);
        assert_true(asked_body_is(&a, TEXT("0123456789")));
}

/* RFC 9110, 13.2.2: a client that has the file is not sent it again. */
static void conditions_are_evaluated(void **state) {
        struct site *s = *state;
        char etag[80], date[40], fields[200];

        assert_int_equal(get(s, &a, "/file.txt"), 200);
        snprintf(etag, sizeof(etag), "%s", asked_field(&a, "ETag"));
        snprintf(date, sizeof(date), "%s", asked_field(&a, "Last-Modified"));

        snprintf(fields, sizeof(fields), "If-None-Match: %s\r\n", etag);
        assert_int_equal(ask(s, &a, "GET", "/file.txt", fields), 304);
        assert_int_equal(a.pieces, 0);
        assert_string_equal(asked_field(&a, "ETag"), etag);
        assert_string_equal(asked_field(&a, "Last-Modified"), date);
        assert_string_equal(asked_field(&a, "Content-Type"), "");
        assert_int_equal(ask(s, &a, "GET", "/file.txt", "If-None-Match: \"other\"\r\n"), 200);

        snprintf(fields, sizeof(fields), "If-Modified-Since: %s\r\n", date);
        assert_int_equal(ask(s, &a, "HEAD", "/file.txt", fields), 304);
        assert_int_equal(ask(s, &a, "GET", "/file.txt",
                             "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
                         200);
        assert_int_equal(ask(s, &a, "GET", "/file.txt", "If-Match: \"other\"\r\n"), 412);
        assert_int_equal(ask(s, &a, "GET", "/missing", "If-None-Match: *\r\n"), 404);
}

struct range_row {
        const char *fields;
        unsigned status;
        const char *content_range, *body;
};

/* RFC 9110, 14: players seek and downloads go on by this. */
static void one_range_is_served(void **state) {
        static const struct range_row rows[] = {
                { "Range: bytes=2-4\r\n", 206, "bytes 2-4/10", "234" },
                { "Range: bytes=7-\r\n", 206, "bytes 7-9/10", "789" },
                { "Range: bytes=-1\r\n", 206, "bytes 9-9/10", "9" },
                { "Range: bytes=0-99\r\n", 206, "bytes 0-9/10", "0123456789" },
                { "Range: bytes=10-\r\n", 416, "bytes */10", NULL },
                { "Range: bytes=0-1,4-5\r\n", 200, "", "0123456789" },
                { "Range: lines=0-1\r\n", 200, "", "0123456789" },
                { "Range: bytes=2-4\r\nIf-Range: \"other\"\r\n", 200, "", "0123456789" },
                { "Range: bytes=2-4\r\nIf-None-Match: *\r\n", 304, "", "" },
        };
        const struct range_row *row;

        for (row = rows; row < rows + ELEMENTS(rows); row++) {
                if (ask(*state, &a, "GET", "/file.txt", row->fields) != row->status)
                        fail_msg("%s: %u", row->fields, a.x.status);
                assert_string_equal(asked_field(&a, "Content-Range"), row->content_range);
                if (row->body)
                        assert_true(asked_body_is(&a, text_of(row->body)));
        }
        assert_int_equal(ask(*state, &a, "HEAD", "/file.txt", "Range: bytes=2-4\r\n"), 200);
        assert_int_equal(ask(*state, &a, "GET", "/big.bin", "Range: bytes=70000-70009\r\n"), 206);
        assert_true(asked_body_is(&a, (struct text){ big + 70000, 10 }));
        assert_int_equal(a.file_pieces, 1);
        assert_int_equal(ask(*state, &a, "GET", "/empty", "Range: bytes=0-\r\n"), 416);
}

/* A download that goes on must not be joined to another version of the file. */
static void if_range_holds_for_the_same_file_only(void **state) {
        struct site *s = *state;
        char fields[200];

        assert_int_equal(get(s, &a, "/file.txt"), 200);
        snprintf(fields, sizeof(fields), "Range: bytes=1-2\r\nIf-Range: %s\r\n",
                 asked_field(&a, "ETag"));
        assert_int_equal(ask(s, &a, "GET", "/file.txt", fields), 206);
        tree_write(&s->tree, "file.txt", TEXT("changed"));
        site_advance(s, 2 * USEC_PER_SEC);
        assert_int_equal(ask(s, &a, "GET", "/file.txt", fields), 200);
        assert_true(asked_body_is(&a, TEXT("changed")));
}

/* Each runs with lookups on the loop, and again with the walk, all of it offloaded. */
#define BOTH_WAYS(test)                                                               \
        cmocka_unit_test_setup_teardown(test, setup, teardown), {                     \
#test " without openat2", test, setup_without_openat2, teardown, NULL \
        }

int main(void) {
        const struct CMUnitTest tests[] = {
                BOTH_WAYS(file_is_served_with_its_fields),
                BOTH_WAYS(query_does_not_matter),
                BOTH_WAYS(spellings_of_a_path_mean_one_file),
                BOTH_WAYS(escapes_are_not_bytes_of_a_name),
                BOTH_WAYS(folder_wants_its_slash),
                BOTH_WAYS(redirect_never_leaves_the_site),
                BOTH_WAYS(what_cannot_be_had_is_refused),
                BOTH_WAYS(unreadable_file_is_forbidden),
                BOTH_WAYS(methods_are_few),
                BOTH_WAYS(head_says_what_get_says),
                BOTH_WAYS(large_file_comes_whole),
                BOTH_WAYS(conditions_are_evaluated),
                BOTH_WAYS(one_range_is_served),
                BOTH_WAYS(if_range_holds_for_the_same_file_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

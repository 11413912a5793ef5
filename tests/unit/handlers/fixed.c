/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct asked a;

static int setup(void **state) {
        static struct site s;

        site_open(&s, NULL);
        *state = &s;
        return 0;
}

static int teardown(void **state) {
        asked_finish(&a);
        site_close(*state);
        return 0;
}

static void use(struct site *s, enum settings_handler handler, unsigned status,
                const char *target) {
        handler_route_finish(&s->route);
        s->settings = (struct settings_route){
                .prefix = (char *)"/",
                .handler = handler,
                .status = status,
                .target = (char *)target,
        };
        s->route = (struct handler_route){};
        site_reload(s);
}

/* A moved site sends its visitors on, whatever they ask for. */
static void redirect_names_its_target(void **state) {
        use(*state, HANDLER_REDIRECT, 308, "https://example.org/a?b=c");
        assert_int_equal(get(*state, &a, "/x/../y?z"), 308);
        assert_string_equal(asked_field(&a, "Location"), "https://example.org/a?b=c");
        assert_int_equal(ask(*state, &a, "POST", "/", "Content-Length: 0\r\n"), 308);
}

/* A target that could end its field would let settings made by a script write whole answers. */
static void redirect_target_cannot_end_its_field(void **state) {
        static const char *const targets[] = { "/a\r\nX: y", "/a b", "/a\x7f", "/\n" };
        struct settings_route settings = { .handler = HANDLER_REDIRECT, .status = 301 };
        struct handler_route route;
        char reason[HANDLER_REASON_BYTES];

        for (size_t i = 0; i < ELEMENTS(targets); i++) {
                settings.target = (char *)targets[i];
                assert_int_equal(handler_route_prepare(&route, &settings, reason), -EINVAL);
                assert_non_null(strstr(reason, "percent-encode"));
                handler_route_finish(&route);
        }
}

/* A health check or a notice: the text comes whole, in whatever pieces there is room for. */
static void return_gives_its_text(void **state) {
        use(*state, HANDLER_RETURN, 503, "back at noon");
        ask_begin(*state, &a, "GET", "/", NULL);
        ask_end(&a, 5);
        assert_int_equal(a.x.status, 503);
        assert_int_equal(a.pieces, 3);
        assert_true(asked_body_is(&a, TEXT("back at noon")));
        assert_string_equal(asked_field(&a, "Content-Type"), "text/plain; charset=utf-8");
        assert_int_equal(ask(*state, &a, "HEAD", "/", NULL), 503);
        assert_int_equal(a.x.body_bytes, 12);
}

/* Without a text a refusal still says what it is, and a success says nothing. */
static void return_without_text(void **state) {
        use(*state, HANDLER_RETURN, 404, NULL);
        assert_int_equal(get(*state, &a, "/"), 404);
        assert_true(a.x.refused);
        use(*state, HANDLER_RETURN, 204, NULL);
        assert_int_equal(get(*state, &a, "/"), 204);
        assert_int_equal(a.x.body_bytes, 0);
        use(*state, HANDLER_RETURN, 200, "");
        assert_int_equal(get(*state, &a, "/"), 200);
        assert_int_equal(a.x.body_bytes, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(redirect_names_its_target, setup, teardown),
                cmocka_unit_test_setup_teardown(redirect_target_cannot_end_its_field, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(return_gives_its_text, setup, teardown),
                cmocka_unit_test_setup_teardown(return_without_text, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

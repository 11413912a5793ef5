/* SPDX-License-Identifier: MIT */
#include "handlers/files-root.h"

#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "handlers/files-cache.h"
#include "handlers/files-open.h"

static struct asked a;
static char root_path[600];

/* The root is "current", a link to a folder, as deployments switch it. */
static struct site *open_site(void) {
        static struct site s;

        site_open(&s, NULL);
        tree_folder(&s.tree, "one");
        tree_folder(&s.tree, "two");
        tree_write(&s.tree, "one/x.txt", TEXT("one"));
        tree_write(&s.tree, "two/x.txt", TEXT("two"));
        tree_write(&s.tree, "two/new.txt", TEXT("new"));
        tree_link(&s.tree, "one", "current");
        snprintf(root_path, sizeof(root_path), "%s/current", s.tree.path);
        s.settings.root = root_path;
        site_reload(&s);
        return &s;
}

static int setup(void **state) {
        *state = open_site();
        return 0;
}

static int setup_without_openat2(void **state) {
        files_open_allow_openat2(false);
        return setup(state);
}

static int teardown(void **state) {
        asked_finish(&a);
        site_close(*state);
        files_open_allow_openat2(true);
        return 0;
}

static void assert_gives(struct site *s, const char *target, const char *body) {
        assert_int_equal(get(s, &a, target), 200);
        assert_true(asked_body_is(&a, text_of(body)));
}

static void switch_link(struct site *s, const char *target) {
        tree_link(&s->tree, target, "next");
        assert_int_equal(renameat(s->tree.fd, "next", s->tree.fd, "current"), 0);
}

/* A deployment switches a link, and nobody tells the server. */
static void switched_link_is_noticed(void **state) {
        struct site *s = *state;

        assert_gives(s, "/x.txt", "one");
        switch_link(s, "two");
        for (int i = 0; i < 3; i++) { /* the root's second, the entry's, and a turn of the pool */
                site_advance(s, USEC_PER_SEC);
                get(s, &a, "/x.txt");
        }
        assert_gives(s, "/x.txt", "two");
        assert_gives(s, "/new.txt", "new");
}

/* Or it renames folders; between the two renames there is nothing at the path. */
static void renamed_folder_is_noticed(void **state) {
        struct site *s = *state;

        assert_gives(s, "/x.txt", "one");
        assert_int_equal(unlinkat(s->tree.fd, "current", 0), 0);
        for (int i = 0; i < 3; i++) {
                site_advance(s, USEC_PER_SEC);
                assert_gives(s, "/x.txt", "one"); /* the old one goes on */
        }
        assert_int_equal(renameat(s->tree.fd, "two", s->tree.fd, "current"), 0);
        for (int i = 0; i < 3; i++) {
                site_advance(s, USEC_PER_SEC);
                get(s, &a, "/x.txt");
                site_turn(s);
        }
        assert_gives(s, "/x.txt", "two");
}

/* A look at the path is a system call: one a second, however many files are asked for. */
static void root_is_looked_at_once_a_second(void **state) {
        struct site *s = *state;
        struct files_view *view;

        for (int i = 0; i < 10; i++)
                assert_int_equal(get(s, &a, "/missing"), 404);
        view = container_of(s->worker.files->views.next, struct files_view, link);
        assert_true(view->check_usec > loop_now_usec(s->loop));
        assert_int_equal(s->worker.files->view_count, 1);
        switch_link(s, "two");
        for (int i = 0; i < 10; i++)
                assert_int_equal(get(s, &a, "/new.txt"), 404);
}

/* What is being sent comes from the folder it began in, and that one is let go in the end. */
static void answer_under_way_keeps_the_old_folder(void **state) {
        static struct asked slow;
        struct site *s = *state;
        struct stat st;
        int folder, fd;

        ask_begin(s, &slow, "GET", "/x.txt", NULL);
        switch_link(s, "two");
        for (int i = 0; i < 4; i++) {
                site_advance(s, USEC_PER_SEC);
                get(s, &a, "/x.txt");
        }
        assert_gives(s, "/x.txt", "two");
        ask_end(&slow, 100);
        assert_true(asked_body_is(&slow, TEXT("one")));
        asked_finish(&slow);
        /* after a reload the worker holds nothing of the old root */
        folder = container_of(s->worker.files->views.next, struct files_view, link)->folder->fd;
        handler_route_finish(&s->route);
        files_cache_drop(s->worker.files);
        assert_int_equal(s->worker.files->view_count, 0);
        assert_int_equal(fstat(folder, &st), -1);
        fd = open(root_path, O_PATH | O_CLOEXEC);
        assert_true(fd >= 0);
        close(fd);
        site_reload(s);
        assert_gives(s, "/x.txt", "two");
}

/* Many sites: what a worker remembers of them is bounded, and all are served. */
static void many_roots_are_served(void **state) {
        static struct handler_route routes[300];
        struct site *s = *state;
        struct handler_route own = s->route;
        char reason[HANDLER_REASON_BYTES];

        for (size_t i = 0; i < ELEMENTS(routes); i++)
                assert_int_equal(handler_route_prepare(&routes[i], &s->settings, reason), 0);
        for (size_t i = 0; i < ELEMENTS(routes); i++) {
                s->route = routes[i];
                assert_gives(s, "/x.txt", "one");
        }
        assert_true(s->worker.files->view_count <= 256);
        for (size_t i = 0; i < ELEMENTS(routes); i++)
                handler_route_finish(&routes[i]);
        s->route = own;
        assert_gives(s, "/x.txt", "one");
        assert_true(s->worker.files->view_count <= 256);
}

struct fault {
        const char *path;
        int error;
        const char *says;
};

/* The one line that an administrator gets must name the cause and the cure. */
static void faulty_roots_are_explained(void **state) {
        static const struct fault faults[] = {
                { "/nowhere/at/all", -ENOENT, "No such file or directory; create the folder" },
                { "/etc/passwd", -ENOTDIR, "is not a folder; name the folder" },
        };
        struct settings_route settings = ((struct site *)*state)->settings;
        struct handler_route route;
        char reason[HANDLER_REASON_BYTES];

        for (size_t i = 0; i < ELEMENTS(faults); i++) {
                settings.root = (char *)faults[i].path;
                assert_int_equal(handler_route_prepare(&route, &settings, reason), faults[i].error);
                assert_non_null(strstr(reason, faults[i].path));
                assert_non_null(strstr(reason, faults[i].says));
                handler_route_finish(&route);
        }
}

/* A folder that the server's user cannot enter is found when settings are read, not by visitors. */
static void folder_that_cannot_be_entered_is_refused(void **state) {
        struct site *s = *state;
        struct settings_route settings = s->settings;
        struct handler_route route;
        char reason[HANDLER_REASON_BYTES];
        int r;

        if (geteuid() != 0)
                skip();
        assert_int_equal(chmod(s->tree.path, 0755), 0);
        assert_int_equal(fchmodat(s->tree.fd, "one", 0700, 0), 0);
        assert_int_equal(seteuid(65534), 0);
        r = handler_route_prepare(&route, &settings, reason);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(r, -EACCES);
        assert_non_null(strstr(reason, "Permission denied; allow the user"));
        handler_route_finish(&route);
}

struct below_row {
        const char *prefix, *target;
        unsigned status;
        const char *body, *location;
};

/* Root= of a Route: what is below the prefix is looked up beneath it, and nothing beside it. */
static void prefix_is_taken_off(void **state) {
        static const struct below_row rows[] = {
                { "/api/", "/api/x.txt", 200, "one", "" },
                { "/api/", "/api/", 404, NULL, "" },
                { "/api/", "/api", 301, NULL, "/api/" },
                { "/api/", "/x.txt", 404, NULL, "" },
                { "/api/", "/api/../x.txt", 404, NULL, "" },
                { "/api/", "/api/%2e%2e/api/x.txt", 200, "one", "" },
                { "/api", "/api/x.txt", 200, "one", "" },
                { "/api", "/api?q", 301, NULL, "/api/?q" },
                { "/api", "/apix.txt", 404, NULL, "" },
                { "/a b/", "/a%20b/x.txt", 200, "one", "" },
                { "/.hidden/", "/.hidden/x.txt", 200, "one", "" },
        };
        struct site *s = *state;

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                s->settings.prefix = (char *)rows[i].prefix;
                site_reload(s);
                if (get(s, &a, rows[i].target) != rows[i].status)
                        fail_msg("%s: %u", rows[i].target, a.x.status);
                if (rows[i].body)
                        assert_true(asked_body_is(&a, text_of(rows[i].body)));
                assert_string_equal(asked_field(&a, "Location"), rows[i].location);
        }
}

/* Each runs with looks at once, and again with all of them offloaded. */
#define BOTH_WAYS(test)                                                               \
        cmocka_unit_test_setup_teardown(test, setup, teardown), {                     \
#test " without openat2", test, setup_without_openat2, teardown, NULL \
        }

int main(void) {
        const struct CMUnitTest tests[] = {
                BOTH_WAYS(switched_link_is_noticed),
                BOTH_WAYS(renamed_folder_is_noticed),
                cmocka_unit_test_setup_teardown(root_is_looked_at_once_a_second, setup, teardown),
                BOTH_WAYS(answer_under_way_keeps_the_old_folder),
                BOTH_WAYS(many_roots_are_served),
                BOTH_WAYS(faulty_roots_are_explained),
                BOTH_WAYS(folder_that_cannot_be_entered_is_refused),
                BOTH_WAYS(prefix_is_taken_off),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

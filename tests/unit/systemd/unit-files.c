/* SPDX-License-Identifier: MIT */
#include "systemd/unit-files.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "units-fixture.h"

/* All lines as "section.key=value", one behind the other. */
static void assert_unit(const char *name, const char *expected) {
        char all[4096] = "";
        struct unit *u;

        assert_int_equal(unit_load(root, name, &u), 0);
        for (size_t i = 0; i < u->count; i++)
                snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s.%s=%s ",
                         u->lines[i].section, u->lines[i].key, u->lines[i].value);
        assert_string_equal(all, expected);
        unit_free(u);
}

static void assert_not_loaded(const char *name, int error) {
        struct unit *u = NULL;

        assert_int_equal(unit_load(root, name, &u), error);
        assert_null(u);
}

/* Where each line stands is what a fault names. */
static void lines_and_places(void **state) {
        char file[4096];
        struct unit *u;

        put(USR "a.socket", "# comment\n[Socket]\nListenStream=80 \\\n  81\n; x\nNoDelay = yes\n"
                            "no assignment\n[Install]\nWantedBy=sockets.target\n");
        assert_int_equal(unit_load(root, "a.socket", &u), 0);
        snprintf(file, sizeof(file), "%s" USR "a.socket", root);
        assert_string_equal(u->name, "a.socket");
        assert_string_equal(u->file, file);
        assert_int_equal(u->count, 3);
        assert_string_equal(u->lines[0].value, "80    81");
        assert_int_equal(u->lines[0].line, 3);
        assert_string_equal(u->lines[1].key, "NoDelay");
        assert_int_equal(u->lines[1].line, 6);
        assert_string_equal(u->lines[2].file, file);
        unit_free(u);
}

/* What an administrator writes in /etc hides what a package brought. */
static void first_folder_wins(void **state) {
        put(USR "a.socket", "[Socket]\nListenStream=1\n");
        assert_unit("a.socket", "Socket.ListenStream=1 ");
        put(RUN "a.socket", "[Socket]\nListenStream=2\n");
        assert_unit("a.socket", "Socket.ListenStream=2 ");
        put(ETC "a.socket", "[Socket]\nListenStream=3\n");
        assert_unit("a.socket", "Socket.ListenStream=3 ");
}

static void drop_ins(void **state) {
        put(USR "a-b.socket", "[Socket]\nX=0\n");
        put(USR "a-b.socket.d/20.conf", "[Socket]\nX=20\n");
        put(ETC "a-b.socket.d/10.conf", "[Socket]\nX=10\n");
        put(RUN "a-b.socket.d/30.conf", "[Socket]\nX=hidden\n");
        put(ETC "a-b.socket.d/30.conf", "[Socket]\nX=30\n");
        put(USR "a-b.socket.d/40.conf", "[Socket]\nX=masked\n");
        put_link(ETC "a-b.socket.d/40.conf", "/dev/null");
        put(USR "a-.socket.d/25.conf", "[Socket]\nX=25\n");
        put(ETC "socket.d/15.conf", "[Socket]\nX=15\n");
        put(ETC "a-b.socket.d/50.conf~", "[Socket]\nX=no\n");
        put(ETC "a-b.socket.d/.60.conf", "[Socket]\nX=no\n");
        assert_unit("a-b.socket",
                    "Socket.X=0 Socket.X=10 Socket.X=15 Socket.X=20 Socket.X=25 Socket.X=30 ");
}

/* An instance has the text of its template, and drop-ins of both. */
static void instances(void **state) {
        put(USR "a@.socket", "[Socket]\nListenStream=%i\n");
        put(ETC "a@.socket.d/1.conf", "[Socket]\nX=all\n");
        put(ETC "a@80.socket.d/2.conf", "[Socket]\nX=80\n");
        assert_unit("a@80.socket", "Socket.ListenStream=%i Socket.X=all Socket.X=80 ");
        assert_unit("a@81.socket", "Socket.ListenStream=%i Socket.X=all ");
        put(ETC "a@81.socket", "[Socket]\nListenStream=own\n");
        assert_unit("a@81.socket", "Socket.ListenStream=own Socket.X=all ");
}

static void masked(void **state) {
        put(USR "a.socket", "[Socket]\nX=1\n");
        put_link(ETC "a.socket", "/dev/null");
        assert_not_loaded("a.socket", -ERFKILL);
        put(USR "b.socket", "[Socket]\nX=1\n");
        put(RUN "b.socket", "");
        assert_not_loaded("b.socket", -ERFKILL);
        assert_not_loaded("c.socket", -ENOENT);
}

/* A second name is the same unit, with the drop-ins of its first name. */
static void aliases(void **state) {
        struct unit *u;

        put(USR "a.socket", "[Socket]\nX=1\n");
        put(ETC "a.socket.d/1.conf", "[Socket]\nX=2\n");
        put_link(ETC "b.socket", USR "a.socket");
        assert_unit("b.socket", "Socket.X=1 Socket.X=2 ");
        assert_int_equal(unit_load(root, "b.socket", &u), 0);
        assert_string_equal(u->name, "a.socket");
        unit_free(u);
        put_link(ETC "c.socket", "d.socket");
        put_link(ETC "d.socket", "c.socket");
        assert_not_loaded("c.socket", -ELOOP);
}

/* Whoever may write where units are must not stop --check, or make it read without end. */
static void hostile_files(void **state) {
        static const char bytes[] = "[Socket]\nA=\0\nB=\xff\nC=1\n[Bro\nD=2\n=3\n";
        char *large = calloc(1, UNIT_FILE_BYTES_MAX + 1);

        assert_non_null(large);
        memset(large, '\n', UNIT_FILE_BYTES_MAX + 1);
        put_bytes(USR "large.socket", large, UNIT_FILE_BYTES_MAX + 1);
        free(large);
        assert_not_loaded("large.socket", -EFBIG);
        assert_int_equal(mkfifo(in_root(USR "fifo.socket"), 0600), 0);
        assert_not_loaded("fifo.socket", -EINVAL);
        assert_int_equal(mkdir(in_root(USR "folder.socket"), 0700), 0);
        assert_not_loaded("folder.socket", -EINVAL);
        assert_not_loaded("../../../a.socket", -EINVAL);

        put_bytes(USR "bytes.socket", bytes, sizeof(bytes) - 1);
        put(USR "bytes.socket.d/1.conf", "E=before any section\n[Socket]\nF=5\n");
        assert_int_equal(mkfifo(in_root(USR "bytes.socket.d/2.conf"), 0600), 0);
        assert_unit("bytes.socket", "Socket.C=1 Socket.D=2 Socket.F=5 ");
}

static void find_takes_the_last(void **state) {
        struct unit *u;

        put(USR "a.socket", "[Socket]\nX=1\nX=2\nY=1\nY=\n[Other]\nX=3\n");
        assert_int_equal(unit_load(root, "a.socket", &u), 0);
        assert_string_equal(unit_find(u, "Socket", "X")->value, "2");
        assert_null(unit_find(u, "Socket", "Y"));
        assert_null(unit_find(u, "Socket", "Z"));
        unit_free(u);
}

static void expand(void **state) {
        _cleanup_(buffer_finish)
        struct buffer b = {};
        struct unit *u;

        put(USR "a@.socket", "[Socket]\n");
        assert_int_equal(unit_load(root, "a@x-y.socket", &u), 0);
        assert_int_equal(unit_expand(u, TEXT("<%i|%I|100%%>"), &b), 0);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        assert_string_equal(b.data, "<x-y|x/y|100%>");
        assert_int_equal(unit_expand(u, TEXT("50%"), &b), -EINVAL);
        assert_int_equal(unit_expand(u, TEXT("%z"), &b), -EINVAL);
        unit_free(u);
}

static char seen_names[1024];

static int note(const char *name, bool enabled, void *data) {
        strcat(strcat(seen_names, enabled ? "+" : "-"), name);
        strcat(seen_names, " ");
        return 0;
}

static int refuse(const char *name, bool enabled, void *data) {
        return -EIO;
}

/* Enabled is what a link of any kind enables; instances are known by such links alone. */
static void names(void **state) {
        put(USR "a.socket", "[Socket]\n");
        put(USR "b@.socket", "[Socket]\n");
        put(USR "c.service", "[Service]\n");
        put_link(ETC "sockets.target.wants/a.socket", USR "a.socket");
        put_link(ETC "x.service.requires/b@1.socket", USR "b@.socket");
        put_link(RUN "sockets.target.wants/c.service", USR "c.service");
        put(USR "sockets.target.wants/no name.socket", "");
        seen_names[0] = '\0';
        assert_int_equal(unit_names(root, TEXT(".socket"), note, NULL), 0);
        assert_non_null(strstr(seen_names, "+a.socket "));
        assert_non_null(strstr(seen_names, "+b@1.socket "));
        assert_int_equal(strlen(seen_names), strlen("+a.socket +b@1.socket "));
        put(ETC "d.socket", "[Socket]\n");
        seen_names[0] = '\0';
        assert_int_equal(unit_names(root, TEXT(".socket"), note, NULL), 0);
        assert_non_null(strstr(seen_names, "-d.socket "));
        assert_int_equal(unit_names(root, TEXT(".socket"), refuse, NULL), -EIO);
        assert_int_equal(unit_names("/nonexistent", TEXT(".socket"), refuse, NULL), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(lines_and_places), TEST(first_folder_wins),
                TEST(drop_ins),         TEST(instances),
                TEST(masked),           TEST(aliases),
                TEST(hostile_files),    TEST(find_takes_the_last),
                TEST(expand),           TEST(names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

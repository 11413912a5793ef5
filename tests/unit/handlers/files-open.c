/* SPDX-License-Identifier: MIT */
#include "handlers/files-open.h"

#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

enum { FUZZ_ROUNDS = 30000, CHAIN = 45 };

/* The tree is built once: the tests only look at it. "root" is what is served. */
static struct tree tree;
static int root = -1;

static void make_links(void) {
        static const char *const links[][2] = {
                { "file", "root/link" },
                { "a", "root/link-folder" },
                { "a/", "root/link-slash" },
                { "file/", "root/link-file-slash" },
                { "a/b/../../file", "root/up-inside" },
                { "../file", "root/a/up" },
                { "../../outside", "root/a/out" },
                { "../root/file", "root/out-and-in" },
                { "..", "root/parent" },
                { ".", "root/self" },
                { "a/..", "root/back" },
                { "/etc/passwd", "root/absolute" },
                { "/", "root/slash" },
                { "nowhere", "root/dangling" },
                { "loop-2", "root/loop-1" },
                { "loop-1", "root/loop-2" },
                { "link-folder/b/deep", "root/through" },
                { "file/..", "root/through-file" },
                { "missing/..", "root/through-missing" },
                { "locked/..", "root/through-locked" },
                { "locked/.", "root/at-locked" },
                { "link-folder/../file", "root/a/b/relative" },
                { "./././a//b///deep", "root/noise" },
                { "../a/../a/../a/b/../b/deep", "root/a/zigzag" },
                { "\xff\xfe \n", "root/odd-link" },
        };
        char from[32], to[32];

        for (size_t i = 0; i < ELEMENTS(links); i++)
                tree_link(&tree, links[i][0], links[i][1]);
        tree_link(&tree, "file", "root/chain-0");
        for (unsigned i = 1; i < CHAIN; i++) {
                snprintf(from, sizeof(from), "chain-%u", i - 1);
                snprintf(to, sizeof(to), "root/chain-%u", i);
                tree_link(&tree, from, to);
        }
}

static int make_tree(void **state) {
        tree_make(&tree);
        tree_folder(&tree, "root");
        tree_folder(&tree, "root/a");
        tree_folder(&tree, "root/a/b");
        tree_folder(&tree, "root/locked");
        tree_folder(&tree, "root-beside");
        tree_write(&tree, "outside", TEXT("outside"));
        tree_write(&tree, "root/file", TEXT("file"));
        tree_write(&tree, "root/a/b/deep", TEXT("deep"));
        tree_write(&tree, "root/locked/in", TEXT("in"));
        tree_write(&tree, "root/\xff\xfe \n", TEXT("odd"));
        tree_write(&tree, "root/unreadable", TEXT("secret"));
        make_links();
        assert(mkfifoat(tree.fd, "root/fifo", 0644) == 0);
        assert(fchmodat(tree.fd, "root/unreadable", 0, 0) == 0);
        assert(fchmodat(tree.fd, "root/locked", 0600, 0) == 0);
        assert(chmod(tree.path, 0755) == 0);
        root = openat(tree.fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return root < 0;
}

static int remove_tree(void **state) {
        root = fd_close(root);
        fchmodat(tree.fd, "root/locked", 0700, 0);
        tree_remove(&tree);
        return 0;
}

/* What a descriptor is of, so that two of them can be compared; or the error. */
struct found {
        int error;
        dev_t device;
        ino_t inode;
        mode_t mode;
};

static struct found look(int fd) {
        struct stat st;
        struct found f = { .error = fd };

        if (fd < 0)
                return f;
        assert_int_equal(fstat(fd, &st), 0);
        fd_close(fd);
        return (struct found){ 0, st.st_dev, st.st_ino, st.st_mode };
}

/*
 * The kernel counts links twice when a rename or a mount anywhere on the machine makes it walk
 * again, and so gives ELOOP where there are more than 20: then it is asked anew, a few times.
 */
static void assert_same(const char *path, int flags) {
        struct found a, b;

        files_open_allow_openat2(true);
        for (unsigned i = 0; i < 10; i++) {
                a = look(files_open_beneath(root, path, flags, FILES_OPEN_WAITING));
                b = look(files_open_walk(root, path, flags));
                if (a.error == b.error && a.device == b.device && a.inode == b.inode &&
                    a.mode == b.mode)
                        return;
                if (a.error != -ELOOP)
                        break;
                usleep(10000);
        }
        fail_msg("%s (flags %o): openat2 %d, walk %d", path, flags, a.error, b.error);
}

static bool has_openat2(void) {
        files_open_allow_openat2(true);
        return files_open_folder_at_once("/") >= 0;
}

static const char *const paths[] = {
        "file",
        "link",
        "link/",
        "file/",
        "file/x",
        "a",
        "a/",
        "a/b/deep",
        "a//b/./deep",
        ".",
        "..",
        "../outside",
        "a/..",
        "a/../..",
        "a/../../root/file",
        "a/../file",
        "link-folder",
        "link-folder/b/deep",
        "link-folder/",
        "link-slash",
        "link-slash/b",
        "link-file-slash",
        "up-inside",
        "a/up",
        "a/out",
        "out-and-in",
        "parent",
        "parent/outside",
        "self",
        "self/self/self/file",
        "back",
        "back/file",
        "back/..",
        "absolute",
        "slash",
        "slash/etc",
        "dangling",
        "dangling/x",
        "loop-1",
        "loop-1/x",
        "through",
        "through-file",
        "through-missing",
        "through-locked",
        "at-locked",
        "locked",
        "locked/",
        "locked/in",
        "locked/.",
        "locked/..",
        "a/b/relative",
        "noise",
        "a/zigzag",
        "odd-link",
        "\xff\xfe \n",
        "fifo",
        "fifo/",
        "missing",
        "missing/",
        "missing/..",
        "/etc/passwd",
        "/",
        "//",
        "",
        "unreadable",
        "chain-0",
        "chain-10",
        "chain-39",
        "chain-40",
        "chain-41",
        "chain-44",
        "chain-39/",
        "self/chain-38",
        "self/chain-39",
        "self/self/chain-39",
        "root-beside",
        "../root-beside",
        "a/../../root-beside",
};

/*
 * Where openat2(2) is forbidden the walk stands in, and nobody sees which one served a request: so
 * they must agree, also about errors.
 */
static void walk_gives_what_openat2_gives(void **state) {
        static const int flags[] = { O_RDONLY, O_PATH, O_PATH | O_DIRECTORY,
                                     O_RDONLY | O_DIRECTORY };

        if (!has_openat2())
                skip();
        for (size_t i = 0; i < ELEMENTS(paths); i++)
                for (size_t j = 0; j < ELEMENTS(flags); j++)
                        assert_same(paths[i], flags[j]);
}

/* Root may search any folder: what search permission decides is seen by others only. */
static void walk_needs_the_same_permissions(void **state) {
        if (!has_openat2() || geteuid() != 0)
                skip();
        assert_int_equal(seteuid(65534), 0);
        for (size_t i = 0; i < ELEMENTS(paths); i++)
                assert_same(paths[i], O_RDONLY);
        assert_int_equal(seteuid(0), 0);
}

/*
 * In a folder like /tmp a link of somebody else's is a trap (fs.protected_symlinks); the walk knows
 * that whether the kernel is told to or not.
 */
static void walk_follows_no_trap(void **state) {
        int fd;

        if (geteuid() != 0)
                skip();
        tree_folder(&tree, "root/sticky");
        tree_write(&tree, "root/sticky/target", TEXT("x"));
        tree_link(&tree, "target", "root/sticky/foreign");
        tree_link(&tree, "target", "root/sticky/owners");
        assert_int_equal(fchownat(tree.fd, "root/sticky/foreign", 1, 1, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(fchmodat(tree.fd, "root/sticky", 01777, 0), 0);
        assert_int_equal(seteuid(65534), 0);
        assert_int_equal(files_open_walk(root, "sticky/foreign", O_RDONLY), -EACCES);
        fd = files_open_walk(root, "sticky/owners", O_RDONLY);
        assert_int_equal(seteuid(0), 0);
        assert_true(fd >= 0);
        fd_close(fd);
}

/* Paths that nobody thought of. */
static void walk_agrees_about_random_paths(void **state) {
        static const char *const parts[] = {
                "a",        "b",          "..",          ".",        "/",        "//",
                "/..",      "file",       "link-folder", "self",     "parent",   "back",
                "a/b",      "up-inside",  "a/up",        "through",  "locked",   "zigzag",
                "noise",    "deep",       "\xff\xfe \n", "absolute", "dangling", "loop-1",
                "chain-20", "out-and-in",
        };
        unsigned seed = 7;

        if (!has_openat2())
                skip();
        for (unsigned i = 0; i < FUZZ_ROUNDS; i++) {
                char path[256] = "";
                unsigned count = 1 + rand_r(&seed) % 8;

                for (unsigned j = 0; j < count; j++) {
                        strcat(path, parts[rand_r(&seed) % ELEMENTS(parts)]);
                        if (rand_r(&seed) % 4)
                                strcat(path, "/");
                }
                assert_same(path, O_RDONLY);
        }
}

/* Names come from strangers, up to the length of a request line. */
static void long_names_and_paths_are_refused_alike(void **state) {
        char path[8192];

        if (!has_openat2())
                skip();
        for (unsigned size = 250; size < 260; size++) {
                memset(path, 'x', size);
                strcpy(path + size, size % 2 ? "/x" : "");
                assert_same(path, O_RDONLY);
        }
        for (unsigned size = 4090; size < 4100; size++) {
                for (unsigned i = 0; i < size; i += 2)
                        memcpy(path + i, "./", 2);
                strcpy(path + size - 4, "file");
                assert_same(path, O_RDONLY);
        }
}

static void check_nothing_leaves(int (*open_it)(const char *path)) {
        static const char *const leading_out[] = {
                "..",
                "../outside",
                "a/../..",
                "a/../../outside",
                "a/out",
                "parent",
                "slash",
                "parent/outside",
                "absolute",
                "slash/etc/passwd",
                "out-and-in",
                "back/..",
                "self/../outside",
                "/etc/passwd",
                "a/../../root/file",
        };

        for (size_t i = 0; i < ELEMENTS(leading_out); i++)
                if (open_it(leading_out[i]) != -EXDEV)
                        fail_msg("%s was not refused", leading_out[i]);
}

static int open_by_walk(const char *path) {
        return files_open_walk(root, path, O_RDONLY);
}

static int open_as_usual(const char *path) {
        return files_open_beneath(root, path, O_RDONLY, FILES_OPEN_WAITING);
}

static int open_without_openat2(const char *path) {
        int fd;

        files_open_allow_openat2(false);
        fd = open_as_usual(path);
        files_open_allow_openat2(true);
        return fd;
}

/* The promise of a root: nothing outside it is served, whatever links and dots say. */
static void nothing_leaves_the_root(void **state) {
        check_nothing_leaves(open_by_walk);
        check_nothing_leaves(open_as_usual);
        check_nothing_leaves(open_without_openat2);
}

/* On the loop nothing may be opened that could wait: what is not known to be in memory is not. */
static void at_once_never_guesses(void **state) {
        int fd;

        if (!has_openat2())
                skip();
        fd_close(files_open_beneath(root, "a/b/deep", O_RDONLY, FILES_OPEN_WAITING));
        fd = files_open_beneath(root, "a/b/deep", O_RDONLY, FILES_OPEN_AT_ONCE);
        assert_true(fd >= 0);
        fd_close(fd);
        /* leads out, which the kernel cannot tell from a mount that is not to be crossed at once */
        assert_int_equal(files_open_beneath(root, "a/out", O_RDONLY, FILES_OPEN_AT_ONCE), -EAGAIN);
        files_open_allow_openat2(false);
        assert_int_equal(files_open_beneath(root, "file", O_RDONLY, FILES_OPEN_AT_ONCE), -EAGAIN);
        assert_int_equal(files_open_folder_at_once("/"), -EAGAIN);
        files_open_allow_openat2(true);
}

/* open(2) of a FIFO waits for its other end; a stranger could stop all threads of the pool so. */
static void fifos_do_not_hold_up(void **state) {
        int a = open_as_usual("fifo"), b = open_by_walk("fifo");

        assert_true(a >= 0 && b >= 0);
        fd_close(a);
        fd_close(b);
}

/* Descriptors of folders on the way are opened by the dozen; one left behind a request is fatal. */
static void no_descriptor_is_left(void **state) {
        int before = open("/dev/null", O_RDONLY | O_CLOEXEC), after;

        fd_close(before);
        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                fd_close(open_by_walk(paths[i]));
                fd_close(open_as_usual(paths[i]));
        }
        after = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(before, after);
        fd_close(after);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(walk_gives_what_openat2_gives),
                cmocka_unit_test(walk_needs_the_same_permissions),
                cmocka_unit_test(walk_follows_no_trap),
                cmocka_unit_test(walk_agrees_about_random_paths),
                cmocka_unit_test(long_names_and_paths_are_refused_alike),
                cmocka_unit_test(nothing_leaves_the_root),
                cmocka_unit_test(at_once_never_guesses),
                cmocka_unit_test(fifos_do_not_hold_up),
                cmocka_unit_test(no_descriptor_is_left),
        };

        return cmocka_run_group_tests(tests, make_tree, remove_tree);
}

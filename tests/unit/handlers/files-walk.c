/* SPDX-License-Identifier: MIT */
#include "handlers/files-open.h"

#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"

/*
 * The hard cases, for both ways of looking up: the kernel's, and the walk that stands in for it.
 * A thread renames folders and links while names are looked up through them; whatever is opened
 * must be a file that says "inside".
 */
enum {
        RACE_USEC = 300000,
        RACE_USEC_MAX = 20000000, /* on a machine that lets one of the two threads wait */
        SWAPS_LEAST = 500,
        LOOKUPS_LEAST = 200,
};

static struct tree tree;
static int root = -1;

static int make_tree(void **state) {
        tree_make(&tree);
        tree_folder(&tree, "root");
        tree_folder(&tree, "root/a");
        tree_folder(&tree, "root/a/b");
        tree_folder(&tree, "root/a/b/c");
        tree_folder(&tree, "root/real");
        tree_folder(&tree, "outside");
        tree_folder(&tree, "outside/x");
        tree_folder(&tree, "outside/x/y");
        tree_write(&tree, "root/ok", TEXT("inside"));
        tree_write(&tree, "root/a/ok", TEXT("inside"));
        tree_write(&tree, "root/a/b/ok", TEXT("inside"));
        tree_write(&tree, "root/a/b/c/ok", TEXT("inside"));
        tree_write(&tree, "root/real/ok", TEXT("inside"));
        tree_write(&tree, "ok", TEXT("OUTSIDE"));
        tree_write(&tree, "outside/ok", TEXT("OUTSIDE"));
        tree_write(&tree, "outside/x/ok", TEXT("OUTSIDE"));
        tree_link(&tree, "../outside", "root/swapped");
        tree_link(&tree, "../ok", "root/ok-link");
        tree_link(&tree, "a/b/c/../../ok", "root/up-twice");
        tree_link(&tree, "a/b/../ok", "root/up-once");
        tree_link(&tree, "real/../a/b/c/../../../ok", "root/up-thrice");
        root = openat(tree.fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return root < 0;
}

static int remove_tree(void **state) {
        root = fd_close(root);
        tree_remove(&tree);
        return 0;
}

static int by_walk(const char *path) {
        return files_open_walk(root, path, O_RDONLY);
}

static int as_usual(const char *path) {
        files_open_allow_openat2(true);
        return files_open_beneath(root, path, O_RDONLY, FILES_OPEN_WAITING);
}

/* A process in which it is forbidden, as found out at its start. */
static int without_openat2(const char *path) {
        files_open_allow_openat2(false);
        int fd = files_open_beneath(root, path, O_RDONLY, FILES_OPEN_WAITING);
        files_open_allow_openat2(true);
        return fd;
}

static int (*const ways[])(const char *path) = { by_walk, as_usual, without_openat2 };

/* ---- races ---- */

struct race {
        void (*swap)(unsigned turn);
        atomic_bool over;
        atomic_uint turns;
};

static void *race_run(void *data) {
        struct race *r = data;
        unsigned turn = 0;

        while (!atomic_load(&r->over) || turn % 2) { /* ends as it began */
                r->swap(turn++);
                atomic_store(&r->turns, turn);
        }
        return NULL;
}

static void move(const char *from, const char *to) {
        if (renameat(tree.fd, from, tree.fd, to) < 0)
                abort();
}

static void exchange(const char *a, const char *b) {
        if (syscall(SYS_renameat2, tree.fd, a, tree.fd, b, RENAME_EXCHANGE) < 0)
                abort();
}

/* Gives whether it was opened; what was opened must be inside. */
static bool look_up(int (*open_it)(const char *path), const char *path) {
        char said[8] = "";
        int fd = open_it(path);

        if (fd < 0)
                return false;
        if (read(fd, said, sizeof(said)) != 6 || memcmp(said, "inside", 6) != 0)
                fail_msg("%s led out: \"%.7s\"", path, said);
        fd_close(fd);
        return true;
}

static void run_race(void (*swap)(unsigned turn), const char *const paths[]) {
        for (size_t way = 0; way < ELEMENTS(ways); way++) {
                struct race r = { .swap = swap };
                uint64_t begun = clock_monotonic_usec(), took;
                unsigned opened = 0, refused = 0;
                bool enough;
                pthread_t thread;

                assert_int_equal(pthread_create(&thread, NULL, race_run, &r), 0);
                do {
                        for (size_t i = 0; paths[i]; i++) {
                                bool there = look_up(ways[way], paths[i]);

                                opened += there;
                                refused += !there;
                        }
                        took = clock_monotonic_usec() - begun;
                        enough = took > RACE_USEC && opened > LOOKUPS_LEAST &&
                                 atomic_load(&r.turns) > SWAPS_LEAST;
                } while (!enough && took < RACE_USEC_MAX);
                atomic_store(&r.over, true);
                pthread_join(thread, NULL);
                print_message("way %zu: %u swaps, %u opened, %u refused\n", way,
                              atomic_load(&r.turns), opened, refused);
                assert_true(enough);
        }
}

static void swap_out(unsigned turn) {
        turn % 2 ? move("outside/b", "root/a/b") : move("root/a/b", "outside/b");
}

/*
 * A folder is moved out of the root while somebody is in it: its ".." is outside by then, where a
 * file of the same name waits.
 */
static void moved_folder_leads_nowhere(void **state) {
        static const char *const paths[] = { "a/b/../ok",   "a/b/c/../../ok",
                                             "a/b/c/../ok", "a/b/c/../../../ok",
                                             "up-once",     "up-twice",
                                             "up-thrice",   NULL };

        run_race(swap_out, paths);
}

static void swap_deep(unsigned turn) {
        turn % 2 ? move("outside/x/y/c", "root/a/b/c") : move("root/a/b/c", "outside/x/y/c");
}

/* The same, with more levels outside than inside. */
static void deeply_moved_folder_leads_nowhere(void **state) {
        static const char *const paths[] = { "a/b/c/../ok", "a/b/c/../../ok", "a/b/c/../../../ok",
                                             "up-twice",    "up-thrice",      NULL };

        run_race(swap_deep, paths);
}

static void swap_folder_and_link(unsigned turn) {
        exchange("root/real", "root/swapped");
}

/* What was a folder when it was looked at is a link that leads out when it is entered. */
static void folder_that_becomes_a_link(void **state) {
        static const char *const paths[] = { "real/ok",   "swapped/ok",    "real/../ok",
                                             "real/./ok", "swapped/../ok", NULL };

        run_race(swap_folder_and_link, paths);
}

static void swap_file_and_link(unsigned turn) {
        exchange("root/ok", "root/ok-link");
}

/* The same with the file itself. */
static void file_that_becomes_a_link(void **state) {
        static const char *const paths[] = { "ok", "ok-link", "a/../ok", "a/../ok-link", NULL };

        run_race(swap_file_and_link, paths);
}

static void swap_root(unsigned turn) {
        turn % 2 ? move("outside/root", "root") : move("root", "outside/root");
}

/* The root itself is moved: it stays the root, and what is above it stays above. */
static void root_that_is_moved(void **state) {
        static const char *const paths[] = { "ok",    "up-once",    "up-thrice", "a/b/c/../../ok",
                                             "../ok", "a/../../ok", "ok-link",   NULL };

        run_race(swap_root, paths);
}

/* ---- the same, at each single step of the walk ---- */

enum { STEPS_MAX = 24 };

/* The step of the walk at which something is swapped, and the one at which it is swapped back. */
static struct {
        void (*swap)(unsigned turn);
        unsigned step, first, second, turn;
} plan;

static void step_walk(void) {
        if (!plan.swap)
                return;
        if (plan.step == plan.first || plan.step == plan.second)
                plan.swap(plan.turn++);
        plan.step++;
}

int __real_openat64(int folder, const char *name, int flags, ...);
int __wrap_openat64(int folder, const char *name, int flags, ...);
int __wrap_openat64(int folder, const char *name, int flags, ...) {
        step_walk();
        return __real_openat64(folder, name, flags, 0);
}

int __real_fstatat64(int folder, const char *name, struct stat *st, int flags);
int __wrap_fstatat64(int folder, const char *name, struct stat *st, int flags);
int __wrap_fstatat64(int folder, const char *name, struct stat *st, int flags) {
        step_walk();
        return __real_fstatat64(folder, name, st, flags);
}

ssize_t __real_readlinkat(int folder, const char *name, char *to, size_t size);
ssize_t __wrap_readlinkat(int folder, const char *name, char *to, size_t size);
ssize_t __wrap_readlinkat(int folder, const char *name, char *to, size_t size) {
        step_walk();
        return __real_readlinkat(folder, name, to, size);
}

static void walk_with_swaps(void (*swap)(unsigned turn), const char *path, unsigned first,
                            unsigned second) {
        char said[8] = "";
        int fd;

        plan.swap = swap;
        plan.step = plan.turn = 0;
        plan.first = first;
        plan.second = second;
        fd = files_open_walk(root, path, O_RDONLY);
        plan.swap = NULL;
        if (plan.turn % 2)
                swap(plan.turn);
        if (fd >= 0 && (read(fd, said, sizeof(said)) != 6 || memcmp(said, "inside", 6) != 0))
                fail_msg("%s led out, swapped at %u and %u: \"%.7s\"", path, first, second, said);
        fd_close(fd);
}

/* Every moment at which others can do something, twice in a lookup; none is left to luck. */
static void no_moment_is_unguarded(void **state) {
        static void (*const swaps[])(unsigned turn) = { swap_out, swap_deep, swap_folder_and_link,
                                                        swap_file_and_link, swap_root };
        static const char *const paths[] = {
                "ok",           "ok-link",         "real/ok",           "swapped/ok",
                "a/b/../ok",    "a/b/c/../ok",     "a/b/c/../../ok",    "a/b/c/../../../ok",
                "real/../ok",   "swapped/../ok",   "real/../real/./ok", "real/.././swapped/ok",
                "up-once",      "up-twice",        "up-thrice",         "a/b/./.././b/../ok",
                "a/../ok-link", "a/../real/../ok",
        };

        for (size_t i = 0; i < ELEMENTS(swaps); i++)
                for (size_t j = 0; j < ELEMENTS(paths); j++)
                        for (unsigned first = 0; first < STEPS_MAX; first++)
                                for (unsigned second = first + 1; second <= STEPS_MAX; second++)
                                        walk_with_swaps(swaps[i], paths[j], first, second);
}

/* ---- links of the kernel's own ---- */

/*
 * Links in /proc lead to files, not to names: the kernel would follow them wherever they go, out of
 * any root, to what was deleted, to sockets. A root may hold them, by a mount.
 */
static void links_of_proc_are_not_followed(void **state) {
        static const char *const paths[] = {
                "self/root",       "self/root/etc/passwd", "self/cwd",     "self/cwd/.",
                "self/exe",        "self/ns/net",          "self/ns/user", "thread-self/root/etc",
                "thread-self/cwd",
        };
        int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), before = root;
        int file = openat(tree.fd, "ok", O_RDONLY | O_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
        int folder = openat(tree.fd, "outside", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fds[] = { file, event, folder };
        char path[64];

        assert_true(proc >= 0 && file >= 0 && event >= 0 && folder >= 0);
        root = proc;
        for (size_t way = 0; way < ELEMENTS(ways); way++) {
                for (size_t i = 0; i < ELEMENTS(paths); i++)
                        if (ways[way](paths[i]) >= 0)
                                fail_msg("%s was followed, way %zu", paths[i], way);
                for (size_t i = 0; i < ELEMENTS(fds); i++) {
                        snprintf(path, sizeof(path), "self/fd/%d", fds[i]);
                        assert_true(ways[way](path) < 0);
                        snprintf(path, sizeof(path), "self/fd/%d/ok", fds[i]);
                        assert_true(ways[way](path) < 0);
                }
                /* and what lies there in the ordinary way is opened */
                int fd = ways[way]("self/status");
                assert_true(fd >= 0);
                fd_close(fd);
        }
        root = before;
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fd_close(fds[i]);
        fd_close(proc);
}

/* The last name is a link, a folder, or both by a slash, with every kind of way out. */
static void last_names_lead_nowhere(void **state) {
        static const char *const links[][2] = {
                { "/", "l-1" },
                { "/.", "l-2" },
                { "//", "l-3" },
                { "..", "l-4" },
                { "../", "l-5" },
                { "../.", "l-6" },
                { "./..", "l-7" },
                { "a/../..", "l-8" },
                { "../root/ok", "l-9" },
                { "a/b/../../../ok", "l-10" },
                { "l-4/ok", "l-11" },
                { "a/../l-8/ok", "l-12" },
                { "../root/../ok", "l-13" },
                { "/proc/self/root/etc/passwd", "l-14" },
                { "/proc/self/cwd", "l-15" },
                { "/dev/fd/0", "l-16" },
        };
        static const char *const behind[] = { "", "/", "/.", "/..", "/ok", "//ok", "/./ok" };
        char path[64];

        for (size_t i = 0; i < ELEMENTS(links); i++) {
                snprintf(path, sizeof(path), "root/%s", links[i][1]);
                tree_link(&tree, links[i][0], path);
        }
        for (size_t way = 0; way < ELEMENTS(ways); way++)
                for (size_t i = 0; i < ELEMENTS(links); i++)
                        for (size_t j = 0; j < ELEMENTS(behind); j++) {
                                snprintf(path, sizeof(path), "%s%s", links[i][1], behind[j]);
                                if (ways[way](path) >= 0)
                                        fail_msg("%s was opened, way %zu", path, way);
                        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(moved_folder_leads_nowhere),
                cmocka_unit_test(deeply_moved_folder_leads_nowhere),
                cmocka_unit_test(folder_that_becomes_a_link),
                cmocka_unit_test(file_that_becomes_a_link),
                cmocka_unit_test(root_that_is_moved),
                cmocka_unit_test(no_moment_is_unguarded),
                cmocka_unit_test(links_of_proc_are_not_followed),
                cmocka_unit_test(last_names_lead_nowhere),
        };

        return cmocka_run_group_tests(tests, make_tree, remove_tree);
}

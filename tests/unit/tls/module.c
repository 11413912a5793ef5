/* SPDX-License-Identifier: MIT */
/*
 * The module as it is opened by a program: a copy of this one, in a folder of its own, because
 * where the program lies says where its modules do.
 */
#include "base/module.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tls/tls.h"

static char folder[] = "/tmp/emberd-module-XXXXXX";
static char *module_data;
static size_t module_bytes;

static void path_in(char path[static 128], const char *name) {
        snprintf(path, 128, "%s/%s", folder, name);
}

static void write_whole(const char *name, const char *data, size_t size, mode_t mode) {
        char path[128];
        int fd;

        path_in(path, name);
        unlink(path); /* a program that maps the old one keeps it */
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data, size), 0);
        close(fd);
}

static int begin(void **state) {
        const char *module = getenv("EMBERD_TLS_MODULE");
        char path[128], *program;
        size_t bytes;

        assert_non_null(module);
        assert_non_null(mkdtemp(folder));
        path_in(path, "src");
        assert_int_equal(mkdir(path, 0700), 0);
        path_in(path, "src/tls");
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(fd_read_file("/proc/self/exe", 256 << 20, &program, &bytes), 0);
        write_whole("program", program, bytes, 0700);
        free(program);
        return fd_read_file(module, 64 << 20, &module_data, &module_bytes);
}

static int finish(void **state) {
        static const char *const names[] = { "src/tls/tls.so", "src/tls", "src", "program", "" };

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                char path[128];

                path_in(path, names[i]);
                remove(path);
        }
        free(module_data);
        return 0;
}

/* What the copy says: its result, and the reason. */
static int open_there(char reason[static MODULE_REASON_BYTES]) {
        char path[128];
        int pipes[2], status;
        ssize_t n;
        pid_t pid;

        path_in(path, "program");
        assert_int_equal(pipe(pipes), 0);
        pid = fork();
        if (pid == 0) {
                dup2(pipes[1], 3);
                execl(path, path, "open", (char *)NULL);
                _exit(99);
        }
        close(pipes[1]);
        n = read(pipes[0], reason, MODULE_REASON_BYTES - 1);
        reason[n > 0 ? n : 0] = '\0';
        close(pipes[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return -WEXITSTATUS(status);
}

/* Opened as the program opens it, it must find all that it needs, and work. */
static void the_module_works(void **state) {
        char reason[MODULE_REASON_BYTES];

        write_whole("src/tls/tls.so", module_data, module_bytes, 0600);
        assert_int_equal(open_there(reason), 0);
        assert_string_equal(reason, "");
}

/* Where a package is missing, the message must say which. */
static void one_that_is_not_there(void **state) {
        char reason[MODULE_REASON_BYTES], path[128];

        path_in(path, "src/tls/tls.so");
        unlink(path);
        assert_int_equal(open_there(reason), -ENOENT);
        assert_non_null(strstr(reason, "the module tls is not here: /"));
        assert_non_null(strstr(reason, "tls.so: No such file or directory; install it"));
}

/* A broken file must not end the program. */
static void one_that_is_broken(void **state) {
        char reason[MODULE_REASON_BYTES];

        write_whole("src/tls/tls.so", "garbage", 7, 0600);
        assert_int_equal(open_there(reason), -ELIBACC);
        assert_non_null(strstr(reason, "the module tls cannot be loaded: "));
}

/* An upgrade may exchange modules under a running program: one of another build is no use. */
static void one_of_another_build(void **state) {
        char reason[MODULE_REASON_BYTES], *copy = malloc(module_bytes);
        size_t size = sizeof(EMBERD_BUILD), changed = 0;

        memcpy(copy, module_data, module_bytes);
        for (size_t i = 0; i + size <= module_bytes; i++)
                if (memcmp(copy + i, EMBERD_BUILD, size) == 0) {
                        copy[i] ^= 1;
                        changed++;
                }
        assert_true(changed > 0);
        write_whole("src/tls/tls.so", copy, module_bytes, 0600);
        free(copy);
        assert_int_equal(open_there(reason), -EINVAL);
        assert_non_null(strstr(reason, "is of another build ("));
}

/* In the copy. */
static int open_here(void) {
        char reason[MODULE_REASON_BYTES] = "";
        const struct module *module, *again;
        struct tls_worker *w;
        int r = module_open("tls", reason, &module);

        if (r == 0) {
                const struct tls_module *tls = (const struct tls_module *)module;

                if (strcmp(module->name, "tls") != 0 || module_open("tls", reason, &again) < 0 ||
                    again != module || tls->worker_new(&w) < 0)
                        return 98;
                tls->worker_free(w);
        }
        if (write(3, reason, strlen(reason)) < 0)
                return 97;
        return -r;
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_module_works),
                cmocka_unit_test(one_that_is_not_there),
                cmocka_unit_test(one_that_is_broken),
                cmocka_unit_test(one_of_another_build),
        };

        if (argc > 1)
                return open_here();
        return cmocka_run_group_tests(tests, begin, finish);
}

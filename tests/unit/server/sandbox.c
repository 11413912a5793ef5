/* SPDX-License-Identifier: MIT */
#include "server/sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "loop/loop-backend.h"

/* Each test enters the sandbox in a child, in a folder of its own; the child gives an errno. */

enum { NO_SANDBOX = 200 };

static char folder[] = "/tmp/emberd-sandbox-XXXXXX";

static int remove_folder(void **state) {
        char command[64];

        snprintf(command, sizeof(command), "rm -rf %s", folder);
        return system(command);
}

static int make_folder(void **state) {
        return mkdtemp(folder) && chdir(folder) == 0 && mkdir("a", 0700) == 0 &&
                               mkdir("b", 0700) == 0
                       ? 0
                       : -1;
}

static int outcome(int r) {
        return r < 0 ? errno : 0;
}

static int run_inside(int (*act)(void)) {
        int status;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0)
                _exit(sandbox_enter() < 0 ? NO_SANDBOX : act());
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == NO_SANDBOX)
                skip();
        return WEXITSTATUS(status);
}

static int landlock_version(void) {
        return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

static int execute_shell(void) {
        return outcome(execl("/bin/sh", "sh", "-c", "true", NULL));
}

/* The first thing that is done with a process that was taken over. */
static void nothing_is_executed(void **state) {
        assert_int_equal(run_inside(execute_shell), EACCES);
}

static int execute_linker(void) {
        return outcome(execl("/lib64/ld-linux-x86-64.so.2", "ld.so", "/bin/true", NULL));
}

/* The dynamic linker would execute any file that can be read. */
static void linker_is_not_executed(void **state) {
        if (access("/lib64/ld-linux-x86-64.so.2", X_OK) < 0)
                skip(); /* another architecture */
        assert_int_equal(run_inside(execute_linker), EACCES);
}

static void *execute_in_thread(void *data) {
        *(int *)data = execute_shell();
        return NULL;
}

static int start_thread(void) {
        pthread_t thread;
        int error = 0;

        if (pthread_create(&thread, NULL, execute_in_thread, &error))
                return NO_SANDBOX;
        pthread_join(thread, NULL);
        return error;
}

/* Workers and the pool start after the sandbox was entered, and are what talks to strangers. */
static void threads_inherit_it(void **state) {
        assert_int_equal(run_inside(start_thread), EACCES);
}

static int make_special_files(void) {
        return mkfifo("fifo", 0600) < 0 && errno == EACCES && symlink("/etc/shadow", "link") < 0
                       ? errno
                       : 0;
}

/* Whoever follows such a link, or opens such a file, would do it with rights of his own. */
static void special_files_are_not_made(void **state) {
        assert_int_equal(run_inside(make_special_files), EACCES);
}

static int signal_parent(void) {
        return outcome(kill(getppid(), 0));
}

/* Other processes of the same user are none of its business. */
static void others_are_not_signalled(void **state) {
        if (landlock_version() < 6)
                skip();
        assert_int_equal(run_inside(signal_parent), EPERM);
}

static int signal_itself(void) {
        signal(SIGUSR1, SIG_IGN);
        return outcome(kill(getpid(), SIGUSR1));
}

/* abort(3) and the threads' own signals go on. */
static void it_signals_itself(void **state) {
        assert_int_equal(run_inside(signal_itself), 0);
}

static int use_files(void) {
        int fd = open("a/file", O_RDWR | O_CREAT | O_EXCL, 0600);

        if (fd < 0 || write(fd, "x", 1) != 1 || rename("a/file", "b/file") < 0 ||
            link("b/file", "a/second") < 0 || unlink("b/file") < 0 || unlink("a/second") < 0)
                return errno;
        return outcome(close(fd));
}

/* Uploads and log files: whatever file modes allow, also in folders that a reload names first. */
static void files_are_written_and_moved(void **state) {
        assert_int_equal(run_inside(use_files), 0);
}

static int open_library(void) {
        return dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL) ? 0 : EACCES;
}

/* Modules are opened by a reload that asks for them. */
static void libraries_are_opened(void **state) {
        assert_int_equal(run_inside(open_library), 0);
}

static int use_sockets(void) {
        struct sockaddr_un named = { .sun_family = AF_UNIX, .sun_path = "socket" };
        struct sockaddr_un abstract = { .sun_family = AF_UNIX, .sun_path = "\0emberd-sandbox" };
        int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
        int own = socket(AF_UNIX, SOCK_STREAM, 0);

        return outcome(bind(listener, (struct sockaddr *)&named, sizeof(named)) < 0 ||
                                       listen(listener, 1) < 0 ||
                                       connect(client, (struct sockaddr *)&named, sizeof(named)) ||
                                       bind(own, (struct sockaddr *)&abstract, sizeof(abstract)) < 0
                               ? -1
                               : 0);
}

/* A listener of its own, an application behind it, the manager's socket. */
static void sockets_are_used(void **state) {
        assert_int_equal(run_inside(use_sockets), 0);
}

static int try_backends(void) {
        char reason[LOOP_REASON_BYTES];

        for (size_t i = 0; loop_backends[i]; i++)
                if (loop_backend_check(loop_backends[i], reason) < 0)
                        return 1;
        return 0;
}

/* Rings are made by the workers, inside. */
static void backends_run(void **state) {
        char reason[LOOP_REASON_BYTES];

        for (size_t i = 0; loop_backends[i]; i++)
                if (loop_backend_check(loop_backends[i], reason) < 0)
                        skip(); /* nor outside */
        assert_int_equal(run_inside(try_backends), 0);
}

/* As RestrictAddressFamilies=AF_UNIX does: no socket of the Internet can be made. */
static int filter_families(void) {
        static struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        static const struct sock_fprog program = { ELEMENTS(code), code };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                               prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0
                       ? -1
                       : 0;
}

/* What `act` gives in a child that was filtered, or not. */
static int run_in_child(int (*act)(void), bool filtered) {
        int status;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0)
                _exit(filtered && filter_families() < 0 ? NO_SANDBOX : act());
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == NO_SANDBOX)
                skip();
        return WEXITSTATUS(status);
}

static int inherited = -1; /* a TCP socket, as systemd passes them */

static int turn_inherited(void) {
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1) };

        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (sandbox_enter() < 0)
                return NO_SANDBOX;
        return outcome(connect(inherited, (struct sockaddr *)&to, sizeof(to)));
}

/*
 * The sockets that systemd passed belong to the network of the machine: they must not become
 * connections of its own there. Where settings may ask for upstreams, all is as it was.
 */
static void inherited_sockets_are_not_connected(void **state) {
        if (landlock_version() < 4)
                skip();
        inherited = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(inherited >= 0);
        assert_int_equal(run_in_child(turn_inherited, true), EACCES);
        assert_int_equal(run_in_child(turn_inherited, false), ECONNREFUSED);
        close(inherited);
}

static int make_ring(void) {
        struct io_uring_params params = {};

        return outcome((int)syscall(SYS_io_uring_setup, 1, &params));
}

static int make_ring_sealed(void) {
        return sandbox_seal() < 0 ? NO_SANDBOX : make_ring();
}

static int limit_parent_sealed(void) {
        struct rlimit limit;

        if (sandbox_seal() < 0)
                return NO_SANDBOX;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 1;
        return outcome(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
}

/* A ring made by who took a worker over would have no restrictions, and no filter sees into it. */
static void sealed_makes_no_rings(void **state) {
        if (run_in_child(make_ring, true) != 0)
                skip(); /* nor before */
        assert_int_equal(run_in_child(make_ring_sealed, true), EPERM);
}

/* The other instances have the same user. */
static void sealed_limits_only_itself(void **state) {
        assert_int_equal(run_in_child(limit_parent_sealed, true), EPERM);
}

static int execute_sealed(void) {
        return sandbox_seal() < 0 ? NO_SANDBOX : execute_shell();
}

/* A kernel without Landlock: the unit has a filter in any case. */
static void sealed_executes_nothing(void **state) {
        assert_int_equal(run_in_child(execute_sealed, true), EPERM);
}

/* Outside of a sandbox the first filter would cost every system call its time. */
static void seals_only_what_is_filtered(void **state) {
        assert_int_equal(run_in_child(make_ring_sealed, false), run_in_child(make_ring, false));
        assert_int_equal(run_in_child(limit_parent_sealed, false), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_is_executed),
                cmocka_unit_test(linker_is_not_executed),
                cmocka_unit_test(threads_inherit_it),
                cmocka_unit_test(special_files_are_not_made),
                cmocka_unit_test(others_are_not_signalled),
                cmocka_unit_test(it_signals_itself),
                cmocka_unit_test(files_are_written_and_moved),
                cmocka_unit_test(libraries_are_opened),
                cmocka_unit_test(sockets_are_used),
                cmocka_unit_test(backends_run),
                cmocka_unit_test(inherited_sockets_are_not_connected),
                cmocka_unit_test(sealed_makes_no_rings),
                cmocka_unit_test(sealed_limits_only_itself),
                cmocka_unit_test(sealed_executes_nothing),
                cmocka_unit_test(seals_only_what_is_filtered),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

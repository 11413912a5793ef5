/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* Bringing code of one's own: as memory, as a file, as another program. */

enum { PAGE = 4096 };

TRY(map_writable_code) {
        void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);

        if (p == MAP_FAILED)
                return -errno;
        munmap(p, PAGE);
        return 0;
}

TRY(make_memory_code) {
        void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int r;

        if (p == MAP_FAILED)
                return -errno;
        memset(p, 0xc3, PAGE);
        r = tried(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
        munmap(p, PAGE);
        return r;
}

static int try_map_file(const char *path) {
        _cleanup_(fd_closep)
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0700);
        void *p;
        int r = 0;

        if (fd < 0)
                return -errno;
        if (write(fd, "\xc3", 1) != 1)
                r = -errno;
        if (r == 0) {
                p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
                if (p == MAP_FAILED)
                        r = -errno;
                else
                        munmap(p, PAGE);
        }
        unlink(path);
        return r;
}

/* A library of one's own, as dlopen(3) would map it. */
TRY(map_file_in_tmp) {
        return try_map_file("/tmp/evil-library");
}

TRY(map_file_in_shm) {
        return try_map_file("/dev/shm/evil-library");
}

/* 0 if the program began to run. */
static int try_run(const char *path, char *const *words) {
        static char *const no_environment[] = { NULL };
        int sockets[2], error = 0;
        pid_t child;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                return -errno;
        child = fork();
        if (child == 0) {
                int nothing = open("/dev/null", O_RDWR);

                dup2(nothing, 1);
                dup2(nothing, 2);
                execve(path, words, no_environment);
                error = -errno;
                (void)!write(sockets[1], &error, sizeof(error));
                _exit(127);
        }
        fd_close(sockets[1]);
        if (child < 0)
                error = -errno;
        else if (read(sockets[0], &error, sizeof(error)) != sizeof(error))
                error = 0; /* closed by execve(2) */
        fd_close(sockets[0]);
        while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
                ;
        return error;
}

#define RUN(name, path, ...)                                                   \
        TRY(name) {                                                            \
                return try_run(path, (char *[]){ (char *)path, __VA_ARGS__ }); \
        }

RUN(run_shell, "/bin/sh", (char *)"-c", (char *)":", NULL)
RUN(run_perl, "/usr/bin/perl", (char *)"-e", (char *)"1", NULL)
/* among the libraries, which must be executable, are programs as well */
RUN(run_in_usr_lib, "/usr/lib/systemd/systemd", (char *)"--version", NULL)
RUN(run_itself, "/usr/sbin/emberd", (char *)"--version", NULL)
RUN(run_sudo, "/usr/bin/su", (char *)"--version", NULL)

/* The linker as the program, which maps what it is told to run. */
TRY(run_by_linker) {
        static char *const words[] = { (char *)"ld.so", (char *)"/usr/bin/true", NULL };

        return try_run("/lib64/ld-linux-x86-64.so.2", words);
}

TRY(run_from_memory) {
        char *const words[] = { (char *)"evil", NULL };
        int memory = memfd_create("evil", MFD_CLOEXEC), from, r = 0;
        char buffer[16 * PAGE], path[64];
        ssize_t n = 1;

        if (memory < 0)
                return -errno;
        from = open("/usr/bin/true", O_RDONLY | O_CLOEXEC);
        if (from < 0)
                r = -errno;
        while (r == 0 && (n = read(from, buffer, sizeof(buffer))) > 0)
                if (write(memory, buffer, (size_t)n) != n)
                        r = -EIO;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
        if (r == 0)
                r = try_run(path, words);
        fd_close(from);
        fd_close(memory);
        return r;
}

const struct misbehaviour hostile_code[] = {
        { "map-writable-code", map_writable_code },
        { "make-memory-code", make_memory_code },
        { "map-file-in-tmp", map_file_in_tmp },
        { "map-file-in-shm", map_file_in_shm },
        { "run-shell", run_shell },
        { "run-perl", run_perl },
        { "run-su", run_sudo },
        { "run-in-usr-lib", run_in_usr_lib },
        { "run-by-linker", run_by_linker },
        { "run-itself", run_itself },
        { "run-from-memory", run_from_memory },
        {},
};

/* SPDX-License-Identifier: MIT */
#include "deny-filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/macros.h"

/*
 * A filter in the kernel's own form: load the number of the system call, then for each forbidden
 * one a comparison and a verdict. It knows one architecture, the one it is built for; tests do not
 * switch to another.
 */

enum { DENIED_MAX = 16 };

struct named {
        const char *name;
        int value;
};

static const struct named calls[] = {
        { "io_uring_setup", SYS_io_uring_setup },       { "io_uring_enter", SYS_io_uring_enter },
        { "io_uring_register", SYS_io_uring_register }, { "openat2", SYS_openat2 },
        { "epoll_pwait2", SYS_epoll_pwait2 },
};

static const struct named errors[] = {
        { "EPERM", EPERM },   { "ENOSYS", ENOSYS }, { "EACCES", EACCES },
        { "EINVAL", EINVAL }, { "ENOMEM", ENOMEM }, { "EMFILE", EMFILE },
};

/* Gives -EINVAL for a name that is not in the table. */
static int named_find(const struct named *table, size_t count, const char *name, size_t bytes) {
        for (size_t i = 0; i < count; i++)
                if (strlen(table[i].name) == bytes && memcmp(table[i].name, name, bytes) == 0)
                        return table[i].value;
        return -EINVAL;
}

/* "CALL" or "CALL:ERROR". */
static int denied_parse(const char *text, size_t bytes, int *ret_call, int *ret_error) {
        const char *colon = memchr(text, ':', bytes);
        size_t name_bytes = colon ? (size_t)(colon - text) : bytes;
        int error = EPERM;
        int call = named_find(calls, ELEMENTS(calls), text, name_bytes);

        if (colon)
                error = named_find(errors, ELEMENTS(errors), colon + 1, bytes - name_bytes - 1);
        if (call < 0 || error < 0)
                return -EINVAL;
        *ret_call = call;
        *ret_error = error;
        return 0;
}

int deny_system_calls(const char *names) {
        struct sock_filter code[2 + 2 * DENIED_MAX];
        struct sock_fprog program = { .filter = code };
        unsigned short n = 0;

        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                 offsetof(struct seccomp_data, nr));
        while (*names) {
                size_t bytes = strcspn(names, ",");
                int call, error;
                int r = denied_parse(names, bytes, &call, &error);
                if (r < 0)
                        return r;
                if (n + 3U > ELEMENTS(code))
                        return -EINVAL;
                code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call,
                                                         0, 1);
                code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                                         SECCOMP_RET_ERRNO | (unsigned)error);
                names += bytes + (names[bytes] == ',');
        }
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        program.len = n;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                return -errno;
        return 0;
}

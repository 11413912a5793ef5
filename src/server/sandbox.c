/* SPDX-License-Identifier: MIT */
#include "server/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * Landlock, which any process may use on itself, takes away what no emberd ever does, wherever and
 * however it was started; the unit takes more, but costs milliseconds where this costs
 * microseconds. A Landlock domain cannot be widened, and settings may name new folders, ports and
 * upstreams at every reload: hence nothing here depends on a path, and abstract sockets stay as
 * they are.
 *
 * TCP is taken where no socket of it can be made, as in the unit: then no upstream can be reached
 * by it, whatever settings say. What is left are the sockets that were passed and what is accepted
 * from them. They belong to the network of the machine, not to the service's own empty one, and
 * connect(2) turns them into any other connection there. sendmsg(2) with MSG_FASTOPEN does too, and
 * Landlock does not see it (Linux 6.18): where that matters, net.ipv4.tcp_fastopen=0 ends it.
 *
 * Nothing at all may be executed, not even emberd itself: what may be executed would include the
 * dynamic linker, and who can execute that can have it run any readable file. An upgrade is a
 * restart by systemd, which keeps the descriptors. Landlock does not ask when a file is mapped to
 * be executed: so modules can be opened later (dlopen(3)), and what can be written must be kept
 * from being mapped by other means (NoExecPaths= in the unit). Nor does it see files without a
 * path: memfd_create(2) is the unit's filter's.
 *
 * Moving files between folders would be forbidden to every process with any rule unless a rule says
 * otherwise; Landlock's first version (Linux 5.13) has no such rule, so that one is left alone.
 */

/* what the headers of Linux 6.1 lack */
#define ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5, Linux 6.10 */
#define SCOPE_SIGNAL        (UINT64_C(1) << 1)  /* version 6, Linux 6.12 */
#define ACCESS_NET_TCP      UINT64_C(3)         /* version 4, Linux 6.7: bind and connect */

struct ruleset {
        uint64_t handled_access_fs, handled_access_net, scoped;
};

static int landlock_create(const struct ruleset *rules, size_t size, unsigned flags) {
        int r = (int)syscall(SYS_landlock_create_ruleset, rules, size, flags);

        return r < 0 ? -errno : r;
}

/* Files may be moved and linked to wherever the file modes allow it. */
static int allow_moving(int ruleset) {
        _cleanup_(fd_closep)
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_REFER,
                                                   .parent_fd = root };

        if (root < 0 ||
            syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
                return -errno;
        return 0;
}

static bool can_make_tcp(void) {
        _cleanup_(fd_closep)
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return fd >= 0 || errno != EAFNOSUPPORT;
}

/* Tests show what happens without. */
static bool is_left_open(void) {
#ifdef EMBERD_TEST_BUILD
        return getenv("EMBERD_NO_SANDBOX");
#else
        return false;
#endif
}

int sandbox_enter(void) {
        struct ruleset rules = {
                .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                     LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER,
        };
        _cleanup_(fd_closep)
        int ruleset = -1;
        int version, r;

        if (is_left_open())
                return -EOPNOTSUPP;
        /* Landlock asks for it; and there is no set-user-ID program that emberd would want */
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        version = landlock_create(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (version < 2)
                return version < 0 && version != -ENOSYS ? version : -EOPNOTSUPP;
        if (version >= 4 && !can_make_tcp())
                rules.handled_access_net |= ACCESS_NET_TCP;
        if (version >= 5)
                rules.handled_access_fs |= ACCESS_FS_IOCTL_DEV;
        if (version >= 6)
                rules.scoped |= SCOPE_SIGNAL;
        /* an older kernel takes the whole structure as long as what it does not know is zero */
        ruleset = landlock_create(&rules, sizeof(rules), 0);
        if (ruleset < 0)
                return ruleset;
        r = allow_moving(ruleset);
        if (r < 0)
                return r;
        return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}

/*
 * The rings are made, each with its restrictions; another one would have none, and its operations
 * pass by every filter of system calls. Limits can be set on other processes of the same user,
 * which the other instances are; on itself a process calls itself 0. Executing is here as well for
 * kernels without Landlock, and for files without a path.
 */
#if defined(__x86_64__)
#define OWN_ARCH    AUDIT_ARCH_X86_64
#define CALLS_BEGIN 0x40000000 /* of x32, which are numbers of their own */
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif
#ifndef CALLS_BEGIN
#define CALLS_BEGIN 0x80000000
#endif

#define LOAD(member) \
        { BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, member) }
#define JUMP(test, value, yes, no) \
        { BPF_JMP | test | BPF_K, yes, no, value }
#define GIVE(verdict) \
        { BPF_RET | BPF_K, 0, 0, verdict }

bool sandbox_can_seal(void) {
#ifdef OWN_ARCH
        return !is_left_open() && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
#else
        return false;
#endif
}

int sandbox_seal(void) {
#ifdef OWN_ARCH
        static struct sock_filter code[] = {
                /* clang-format off */
                LOAD(arch),
                JUMP(BPF_JEQ, OWN_ARCH, 0, 8),
                LOAD(nr),
                JUMP(BPF_JGE, CALLS_BEGIN, 6, 0),
                JUMP(BPF_JEQ, SYS_execve, 5, 0),
                JUMP(BPF_JEQ, SYS_execveat, 4, 0),
                JUMP(BPF_JEQ, SYS_io_uring_setup, 3, 0),
                JUMP(BPF_JEQ, SYS_prlimit64, 0, 3),
                LOAD(args[0]), /* its lower half: both architectures have it first */
                JUMP(BPF_JEQ, 0, 1, 0),
                GIVE(SECCOMP_RET_ERRNO | EPERM),
                GIVE(SECCOMP_RET_ALLOW),
                /* clang-format on */
        };
        static const struct sock_fprog program = { ELEMENTS(code), code };

        if (!sandbox_can_seal())
                return 0;
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 1;
#else
        return 0;
#endif
}

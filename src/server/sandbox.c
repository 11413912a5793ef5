/* SPDX-License-Identifier: MIT */
#include "server/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * Landlock, which any process may use on itself, takes away what no emberd ever does, wherever and
 * however it was started; the unit takes more, but costs milliseconds where this costs
 * microseconds. A Landlock domain cannot be widened, and settings may name new folders, ports and
 * upstreams at every reload: hence nothing here depends on a path, and TCP and abstract sockets
 * stay as they are.
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

int sandbox_enter(void) {
        struct ruleset rules = {
                .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                     LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER,
        };
        _cleanup_(fd_closep)
        int ruleset = -1;
        int version, r;

        /* Landlock asks for it; and there is no set-user-ID program that emberd would want */
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        version = landlock_create(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (version < 2)
                return version < 0 && version != -ENOSYS ? version : -EOPNOTSUPP;
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

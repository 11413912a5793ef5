/* SPDX-License-Identifier: MIT */
#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int privileges_drop(const char *user) {
        struct passwd *entry;

        errno = 0;
        entry = getpwnam(user);
        if (!entry)
                return errno ? -errno : -ESRCH;
        if (initgroups(user, entry->pw_gid) < 0 ||
            setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) < 0 ||
            setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) < 0)
                return -errno;
        /* a set-user-ID program must not give back what was dropped */
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        if (entry->pw_uid != 0 && setuid(0) == 0)
                return -EPERM; /* the privileges could be taken back: they are not gone */
        return 0;
}

uint64_t privileges_raise_files(void) {
        struct rlimit limit = {};

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 1024;
        if (limit.rlim_cur < limit.rlim_max) {
                rlim_t before = limit.rlim_cur;

                limit.rlim_cur = limit.rlim_max;
                if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                        limit.rlim_cur = before;
        }
        return limit.rlim_cur;
}

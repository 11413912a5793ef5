/* SPDX-License-Identifier: MIT */
#include "handlers/files-open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * The kernel does the lookup wherever it lets us: openat2(2) checks every step, ".." and links
 * included, against the root while it walks, which nothing in user space can do without races.
 *
 * openat2(2) is missing before Linux 5.6, and filters answer ENOSYS or EPERM to it (old container
 * engines; systemd's RestrictSUIDSGID=, because a filter cannot see the mode that openat2 passes in
 * memory). RESOLVE_CACHED came with 5.12. Which of the two works here is found out once a process.
 */
enum openat2_level {
        OPENAT2_NONE,    /* files_open_walk() does it, and nothing is ever known at once */
        OPENAT2_WAITING, /* without RESOLVE_CACHED */
        OPENAT2_CACHED,
};

enum {
        FLAGS_ALWAYS = O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        RESOLVE_ALWAYS = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        /* a rename during ".." makes the kernel give EAGAIN; more than a few is malice */
        RACES_MAX = 8,
};

static _Atomic int openat2_level_found;
static pthread_once_t openat2_once = PTHREAD_ONCE_INIT;

static int openat2_call(int root, const char *path, uint64_t flags, uint64_t resolve) {
        /* with O_PATH the kernel knows only these, and refuses all others */
        if (flags & O_PATH)
                flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

        struct open_how how = { .flags = flags, .resolve = resolve };
        int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

        return fd < 0 ? -errno : fd;
}

static void openat2_probe(void) {
        int level = OPENAT2_NONE, fd;

        /* anybody may look up "/": every error is a filter's, whichever it has chosen */
        fd = openat2_call(AT_FDCWD, "/", O_PATH | O_CLOEXEC, RESOLVE_NO_MAGICLINKS);
        if (fd >= 0) {
                fd_close(fd);
                fd = openat2_call(AT_FDCWD, "/", O_PATH | O_CLOEXEC,
                                  RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED);
                level = fd == -EINVAL ? OPENAT2_WAITING : OPENAT2_CACHED;
        }
        fd_close(fd);
        atomic_store_explicit(&openat2_level_found, level, memory_order_relaxed);
}

static enum openat2_level openat2_level(void) {
        pthread_once(&openat2_once, openat2_probe);
        return (enum openat2_level)atomic_load_explicit(&openat2_level_found, memory_order_relaxed);
}

void files_open_allow_openat2(bool allow) {
        pthread_once(&openat2_once, openat2_probe);
        if (allow)
                openat2_probe();
        else
                atomic_store_explicit(&openat2_level_found, OPENAT2_NONE, memory_order_relaxed);
}

int files_open_beneath(int root, const char *path, int flags, enum files_open_way way) {
        enum openat2_level level = openat2_level();
        int fd = -EAGAIN;

        if (way == FILES_OPEN_AT_ONCE) {
                if (level < OPENAT2_CACHED)
                        return -EAGAIN;
                /*
                 * RESOLVE_CACHED answers for the names on the way, not for what opening the file
                 * does: that may ask a server (NFS) or a daemon (FUSE). So no mount is crossed
                 * here; the caller vouches for the file system of the root.
                 */
                fd = openat2_call(root, path, flags | FLAGS_ALWAYS,
                                  RESOLVE_ALWAYS | RESOLVE_CACHED | RESOLVE_NO_XDEV);
                return fd == -EXDEV || fd == -ENOSYS ? -EAGAIN : fd;
        }
        for (unsigned i = 0; level > OPENAT2_NONE && fd == -EAGAIN && i < RACES_MAX; i++)
                fd = openat2_call(root, path, flags | FLAGS_ALWAYS, RESOLVE_ALWAYS);
        /* a filter that came after the probe (a thread's own) */
        if (level == OPENAT2_NONE || fd == -ENOSYS)
                return files_open_walk(root, path, flags);
        return fd;
}

int files_open_folder_at_once(const char *path) {
        if (openat2_level() < OPENAT2_CACHED)
                return -EAGAIN;
        /* O_PATH never reaches the file system's own open, so that here mounts may be crossed */
        return openat2_call(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, RESOLVE_CACHED);
}

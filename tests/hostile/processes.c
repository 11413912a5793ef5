/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * Other processes, namespaces, and rights. The sibling is another instance of emberd, which has the
 * same user: file modes and user numbers part nothing there.
 */

/* In a child: its end is what detaches from a process that was not stopped. */
static int try_attach(int pid) {
        return tried(ptrace(PTRACE_SEIZE, pid, 0, 0));
}

TRY(ptrace_pid1) {
        return try_attach(1);
}

TRY(ptrace_sibling) {
        int pid = sibling_pid();

        return pid < 0 ? pid : try_attach(pid);
}

static int try_read_memory(int pid) {
        char byte;
        struct iovec to = { &byte, 1 }, from = { (void *)0x10000, 1 };

        /* a right to look there comes before whether anything is there */
        return tried_senseless(process_vm_readv(pid, &to, 1, &from, 1, 0), EFAULT);
}

TRY(read_memory_pid1) {
        return try_read_memory(1);
}

TRY(read_memory_sibling) {
        int pid = sibling_pid();

        return pid < 0 ? pid : try_read_memory(pid);
}

TRY(write_memory_sibling) {
        char path[32];
        int pid = sibling_pid(), fd;

        if (pid < 0)
                return pid;
        snprintf(path, sizeof(path), "/proc/%d/mem", pid);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        fd_close(fd);
        return 0;
}

TRY(take_descriptor_sibling) {
        int pid = sibling_pid(), pid_fd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0), fd;
        int r;

        if (pid_fd < 0)
                return pid < 0 ? pid : -errno;
        fd = (int)syscall(SYS_pidfd_getfd, pid_fd, 0, 0);
        r = tried(fd);
        if (fd >= 0)
                fd_close(fd);
        fd_close(pid_fd);
        return r;
}

/* Signal 0: may it be sent? */
TRY(kill_pid1) {
        return tried(kill(1, 0));
}

TRY(kill_sibling) {
        int pid = sibling_pid();

        return pid < 0 ? pid : tried(kill(pid, 0));
}

TRY(tgkill_sibling) {
        int pid = sibling_pid();

        return pid < 0 ? pid : tried(syscall(SYS_tgkill, pid, pid, 0));
}

TRY(limit_sibling) {
        int pid = sibling_pid();
        struct rlimit limit;

        if (pid < 0)
                return pid;
        if (prlimit(pid, RLIMIT_CORE, NULL, &limit) < 0)
                return -errno;
        return tried(prlimit(pid, RLIMIT_CORE, &limit, NULL));
}

/* ---- namespaces ---- */

TRY(unshare_user) {
        return tried(unshare(CLONE_NEWUSER));
}

TRY(unshare_net) {
        return tried(unshare(CLONE_NEWNET));
}

TRY(unshare_mounts) {
        return tried(unshare(CLONE_NEWNS));
}

static int child_of(long pid) {
        if (pid == 0)
                _exit(0);
        if (pid < 0)
                return -errno;
        while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR)
                ;
        return 0;
}

TRY(clone_user) {
        return child_of(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

/* Its flags are in memory, where no filter sees them. */
TRY(clone3_user) {
        struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };

        return child_of(syscall(SYS_clone3, &args, sizeof(args)));
}

TRY(enter_namespace) {
        _cleanup_(fd_closep)
        int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : tried(setns(fd, CLONE_NEWNET));
}

TRY(mount_tmpfs) {
        if (mount("none", "/tmp", "tmpfs", 0, NULL) < 0)
                return -errno;
        return tried(umount2("/tmp", MNT_DETACH));
}

/* Taking away what hides something: /home is covered so. */
TRY(unmount) {
        return tried(umount2("/srv/mounted", MNT_DETACH));
}

TRY(new_mount_calls) {
        int fd = (int)syscall(SYS_fsopen, "tmpfs", 1 /* FSOPEN_CLOEXEC */);

        if (fd < 0)
                return -errno;
        fd_close(fd);
        return 0;
}

TRY(pivot) {
        return tried_senseless(syscall(SYS_pivot_root, "/", "/"), EINVAL);
}

TRY(change_root) {
        return tried(chroot("/usr"));
}

/* ---- rights ---- */

TRY(become_root) {
        return tried(setresuid(0, 0, 0));
}

/* Can a capability be had that a process without any lacks? */
TRY(raise_capabilities) {
        if (prctl(PR_CAPBSET_READ, 21 /* CAP_SYS_ADMIN */, 0, 0, 0) != 1)
                return -EPERM;
        return tried(setgid(0));
}

TRY(raise_limit) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
                return -errno;
        limit.rlim_max++;
        return tried(setrlimit(RLIMIT_MEMLOCK, &limit));
}

TRY(realtime) {
        const struct sched_param param = { .sched_priority = 1 };

        return tried(sched_setscheduler(0, SCHED_FIFO, &param));
}

TRY(be_less_nice) {
        return tried(setpriority(PRIO_PROCESS, 0, -5));
}

TRY(old_personality) {
        return tried(personality(ADDR_NO_RANDOMIZE));
}

const struct misbehaviour hostile_processes[] = {
        { "ptrace-pid1", ptrace_pid1, true },
        { "ptrace-sibling", ptrace_sibling, true },
        { "read-memory-pid1", read_memory_pid1 },
        { "read-memory-sibling", read_memory_sibling },
        { "write-memory-sibling", write_memory_sibling },
        { "take-descriptor-sibling", take_descriptor_sibling },
        { "kill-pid1", kill_pid1 },
        { "kill-sibling", kill_sibling },
        { "tgkill-sibling", tgkill_sibling },
        { "limit-sibling", limit_sibling },
        { "unshare-user", unshare_user, true },
        { "unshare-net", unshare_net, true },
        { "unshare-mounts", unshare_mounts, true },
        { "clone-user", clone_user, true },
        { "clone3-user", clone3_user, true },
        { "enter-namespace", enter_namespace, true },
        { "mount", mount_tmpfs, true },
        { "unmount", unmount, true },
        { "new-mount-calls", new_mount_calls },
        { "pivot-root", pivot, true },
        { "chroot", change_root, true },
        { "become-root", become_root, true },
        { "raise-capabilities", raise_capabilities, true },
        { "raise-limit", raise_limit, true },
        { "realtime", realtime, true },
        { "be-less-nice", be_less_nice, true },
        { "old-personality", old_personality, true },
        {},
};

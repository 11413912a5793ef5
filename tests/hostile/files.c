/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"

/* Reading what is none of its business, and writing anything at all. */

static int try_read(const char *path) {
        _cleanup_(fd_closep)
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        char byte;

        return fd < 0 ? -errno : tried(read(fd, &byte, 1));
}

#define READ(name, path)               \
        TRY(name) {                    \
                return try_read(path); \
        }

READ(read_shadow, "/etc/shadow")
READ(read_home, "/home/somebody/secret")
READ(read_root_home, "/root/secret")
READ(read_state_private, "/var/lib/private-service/secret")
READ(read_state_public, "/var/lib/public-service/secret")
READ(read_others_tmp, "/tmp/secret")
READ(read_pid1_environ, "/proc/1/environ")
READ(read_kallsyms, "/proc/kallsyms")
READ(read_proc_sys, "/proc/sys/kernel/random/boot_id")
READ(read_modules, "/usr/lib/modules/secret")
READ(read_sibling_key, SIBLING_KEY)

/* The journal's folder is named by the machine's ID. */
TRY(read_journal) {
        static const char *const tops[] = { "/run/log/journal", "/var/log/journal" };
        int result = -ENOENT;

        for (size_t i = 0; i < ELEMENTS(tops) && result < 0; i++) {
                DIR *top = opendir(tops[i]);

                if (!top) {
                        result = errno == ENOENT ? result : -errno;
                        continue;
                }
                for (struct dirent *e; result < 0 && (e = readdir(top));) {
                        char path[512];

                        if (e->d_name[0] == '.')
                                continue;
                        snprintf(path, sizeof(path), "%s/%s/system.journal", tops[i], e->d_name);
                        result = try_read(path);
                }
                closedir(top);
        }
        return result;
}

/* Is any process of another user there to be seen? */
TRY(see_processes) {
        DIR *proc = opendir("/proc");
        unsigned others = 0;

        if (!proc)
                return -errno;
        for (struct dirent *e; (e = readdir(proc));) {
                char path[300];
                struct stat st;

                if (e->d_name[0] < '0' || e->d_name[0] > '9')
                        continue;
                snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
                others += stat(path, &st) == 0 && strtol(e->d_name, NULL, 10) != getpid();
        }
        closedir(proc);
        snprintf(note, MISBEHAVIOUR_NOTE_BYTES, "%u others", others);
        return others ? 0 : -ENOENT;
}

static int try_create(const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        fd_close(fd);
        return tried(unlink(path));
}

#define CREATE(name, path)               \
        TRY(name) {                      \
                return try_create(path); \
        }

CREATE(write_usr, "/usr/share/emberd/evil")
CREATE(write_library, "/usr/lib/evil")
CREATE(write_etc, "/etc/evil")
CREATE(write_boot, "/boot/evil")
CREATE(write_var, "/var/lib/evil")
CREATE(write_run, "/run/evil")
CREATE(write_content, "/srv/open/evil")
CREATE(write_shm, "/dev/shm/evil")
CREATE(write_mqueue, "/dev/mqueue/evil")

static int try_open_for_writing(const char *path) {
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return -errno;
        fd_close(fd);
        return 0;
}

TRY(write_settings) {
        return try_open_for_writing("/etc/emberd/emberd.conf");
}

TRY(write_itself) {
        int r = try_open_for_writing("/usr/sbin/emberd");

        return r == -ETXTBSY ? 0 : r; /* asked last: it may be written, but not while it runs */
}

TRY(write_proc_sys) {
        return try_open_for_writing("/proc/sys/net/ipv4/ip_forward");
}

TRY(write_sys) {
        return try_open_for_writing("/sys/kernel/uevent_helper");
}

TRY(write_cgroup) {
        char line[300] = "", path[400];
        FILE *file = fopen("/proc/self/cgroup", "re");

        if (!file)
                return -errno;
        while (fgets(line, sizeof(line), file) && strncmp(line, "0::", 3) != 0)
                ;
        fclose(file);
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, sizeof(path), "/sys/fs/cgroup%s/evil", line + 3);
        if (mkdir(path, 0700) < 0)
                return -errno;
        return tried(rmdir(path));
}

TRY(open_tun) {
        return try_open_for_writing("/dev/net/tun");
}

TRY(make_device) {
        int r = tried(mknod("/tmp/evil-device", S_IFCHR | 0600, makedev(1, 1)));

        unlink("/tmp/evil-device");
        return r;
}

/* Not what it is good for, but that it can be made. */
TRY(make_setuid_file) {
        int fd = open("/tmp/evil-setuid", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : tried(fchmod(fd, 04755));

        fd_close(fd);
        unlink("/tmp/evil-setuid");
        return r;
}

const struct misbehaviour hostile_files[] = {
        { "read-shadow", read_shadow },
        { "read-home", read_home },
        { "read-root-home", read_root_home },
        { "read-state-private", read_state_private },
        { "read-state-public", read_state_public },
        { "read-others-tmp", read_others_tmp },
        { "read-journal", read_journal },
        { "read-pid1-environ", read_pid1_environ },
        { "read-kallsyms", read_kallsyms },
        { "read-proc-sys", read_proc_sys },
        { "read-modules", read_modules },
        { "read-sibling-key", read_sibling_key },
        { "see-processes", see_processes },
        { "write-usr", write_usr },
        { "write-library", write_library },
        { "write-etc", write_etc },
        { "write-boot", write_boot },
        { "write-var", write_var },
        { "write-run", write_run },
        { "write-content", write_content },
        { "write-shm", write_shm },
        { "write-mqueue", write_mqueue },
        { "write-settings", write_settings },
        { "write-itself", write_itself },
        { "write-proc-sys", write_proc_sys },
        { "write-sys", write_sys },
        { "write-cgroup", write_cgroup },
        { "open-tun", open_tun },
        { "make-device", make_device },
        { "make-setuid-file", make_setuid_file },
        {},
};

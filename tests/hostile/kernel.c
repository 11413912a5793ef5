/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <sys/io.h>
#endif

#include "base/fd.h"

/* The kernel's doors that are for the machine's owner, and those through which it was broken. */

static int try_fd(long fd) {
        if (fd < 0)
                return -errno;
        fd_close((int)fd);
        return 0;
}

TRY(load_module) {
        return tried_senseless(syscall(SYS_finit_module, -1, "", 0), EBADF);
}

TRY(load_kernel) {
        return tried(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

TRY(bpf_map) {
        union bpf_attr attr = {
                .map_type = BPF_MAP_TYPE_ARRAY,
                .key_size = 4,
                .value_size = 4,
                .max_entries = 1,
        };

        return try_fd(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

TRY(perf_event) {
        struct perf_event_attr attr = {
                .type = PERF_TYPE_SOFTWARE,
                .size = sizeof(attr),
                .config = PERF_COUNT_SW_CPU_CLOCK,
        };

        return try_fd(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

TRY(fault_handler) {
        return try_fd(syscall(SYS_userfaultfd, 0));
}

TRY(keyring) {
        long key = syscall(SYS_add_key, "user", "evil", "x", 1, KEY_SPEC_PROCESS_KEYRING);

        return tried(key);
}

TRY(set_clock) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return tried(clock_settime(CLOCK_REALTIME, &now));
}

TRY(set_hostname) {
        char name[65];

        if (gethostname(name, sizeof(name)) < 0)
                return -errno;
        return tried(sethostname(name, strlen(name)));
}

/* What it asks for is that Ctrl-Alt-Del tells init, as it does. */
TRY(reboot_machine) {
        return tried_senseless(reboot(RB_DISABLE_CAD), EINVAL);
}

TRY(swap_on) {
        return tried_senseless(swapon("/nothing", 0), ENOENT);
}

TRY(io_ports) {
#ifdef __x86_64__
        int r = tried(iopl(3));

        if (r == 0)
                (void)iopl(0);
        return r;
#else
        return -ENOSYS; /* other processors have none */
#endif
}

TRY(kernel_log) {
        return tried(klogctl(10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0));
}

/* A file by its number, past all folders and mounts. */
/* With a good folder, which newer kernels look at before they ask for permission. */
TRY(open_by_handle) {
        return tried_senseless(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0), EFAULT);
}

const struct misbehaviour hostile_kernel[] = {
        { "load-module", load_module },
        { "load-kernel", load_kernel },
        { "bpf", bpf_map },
        { "perf-event", perf_event },
        { "userfaultfd", fault_handler },
        { "keyring", keyring },
        { "set-clock", set_clock },
        { "set-hostname", set_hostname },
        { "reboot", reboot_machine },
        { "swap-on", swap_on },
        { "io-ports", io_ports },
        { "kernel-log", kernel_log },
        { "open-by-handle", open_by_handle },
        {},
};

/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * Take from this process, for good, what emberd never needs: executing anything, making devices,
 * pipes with a name and symbolic links, ioctl(2) of devices, signals to other processes (each as
 * far as the kernel can, see sandbox.c). Nothing that settings can ask for is among it, so a reload
 * never meets it.
 * To be called while there is one thread, which the later ones inherit it from; at any privileges.
 * Errors: -EOPNOTSUPP the kernel has no Landlock that is fit for it; -EPERM a filter forbids it;
 * another -errno of its system calls. Then nothing was taken but gaining privileges by executing.
 */
int sandbox_enter(void);

/*
 * Take from the calling thread, and from those it starts, what was needed only to start: making
 * rings, and setting limits of other processes; and executing, as above. It adds to a filter of
 * system calls that is in force; where there is none it does nothing, since the first filter makes
 * every system call slower. Gives 1, or 0 where it did nothing. Errors: -errno.
 */
int sandbox_seal(void);
bool sandbox_can_seal(void);

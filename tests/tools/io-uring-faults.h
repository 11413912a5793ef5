/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * From now on the kernel seems to be short of memory: io_uring_enter takes nothing, or the first
 * submission alone, or is interrupted, four times of seven. For programs linked with
 * -Wl,--wrap=io_uring_enter2.
 */
void io_uring_faults_set(bool on);
